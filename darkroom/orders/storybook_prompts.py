"""The words that make a page's picture: one template for all pages, one paragraph for each style."""

from collections.abc import Sequence
from enum import StrEnum


class Style(StrEnum):
    """How a book looks."""

    WATERCOLOR = "watercolor"
    VAN_GOGH = "van_gogh"
    FANTASY = "fantasy"
    CARTOON = "cartoon"


LOOKS: dict[Style, str] = {
    Style.WATERCOLOR: (
        "A soft watercolor: transparent washes on textured paper, colors that bleed into each other, "
        "white paper left for the light, loose brush lines, a gentle palette."
    ),
    Style.VAN_GOGH: (
        "An oil painting after the manner of Van Gogh: thick, swirling strokes that can be felt, deep blues "
        "against bright yellows, a sky in motion, bold outlines."
    ),
    Style.FANTASY: (
        "A luminous fantasy painting: glowing light among mist, small wonders in the background, rich "
        "jewel colors, fine detail, a feeling of depth."
    ),
    Style.CARTOON: (
        "A friendly cartoon: clean outlines, flat bright colors, round shapes, large expressive eyes, "
        "a simple background."
    ),
}

PAGE = """\
One full-page illustration for a picture book for children.

Style: {look}

On this page somebody reads aloud:
{dialogues}

Show the moment that these lines tell: who is there, what they do and feel, and where they are. Keep the \
characters, their clothes and the style the same as on the other pages of the book.{reference} Draw no letters, \
no speech bubbles, no captions and no page border."""

AFTER_A_REFERENCE = " The attached picture shows how the characters look."


def page_prompt(style: Style, dialogues: Sequence[str], *, has_reference: bool) -> str:
    """What a provider is asked for one page."""
    lines = "\n".join(f"- {' '.join(line.split())}" for line in dialogues)
    return PAGE.format(look=LOOKS[style], dialogues=lines, reference=AFTER_A_REFERENCE if has_reference else "")
