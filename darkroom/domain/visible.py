"""Which texts can be seen: what only looks empty is no prompt."""

import unicodedata

_INVISIBLE = frozenset(
    # Letters, marks and symbols without a glyph: Unicode's Default_Ignorable_Code_Point, and the empty braille cell.
    (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0)
).union(range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xE0000, 0xE1000))


def is_visible(text: str) -> bool:
    """Whether the text has a character that is drawn."""
    return any(ord(char) not in _INVISIBLE and unicodedata.category(char)[0] not in "CZ" for char in text)
