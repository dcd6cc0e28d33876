"""Reasons that only an operator can do something about reach no customer, and all others do as they are."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest

from darkroom.domain.ceilings import Ceiling, Ceilings, Spent
from darkroom.domain.customers_words import DRAWING, KEEPING, SPENT, for_customers, in_customers_words
from darkroom.domain.progress import JobStatus
from darkroom.domain.receipts import Receipt, StageMissing, shorten

ROOT = Path(__file__).parents[2]
SETTING = r"(?:GEMINI|RUNWARE|SUPABASE|TEMPORAL|METRICS)_[A-Z_]+|DARKROOM_HOME|IMAGE_PROVIDER"

REMEDIES = {
    "Gemini answered with HTTP 400: API key not valid; set GEMINI_API_KEY to a valid key": DRAWING,
    "Gemini allows no pictures for the project of GEMINI_API_KEY: limit 0; enable billing for that project": DRAWING,
    "Runware did not accept the call: no credits; add credits to the account of RUNWARE_API_KEY": DRAWING,
    "this worker has no provider 'runware': set the provider's API key": DRAWING,
    "storage pictures: the key has no access; set SUPABASE_SERVICE_ROLE_KEY to the project's key": KEEPING,
    "records http://10.0.0.1: relation is missing; apply supabase/migrations up to 20261101": KEEPING,
    "storage pictures: the bucket does not exist; create it in Supabase": KEEPING,
    "records /home/x/records.db: No such file; check DARKROOM_HOME": KEEPING,
}


@pytest.mark.parametrize(("reason", "said"), REMEDIES.items())
def test_what_an_operator_has_to_do_is_not_asked_of_a_customer(reason: str, said: str) -> None:
    assert in_customers_words(reason) == said
    assert in_customers_words(f"nothing was delivered: {reason}") == f"nothing was delivered: {said}"
    assert in_customers_words(f"paused: {reason}") == f"paused: {said}"
    assert in_customers_words(said) == said


@pytest.mark.parametrize("room", [80, 120, 300])
@pytest.mark.parametrize("reason", [one for one in REMEDIES if re.search(SETTING, one)])
def test_a_reason_that_was_shortened_is_known_all_the_same(reason: str, room: int) -> None:
    assert in_customers_words(shorten(reason, room)) in (DRAWING, KEEPING)


@pytest.mark.parametrize("room", [80, 120, 300])
@pytest.mark.parametrize("beginning", ["", "paused: ", "stage 3: "])
def test_what_the_operator_may_pay_is_not_told_to_a_customer(room: int, beginning: str) -> None:
    ceilings = Ceilings(provider_usd=Decimal("1234.5"), call_usd=Decimal("0.05"), user_credits=None)
    reason = ceilings.reached(Spent(ceiling=Ceiling.PROVIDER, until=datetime(2026, 11, 29, tzinfo=UTC)), "gemini")
    assert "$1,234.5" in reason
    assert "PROVIDER_DAILY_USD" in reason
    said = in_customers_words(beginning + shorten(reason, room))
    assert said == f"{beginning}{SPENT}; it resets at 2026-11-29 00:00 UTC"


def test_a_customer_reads_their_own_ceiling() -> None:
    ceilings = Ceilings(provider_usd=None, call_usd=Decimal("0.05"), user_credits=2_000)
    reason = ceilings.reached(Spent(ceiling=Ceiling.USER, until=datetime(2026, 11, 29, tzinfo=UTC)), "gemini")
    said = "the user's daily ceiling of 2,000 credits is reached; it resets at 2026-11-29 00:00 UTC"
    assert in_customers_words(reason) == reason == said


def sources() -> list[str]:
    folders = ("providers", "storage", "records/supabase", "records/sqlite")
    return [path.read_text() for name in folders for path in sorted((ROOT / "darkroom" / name).rglob("*.py"))]


def test_every_setting_that_a_provider_or_the_records_name_is_known() -> None:
    """In the source's own texts: a new one that names a setting of another family fails here."""
    documented = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", (ROOT / "docs/settings.md").read_text()))
    named = {name for text in sources() for name in re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", text)} & documented
    named.discard("CANCELLED_STATUS")  # docstrings name it
    assert len(named) > 6
    assert not {name for name in named if in_customers_words(f"wrong; set {name}") not in (DRAWING, KEEPING)}


@pytest.mark.parametrize(
    "reason",
    [
        "refused by policy (IMAGE_SAFETY); change the prompt or the reference images",
        "Gemini answered with HTTP 503 (UNAVAILABLE): overloaded",
        "user's credits are used up",
        "cancelled",
        "stages[0].prompt: is empty",
        "nothing was delivered: stage 0: refused; change the prompt; stage 2: no picture was returned",
    ],
)
def test_what_a_customer_can_read_stays_as_it_is(reason: str) -> None:
    assert in_customers_words(reason) == reason


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            "its workflow was terminated; `darkroom restart 6f1e` makes what is missing",
            "its workflow was terminated",
        ),
        (
            "webhook_url: must be https, because shop.example is not in WEBHOOK_ALLOWED_NETWORKS",
            "webhook_url: must be https",
        ),
        (
            "10.0.0.1 is a private address; webhooks are sent only to public addresses and to WEBHOOK_ALLOWED_NETWORKS",
            "10.0.0.1 is a private address; webhooks are sent only to public addresses",
        ),
    ],
)
def test_commands_and_settings_beside_a_reason_are_left_out(reason: str, said: str) -> None:
    assert in_customers_words(reason) == said


def test_each_stage_keeps_its_own_reason() -> None:
    reason = "nothing was delivered: stage 0: HTTP 400; set GEMINI_API_KEY; stage 3: refused by policy"
    assert in_customers_words(reason) == f"nothing was delivered: stage 0: {DRAWING}; stage 3: refused by policy"


def test_a_value_is_read_through_and_its_numbers_stay() -> None:
    wrong = "HTTP 401; set RUNWARE_API_KEY to a valid key"
    receipt = Receipt(
        job_id=uuid4(),
        job_type="pipeline_stage",
        status=JobStatus.FAILED,
        ordered=2,
        delivered=0,
        missing=(StageMissing(stage_index=0, missing=2, reason=wrong),),
        error_message=f"nothing was delivered: {wrong}",
    )
    said = for_customers(receipt)
    assert said.error_message == f"nothing was delivered: {DRAWING}"
    assert said.missing[0] == StageMissing(stage_index=0, missing=2, reason=DRAWING)
    kept = {"error_message", "missing"}
    assert said.model_dump(exclude=kept) == receipt.model_dump(exclude=kept)
    assert for_customers(said) is said
