"""`darkroom prove`: whole Darkrooms in processes of their own, broken on a plan that a seed gives, then audited.

The provider's own account of the calls it received, not the records, says what was paid for.
"""
