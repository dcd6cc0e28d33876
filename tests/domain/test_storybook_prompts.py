"""What a page's picture is made from: the text itself, so that whoever changes it sees it."""

import pytest

from darkroom.domain.errors import OrderRejected
from darkroom.domain.orders import JobType
from darkroom.orders import read_order
from darkroom.orders.storybook_prompts import LOOKS, Style, page_prompt

WATERCOLOR = """\
One full-page illustration for a picture book for children.

Style: A soft watercolor: transparent washes on textured paper, colors that bleed into each other, \
white paper left for the light, loose brush lines, a gentle palette.

On this page somebody reads aloud:
- “Nobody comes,” said the lamp.
- It put out one foot.

Show the moment that these lines tell: who is there, what they do and feel, and where they are. Keep the \
characters, their clothes and the style the same as on the other pages of the book. The attached picture shows \
how the characters look. Draw no letters, no speech bubbles, no captions and no page border."""


def test_the_words_of_a_page() -> None:
    lines = ["“Nobody comes,” said\nthe lamp.", "It put out one foot."]
    assert page_prompt(Style.WATERCOLOR, lines, has_reference=True) == WATERCOLOR


@pytest.mark.parametrize("style", Style)
def test_every_style_has_a_look_of_its_own_and_keeps_the_lines(style: Style) -> None:
    prompt = page_prompt(style, ["{not} a template %s"], has_reference=False)
    assert LOOKS[style] in prompt
    assert "- {not} a template %s" in prompt
    assert "attached" not in prompt
    assert len({page_prompt(one, ["a"], has_reference=False) for one in Style}) == len(Style)


BOOK = {"pages": [{"dialogues": ["One.", " "], "attachId": 11}, {"dialogues": ["Two."]}]}


def test_a_book_is_a_stage_of_one_picture_a_page_in_order() -> None:
    order = read_order(BOOK).order
    assert order.job_type is JobType.STORYBOOK
    assert [(stage.stage_index, stage.label, stage.quantity) for stage in order.stages] == [
        (0, "page 1", 1),
        (1, "page 2", 1),
    ]
    assert [len(stage.references) for stage in order.stages] == [1, 0]
    assert LOOKS[Style.CARTOON] in order.stages[0].prompt
    assert "- \n" not in order.stages[0].prompt


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({**BOOK, "style": "manga"}, "style"),
        ({"pages": []}, "stages"),
        ({"pages": [{"dialogues": []}]}, "pages[0].dialogues"),
        ({"pages": [{"dialogues": ["a"]}, {"dialogues": [" ", ""]}]}, "pages[1].dialogues"),
        ({"pages": [{"text": "a"}]}, "pages[0].dialogues"),
        ({**BOOK, "book_id": "7"}, "book_id"),
    ],
)
def test_a_book_that_cannot_be_made_is_rejected_by_its_field(document: dict[str, object], field: str) -> None:
    with pytest.raises(OrderRejected) as caught:
        read_order(document)
    assert caught.value.field == field


@pytest.mark.parametrize("style", ["van_gogh", "van-gogh", "Van Gogh"])
def test_a_style_is_known_however_it_is_spelled(style: str) -> None:
    assert LOOKS[Style.VAN_GOGH] in read_order({**BOOK, "style": style}).order.stages[0].prompt
