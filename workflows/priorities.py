"""Whose turn it is in Temporal's queues."""

from temporalio import workflow
from temporalio.common import Priority

with workflow.unsafe.imports_passed_through():
    from darkroom.domain.names import fairness_key_of_begun


def of_what_has_begun() -> Priority:
    """For what a job's workflow starts: its own turns, beside those of the orders of its user that have not begun.

    With one key for both, a thousand orders would all be opened before the first of them is delivered. The job's own
    later steps come to the worker that keeps its workflow; only if that worker ends, they wait with the orders.
    """
    return Priority(fairness_key=fairness_key_of_begun(workflow.info().priority.fairness_key))
