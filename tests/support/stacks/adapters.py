"""Marks for tests of the fixture `darkroom`: over which adapters they run.

Without one a test runs over SQLite and files.
"""

import pytest

EMBEDDED = "embedded"
SUPABASE = "supabase"

on_supabase = pytest.mark.parametrize("darkroom", [SUPABASE], indirect=True)
over_both_adapters = pytest.mark.parametrize(
    "darkroom", [EMBEDDED, pytest.param(SUPABASE, marks=pytest.mark.slow)], indirect=True
)
"""What a whole job promises is shown quickly over one adapter, and at length over the other as well."""
