"""Measures of workflow histories."""

from collections.abc import Iterator

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHistory


def payloads(message: Message) -> Iterator[Payload]:
    """Every payload anywhere in a message."""
    if isinstance(message, Payload):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            for item in value.values():
                if isinstance(item, Message):
                    yield from payloads(item)
        elif isinstance(value, Message):
            yield from payloads(value)
        else:
            for item in value:
                yield from payloads(item)


def largest_payload(history: WorkflowHistory) -> int:
    """Bytes of the largest payload in a history."""
    return max((payload.ByteSize() for event in history.events for payload in payloads(event)), default=0)
