"""The fault harness: whole Darkrooms in processes of their own, broken on a plan that a seed gives, then audited.

    python -m tests.harness --runs N --seed S [--only SCENARIO] [--keep]

The provider's own account of the calls it received, not the records, says what was paid for.
"""
