"""Keys, tokens and passwords in the words of others: never shown."""

import re

HIDDEN = "…"

_SECRETS = re.compile(
    r"""
    \b AIza [\w-]{20,}                            # Google
    | \b sk- [\w-]{16,}
    | \b sb_ (?:secret|publishable) _ [\w-]+      # Supabase
    | \b eyJ [\w-]{8,} (?: \. [\w-]* ){1,2}       # JSON web tokens
    | \b dks? _ [\w-]{20,}                        # our keys and sessions
    | \b whsec_ [\w+/=-]+                         # secrets of webhooks
    | (?<=://) [^\s/?\#@]+ (?=@)                  # in addresses
    | (?i: (?<=bearer[ ]) | (?<=basic[ ]) ) (?=[\w.~+/=-]*\d) [\w.~+/=-]{12,}
    | (?<![\w-]) (?=[A-Za-z0-9]*[a-z]) (?=[A-Za-z0-9]*[A-Z]) (?=[A-Za-z0-9]*\d) [A-Za-z0-9]{24,} (?![\w-])
    """,
    re.VERBOSE,
)
_NAMED = re.compile(
    r"""
    (?P<name> \b (?i: api[_-]?key | x-goog-api-key | key | access[_-]?token | token | secret | signature | password )
      (?: \s? = \s? | " \s? : \s? " | ' \s? : \s? ' ) )
    [^\s"'&,;)]+
    """,
    re.VERBOSE,
)


def without_secrets(text: str) -> str:
    """The text with what looks like a key, a token or a password hidden."""
    return _NAMED.sub(rf"\g<name>{HIDDEN}", _SECRETS.sub(HIDDEN, text))
