"""Signals with odd arguments change nothing and fail nothing (spec §2)."""

import inspect

from temporalio import workflow
from temporalio.worker import (
    HandleSignalInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)


class OddSignalsDropped(Interceptor):
    """Drops a signal whose arguments its handler does not take: it would fail the workflow task for ever.

    The SDK itself drops arguments that it cannot decode. Handlers keep their types.
    """

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002, ARG002 - the SDK's name
    ) -> type[WorkflowInboundInterceptor] | None:
        return _Binding


class _Binding(WorkflowInboundInterceptor):
    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002 - the SDK's name
        handler = workflow.get_signal_handler(input.signal)
        if handler is not None:
            try:
                inspect.signature(handler).bind(*input.args)
            except TypeError as error:
                workflow.logger.warning("signal '%s' dropped: %s", input.signal, error)
                return
        await super().handle_signal(input)
