"""What Temporal hears of our errors: whether to try again, when, and how loudly."""

from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment

from activities.errors import to_application_error
from activities.jobs import JobActivities
from darkroom.domain.batches import SetControlInput
from darkroom.domain.errors import (
    DarkroomError,
    JobNotFound,
    NotPossibleNow,
    OrderRejected,
    ProviderUnavailable,
    ReceiverGone,
    ReceiverUnavailable,
    RecordsRefused,
    RecordsUnavailable,
    RunRefused,
    StorageRefused,
    StorageUnavailable,
    WebhookRefused,
)
from darkroom.domain.jobs import CloseRun, Control, End
from workflows.policies import PROVIDER_CALL, RECORD_WRITE, SETTLEMENT, STORAGE_WRITE, WEBHOOK, ActivityPolicy

MANY = 200

RETRYABLE = [
    ProviderUnavailable("503 from the provider"),
    RecordsUnavailable("the database is locked"),
    StorageUnavailable("no space left"),
]
FINAL = [
    JobNotFound("no such job"),
    NotPossibleNow("still running"),
    OrderRejected("quantity", "is 0"),
    RecordsRefused("new row violates check constraint (23514)"),
    RunRefused("another run has taken over"),
    StorageRefused("no permission"),
    ReceiverGone("https://shop.example returned 410"),
    WebhookRefused("127.0.0.1 is a loopback address"),
]


def delays(error: DarkroomError, attempt: int, policy: RetryPolicy = PROVIDER_CALL) -> list[timedelta]:
    """Many draws of the delay before the next attempt."""
    drawn = [to_application_error(error, attempt, policy).next_retry_delay for _ in range(MANY)]
    return [delay for delay in drawn if delay is not None]


@pytest.mark.parametrize("error", RETRYABLE, ids=lambda error: type(error).__name__)
def test_a_passing_trouble_is_tried_again_quietly(error: DarkroomError) -> None:
    told = to_application_error(error, 1, PROVIDER_CALL)
    assert not told.non_retryable
    assert told.next_retry_delay is not None
    assert told.category is ApplicationErrorCategory.BENIGN
    assert (told.type, told.message) == (type(error).__name__, str(error))


@pytest.mark.parametrize("error", FINAL, ids=lambda error: type(error).__name__)
def test_what_trying_again_cannot_mend_ends_the_activity_loudly(error: DarkroomError) -> None:
    told = to_application_error(error, 1, PROVIDER_CALL)
    assert told.non_retryable
    assert told.next_retry_delay is None
    assert told.category is ApplicationErrorCategory.UNSPECIFIED
    assert (told.type, told.message) == (type(error).__name__, str(error))


async def test_the_end_of_a_job_is_written_however_often_the_records_refuse_it() -> None:
    records = _Refusing()
    activities = JobActivities(records, *(None,) * 4)  # type: ignore[arg-type]  # these need the records alone
    job_id, environment = uuid4(), ActivityEnvironment()
    with pytest.raises(ApplicationError) as closing:
        await environment.run(activities.close_job, CloseRun(job_id=job_id, run_id="a run", end=End.DELIVERED))
    control = SetControlInput(job_id=job_id, run_id="a run", control=Control())
    with pytest.raises(ApplicationError) as other:
        await environment.run(activities.set_control, control)
    assert (closing.value.type, closing.value.non_retryable) == ("RecordsRefused", False)
    assert (other.value.type, other.value.non_retryable) == ("RecordsRefused", True)


class _Refusing:
    """Records that refuse whatever is asked of them."""

    def __getattr__(self, name: str) -> object:
        async def refuse(*_: object, **__: object) -> None:
            raise RecordsRefused(f"{name} violates check constraint (23514)")

        return refuse


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 2), (2, 4), (3, 8), (4, 16), (5, 32), (6, 60), (7, 60), (20, 60), (1_000_000, 60)]
)
@pytest.mark.parametrize("error", RETRYABLE, ids=lambda error: type(error).__name__)
def test_the_delay_doubles_to_a_minute_give_or_take_a_quarter(error: DarkroomError, attempt: int, seconds: int) -> None:
    drawn = delays(error, attempt)
    assert len(drawn) == MANY
    assert timedelta(seconds=seconds * 0.75) <= min(drawn)
    assert max(drawn) <= timedelta(seconds=seconds * 1.25)
    # Calls that were refused together do not come back together.
    assert max(drawn) - min(drawn) > timedelta(seconds=seconds * 0.25)


@pytest.mark.parametrize("policy", [STORAGE_WRITE, RECORD_WRITE, SETTLEMENT, WEBHOOK])
@pytest.mark.parametrize("attempt", [1, 2, 5, 1_000])
def test_the_policy_is_the_only_source_of_delays(policy: ActivityPolicy, attempt: int) -> None:
    retry = policy["retry_policy"]
    longest = retry.maximum_interval
    assert longest is not None
    expected = min(retry.initial_interval * 2 ** min(attempt - 1, 20), longest)
    drawn = delays(RecordsUnavailable("the database is locked"), attempt, retry)
    assert expected * 0.75 <= min(drawn) <= max(drawn) <= expected * 1.25


def test_a_settlement_is_retried_sooner_than_other_records() -> None:
    error = RecordsUnavailable("the database is locked")
    assert max(delays(error, 1, SETTLEMENT["retry_policy"])) < min(delays(error, 1, RECORD_WRITE["retry_policy"]))


def test_without_a_policy_temporal_decides() -> None:
    assert to_application_error(RETRYABLE[0], 1, None).next_retry_delay is None


def test_a_longer_delay_that_the_server_named_is_honoured() -> None:
    named = timedelta(seconds=47)
    assert set(delays(ProviderUnavailable("429", retry_after=named), 1)) == {named}
    beyond_ours = timedelta(minutes=7)
    assert set(delays(ProviderUnavailable("429", retry_after=beyond_ours), 6)) == {beyond_ours}


@pytest.mark.parametrize("named", [timedelta(0), timedelta(seconds=1), timedelta(seconds=-5)])
def test_a_shorter_delay_that_the_server_named_does_not_hurry_us(named: timedelta) -> None:
    drawn = delays(ProviderUnavailable("429", retry_after=named), 4)
    assert min(drawn) >= timedelta(seconds=12)


def webhook_delays(attempt: int, retry_after: timedelta | None = None) -> list[timedelta]:
    error, policy = ReceiverUnavailable("returned 503", retry_after), WEBHOOK["retry_policy"]
    drawn = [to_application_error(error, attempt, policy).next_retry_delay for _ in range(MANY)]
    return [delay for delay in drawn if delay is not None]


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 5), (2, 10), (3, 20), (8, 640), (11, 5120), (12, 7200), (22, 7200), (1_000_000, 7200)]
)
def test_a_webhook_is_sent_again_as_its_policy_says_give_or_take_a_quarter(attempt: int, seconds: int) -> None:
    drawn = webhook_delays(attempt)
    assert len(drawn) == MANY
    assert timedelta(seconds=seconds * 0.75) <= min(drawn)
    assert max(drawn) <= timedelta(seconds=seconds * 1.25)


def test_a_webhook_is_sent_over_more_than_a_day_and_not_often() -> None:
    tried, waited = 1, timedelta(0)
    while waited < WEBHOOK["schedule_to_close_timeout"]:
        waited += max(webhook_delays(tried))
        tried += 1
    assert WEBHOOK["schedule_to_close_timeout"] > timedelta(days=1)
    assert 15 <= tried <= 30


def test_a_receiver_that_asks_for_time_gets_it_but_never_more_than_two_hours() -> None:
    assert set(webhook_delays(1, timedelta(minutes=10))) == {timedelta(minutes=10)}
    assert set(webhook_delays(1, timedelta(days=30))) == {timedelta(hours=2)}
    assert min(webhook_delays(8, timedelta(seconds=1))) >= timedelta(seconds=480), "it does not hurry us either"


def test_a_policy_without_a_longest_delay_has_one_all_the_same() -> None:
    policy = RetryPolicy(initial_interval=timedelta(seconds=1))
    told = to_application_error(ReceiverUnavailable("returned 503"), 40, policy)
    assert told.next_retry_delay is not None
    assert told.next_retry_delay <= timedelta(seconds=125)
