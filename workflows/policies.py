"""Retry and timeout policies: one constant per thing that can fail, and why these numbers.

They are the only source of back-off: an activity that reports a failure asks for the delay of its policy, with jitter
(`activities/errors.py`), and only a provider or a receiver that names a longer one (`Retry-After`) changes it. The
time-outs are also how long lost work waits after a worker dies, so they are as short as is safe.
"""

from datetime import timedelta
from typing import TypedDict

from temporalio.common import RetryPolicy


class ActivityPolicy(TypedDict, total=False):
    """The keyword arguments of an activity call that say how it may fail."""

    schedule_to_close_timeout: timedelta
    start_to_close_timeout: timedelta
    heartbeat_timeout: timedelta
    retry_policy: RetryPolicy


PROVIDER_ATTEMPTS = 20
"""About 15 minutes of waiting between attempts (spec §5); the last one records the miss itself."""

PROVIDER_CALL_OPEN = timedelta(hours=24)
"""The provider's own limit is kept inside the activity, which stays open with the paid bytes while storage is away."""

HEARTBEAT = timedelta(seconds=10)
"""A dead worker is noticed after this; workers send one every 3 s."""

# 2 s, doubling to a minute (spec §5). What a dead worker held starts again 2 s after the heartbeat is missed.
PROVIDER_CALL = RetryPolicy(
    initial_interval=timedelta(seconds=2),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=60),
    maximum_attempts=PROVIDER_ATTEMPTS,
)


def provider_call() -> ActivityPolicy:
    """One provider call. No schedule-to-start and no schedule-to-close: images may wait in a long queue."""
    return ActivityPolicy(
        start_to_close_timeout=PROVIDER_CALL_OPEN, heartbeat_timeout=HEARTBEAT, retry_policy=PROVIDER_CALL
    )


# The picture is paid for, so writing it is tried until it works, about every 15 s: a user waits for it when the
# storage is back. 60 s is a 20 MB picture on a slow line.
STORAGE_WRITE = ActivityPolicy(
    start_to_close_timeout=timedelta(seconds=60),
    heartbeat_timeout=HEARTBEAT,
    retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=15)),
)

# An hour of an outage. The pages are paid for and the job is to close: then without the book's cover.
BOOK_WRITE = ActivityPolicy(
    start_to_close_timeout=timedelta(seconds=60),
    heartbeat_timeout=HEARTBEAT,
    retry_policy=RetryPolicy(
        initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30), maximum_attempts=120
    ),
)

# One short transaction; clients give up after 10 s, so 12 s means that the worker is gone. Longer, and what a
# dead worker held would not be in progress again within 15 s. Retried about every 15 s: a cancel takes effect soon
# after an outage.
RECORD_WRITE = ActivityPolicy(
    start_to_close_timeout=timedelta(seconds=12),
    retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=15)),
)

# Looks through what an ended stage left in staging, and stages first what lies beside the worker: pictures of up to
# 20 MB. A job that is being cancelled waits for it.
SALVAGE = ActivityPolicy(
    start_to_close_timeout=timedelta(minutes=5),
    heartbeat_timeout=HEARTBEAT,
    retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=15)),
)


def salvage(calls_end: timedelta | None) -> ActivityPolicy:
    """A look into staging that first waits for the calls in progress, if it does, at most so long."""
    policy = SALVAGE.copy()
    if calls_end is not None:
        policy["start_to_close_timeout"] = SALVAGE["start_to_close_timeout"] + calls_end
    return policy


# As RECORD_WRITE, but it moves money: retried sooner at first, because a user waits to see the picture counted.
SETTLEMENT = ActivityPolicy(
    start_to_close_timeout=timedelta(seconds=12),
    retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=15)),
)

# Up to 30,000 files. The job has its receipt already, so this gives up rather than keep the workflow open.
CLEANING = ActivityPolicy(
    start_to_close_timeout=timedelta(minutes=5),
    heartbeat_timeout=HEARTBEAT,
    retry_policy=RetryPolicy(
        initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30), maximum_attempts=8
    ),
)

# Two queries and a start per job that waits. While the records are away it waits here, and the Schedule skips.
LOOK = ActivityPolicy(
    start_to_close_timeout=timedelta(seconds=60),
    retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30)),
)

# Every unfinished job is looked up in Temporal and every staged object in the storage. What one look leaves, the
# next one finds, so it gives up before that.
TIDYING = ActivityPolicy(
    start_to_close_timeout=timedelta(minutes=30),
    heartbeat_timeout=HEARTBEAT,
    retry_policy=RetryPolicy(
        initial_interval=timedelta(seconds=10), maximum_interval=timedelta(minutes=2), maximum_attempts=5
    ),
)

# A receiver that is deployed or restarted takes the event within seconds, one that is down overnight the next day:
# ten attempts in the first hour and a half, then one every two hours, until more than a day has passed. Sending ends
# itself after 30 s; 45 s means that the worker is gone.
WEBHOOK = ActivityPolicy(
    schedule_to_close_timeout=timedelta(hours=26),
    start_to_close_timeout=timedelta(seconds=45),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(seconds=5), backoff_coefficient=2.0, maximum_interval=timedelta(hours=2)
    ),
)

# Somebody waits for the answer: a worker that does not take it at once is as good as none.
WORKER_REPORT = ActivityPolicy(
    schedule_to_close_timeout=timedelta(seconds=8),
    retry_policy=RetryPolicy(maximum_attempts=1),
)
