"""Short steps on the records, taken within the workflow task that asks for them where nothing waits for its end.

An activity that is handed out costs the server two transactions and the workflow another task, which is most of what a
small order costs. A local activity costs neither, and it is recorded with its name and result, too. It holds the
workflow task, though, so it gets one attempt and a few seconds. What fails then, for whatever reason, is handed out
under its own policy: an outage is waited for, and shown, as it is everywhere (docs/decisions/0010-local-steps.md).
"""

import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import exceptions, workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from darkroom.domain.names import TaskQueue
    from workflows.policies import ActivityPolicy

A = TypeVar("A")
R = TypeVar("R")

LOCAL_ATTEMPT = timedelta(seconds=5)
"""Half of the time that the server gives a workflow task."""

_ONCE = RetryPolicy(maximum_attempts=1)


async def take_step(
    step: Callable[[Any, A], Awaitable[R]], asked: A, *, local: bool, summary: str, policy: ActivityPolicy
) -> R:
    """Do one thing in the records; what came of it.

    Args:
        step: a method that is an activity of the queue `darkroom`.
        asked: its input.
        local: whether it is tried within this workflow task first.
        summary: what the Web UI shows beside it.
        policy: of the activity.

    Raises:
        ActivityError: it failed for good.
    """
    if local:
        # The SDK raises what a local activity failed with as it is, without an ActivityError around it.
        with contextlib.suppress(exceptions.ApplicationError, exceptions.TimeoutError, exceptions.ActivityError):
            return await workflow.execute_local_activity_method(
                step, asked, start_to_close_timeout=LOCAL_ATTEMPT, retry_policy=_ONCE, summary=summary
            )
    return await workflow.execute_activity_method(
        step, asked, task_queue=TaskQueue.ORCHESTRATE, summary=summary, **policy
    )
