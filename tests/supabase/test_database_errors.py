"""What PostgREST says while its database goes away, and what Darkroom makes of it."""

import pytest
from postgrest import APIError

from darkroom.domain.errors import RecordsUnavailable
from darkroom.records.supabase.functions import Functions
from darkroom.supabase import open_supabase


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        ("57P01", "terminating connection due to unexpected postmaster exit", "postmaster exit (57P01)"),
        ("PGRST001", "Database client error. Retrying the connection.", "Retrying the connection. (PGRST001)"),
        # Killed in the middle of a call, PostgreSQL leaves PostgREST without a word.
        ("", "", "the connection to the database was lost;"),
    ],
)
async def test_a_database_that_goes_away_during_a_call_is_an_outage(code: str, message: str, said: str) -> None:
    supabase = await open_supabase("http://127.0.0.1:1", "a key")
    error = Functions(supabase)._known(APIError({"code": code, "message": message, "details": None, "hint": None}))
    assert isinstance(error, RecordsUnavailable)
    assert said in str(error)
    assert str(error).endswith("workers retry until it succeeds")
    await supabase.close()
