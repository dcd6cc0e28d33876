"""Marks for tests of the fixture `darkroom`: over which adapters they run.

Without one a test runs over SQLite and files.
"""

import pytest

EMBEDDED = "embedded"
SUPABASE = "supabase"

in_one_process = pytest.mark.xdist_group("supabase-jobs")
"""Tests of whole jobs in a Supabase project share one; they come one after another."""

on_supabase = pytest.mark.parametrize("darkroom", [SUPABASE], indirect=True)
over_both_adapters = pytest.mark.parametrize(
    "darkroom", [EMBEDDED, pytest.param(SUPABASE, marks=in_one_process)], indirect=True
)
