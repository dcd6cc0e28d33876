"""Names and reasons are shown clean, whoever wrote them; and keys are not shown at all."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from pydantic import TypeAdapter, ValidationError

from darkroom.domain.clean_text import (
    CleanLine,
    as_markdown,
    clean_lines,
    escaped_in_json,
    one_clean_line,
    refuse_unclean,
)
from darkroom.domain.progress import JobStatus, Progress, StageProgress, markdown
from darkroom.domain.secret_text import without_secrets
from darkroom.domain.wording import reason_of
from darkroom.providers.wording import one_line
from tests.support.hostile_text import HARMLESS, HOSTILE, obeyed

ADDRESSES = re.compile(r"https?://|www\.|\S@[-\w]+\.")
"""What the Web UI's renderer makes a link of by itself."""


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_is_written_is_refused_at_the_door_and_shown_clean(text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(CleanLine).validate_python(text)
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        said = reason_of(refused.value.errors()[0])
        assert re.fullmatch(r"contains a .* \(U\+[0-9A-F]{4}\) at position \d+; leave it out", said)
    assert obeyed(one_clean_line(text)) == set()
    assert obeyed(clean_lines(text), apart_from="\n\t") == set()
    assert obeyed(as_markdown(text)) == set()
    assert obeyed(one_line(text)) == set()
    one_clean_line(text).encode()


@pytest.mark.parametrize("text", HARMLESS)
def test_words_of_all_languages_stay_as_they_are(text: str) -> None:
    assert refuse_unclean(text) == one_clean_line(text) == clean_lines(text) == text


@given(st.text())
def test_what_is_cleaned_is_clean(text: str) -> None:
    assert refuse_unclean(one_clean_line(text)) == one_clean_line(text)
    assert obeyed(clean_lines(text), apart_from="\n\t") == set()


@given(st.dictionaries(st.text(), st.text()))
def test_json_says_the_same_with_nothing_to_obey(content: dict[str, str]) -> None:
    document = escaped_in_json(json.dumps(content, ensure_ascii=False, indent=2))
    assert json.loads(document) == content
    assert obeyed(document, apart_from="\n") == set()


def rendered(text: str) -> str:
    return str(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))


@pytest.mark.parametrize(
    "text",
    [
        "![x](https://evil.example/a.png)",
        "[click](https://evil.example)",
        "[click][1]\n\n[1]: https://evil.example",
        "<https://evil.example>",
        "<img src=x onerror=alert(1)>",
        "&lt;b&gt; &#58;//evil.example",
        "https://evil.example and www.evil.example and a@evil.example",
        "HTTPS://EVIL.EXAMPLE",
        "**paid** __paid__ _paid_ ~~paid~~ `paid`",
        "# paid",
        "- paid",
        "1. paid",
        "12) paid",
        "> paid",
        "---",
        "a | b | c\n|---|---|",
        "\\[a](b)",
        "\\\\[a](b)",
        "``` \npaid",
    ],
)
def test_a_reason_is_text_in_markdown(text: str) -> None:
    shown = as_markdown(text)
    assert "\n" not in shown
    html = rendered(shown)
    assert html.startswith("<p>")
    assert html.endswith("</p>\n")
    inside = html.removeprefix("<p>").removesuffix("</p>\n")
    assert "<" not in inside, html
    assert not ADDRESSES.search(inside.replace("&amp;", "&")), inside
    cell = rendered(f"| a | b |\n|---|---|\n| {shown} | c |")
    assert len(re.findall("<td", cell)) == 2, cell
    assert not re.search(r"<(?!/?(table|thead|tbody|tr|th|td)\b)", cell), cell


@given(st.text(alphabet=st.sampled_from("[]()!<>`*_~#-+=.1 \\|:/@w&;ab"), max_size=30))
def test_no_markdown_makes_more_of_a_reason_than_text(text: str) -> None:
    inside = rendered(as_markdown(text)).removeprefix("<p>").removesuffix("</p>\n")
    assert "<" not in inside, inside


def test_the_table_of_a_job_shows_labels_and_reasons_as_text() -> None:
    stage = StageProgress.model_validate(
        {
            "stage_index": 0,
            "label": "![lemon](https://evil.example/pixel.png)",
            "quantity": 2,
            "completed": 0,
            "status": "short",
            "reason": "<script>x</script>[sign in](https://evil.example)\n| stage 9 | 40 of 40 |",
        }
    )
    progress = Progress.model_validate(
        {
            "job_id": "2babfb87-c163-4cce-aa62-34553e45d242",
            "job_type": "template",
            "status": JobStatus.PROCESSING,
            "paused": True,
            "pause_reason": "# paid\n![a](https://evil.example/b.png)",
            "total_images": 2,
            "completed_images": 0,
            "stages": (stage,),
        }
    )
    html = rendered(markdown(progress))
    assert not re.search("<(a|img|script|h1)\\b", html), html
    assert not ADDRESSES.search(html), html
    assert html.count("<tr>") == 2


SECRETS = {
    "Google": "AIzaSyA-1234567890abcdefghijklmnopqrstu",
    "OpenAI": "sk-proj-abcdefghij0123456789",
    "Supabase": "sb_secret_abcdefghij0123456789",
    "JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJlLW9mLWl0",
    "ours": "dk_abcdefghijklmnopqrstuvwxyz0123456789",
    "session": "dks_abcdefghijklmnopqrstuvwxyz0123456789",
    "webhook": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "Runware": "aB3dE5gH7jK9mN1pQ3rS5tU7vW9xY1zA",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize(
    "said",
    [
        "{}",
        "API key not valid: {}.",
        "GET https://api.example/v1/models?key={}&alt=sse failed",
        'the header "Authorization: Bearer {}" was refused',
        '{{"x-goog-api-key": "{}"}}',
        "https://user:{}@db.example/rest",
        "api_key={}",
    ],
)
def test_keys_in_the_words_of_others_are_not_shown(secret: str, said: str) -> None:
    for shown in (without_secrets(said.format(secret)), one_line(said.format(secret))):
        assert secret not in shown
        assert secret[8:-8] not in shown


@pytest.mark.parametrize(
    "said",
    [
        "job 2babfb87-c163-4cce-aa62-34553e45d242 is still processing; cancel it first",
        "gemini-3-pro-image-preview does not exist; set GEMINI_MODEL",
        "runware: google:nano-banana@2.1 is busy; try again in 30 s",
        "set SUPABASE_SERVICE_ROLE_KEY to the project's service_role key",
        "GEMINI_API_KEY: contains characters that no key has, such as a line break; copy it again",
        "https://abcdefghijklmnop.supabase.co/rest/v1 does not answer",
        "HTTP 429 (RESOURCE_EXHAUSTED): GenerateRequestsPerDayPerProjectPerModel-FreeTier",
        "apply supabase/migrations up to 20261127174800",
        "/home/user/darkroom/.darkroom/files/generated-images/user-anonymous/0-12-1f2e3d4c.webp",
    ],
)
def test_words_that_are_no_keys_stay(said: str) -> None:
    assert without_secrets(said) == said
