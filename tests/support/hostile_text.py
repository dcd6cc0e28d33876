"""What a tenant may write into a name or a reason so that somebody else's screen shows what is not so."""

HOSTILE = {
    "colours": "done\x1b[32m OK\x1b[0m",
    "title": "\x1b]0;root\x07",
    "clipboard": "\x1b]52;c;cm0gLXJmIH4K\x07",
    "clipboard, ended by ST": "\x1b]52;c;cm0gLXJmIH4K\x1b\\",
    "link": "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "cursor": "\x1b[2J\x1b[H$ ",
    "C1 CSI": "\x9b31mred",
    "C1 OSC": "\x9d52;c;cm0gLXJmIH4K\x9c",
    "device status": "\x1b[6n",
    "backspaces": "paid\b\b\b\bfree",
    "carriage return": "failed\rcompleted",
    "bell": "\x07",
    "NUL": "a\x00b",
    "delete": "a\x7fb",
    "override": "photo\u202egpj.exe",
    "isolate": "a\u2066b\u2069c",
    "embedding": "a\u202ab\u202c",
    "line": "lemon\njob 2: completed, 40 of 40",
    "next line": "lemon\x85job 2",
    "line separator": "lemon\u2028job 2",
    "paragraph separator": "lemon\u2029job 2",
    "form feed": "lemon\fjob 2",
    "half a character": "a\ud83db",
}
HARMLESS = (
    "سلام\u200cها",
    "שלום\u200f!",
    "👩\u200d🚀 Zürich",
    "naïve\u00a0café",
    "レモン",
    "a_b *c* [d]",
    "10 % – “done”",
)
OBEYED = "".join(chr(code) for code in (*range(0x20), 0x7F, *range(0x80, 0xA0), 0x2028, 0x2029)) + (
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
"""What nobody's screen may be given of it."""


def obeyed(text: str, *, apart_from: str = "") -> set[str]:
    """The characters of a text that a terminal or a reader's eye would obey."""
    return {letter for letter in text if letter in OBEYED and letter not in apart_from}
