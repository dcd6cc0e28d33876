"""How other programs' messages are put into ours."""


def in_a_sentence(message: str) -> str:
    """The message with a small first letter, as it stands after a colon; `UUID`, `JSON` and the like stay."""
    return message if message[1:2].isupper() else message[:1].lower() + message[1:]
