"""Names of pictures that are taken home: readable, counted without gaps, and kept by every system."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.domain.errors import ExportRejected
from darkroom.domain.file_names import DEFAULT_TEMPLATE, NameTemplate, file_names, readable_part


class One(NamedTuple):
    stage_index: int
    ordinal: int
    path: str = "generated-images/user-a/job-b/0-0-1a2b3c4d.webp"


def named(
    labels: dict[int, str], pictures: list[tuple[int, int]], template: str = DEFAULT_TEMPLATE, *, ended: bool = True
) -> list[str]:
    found = [One(*picture) for picture in pictures]
    return file_names(NameTemplate.read(template), "3f2a1c00", labels, found, ended=ended)


def test_an_ended_job_counts_without_gaps_and_a_running_one_by_ordinal() -> None:
    labels, pictures = {0: "red chair", 1: "stage 1"}, [(0, 0), (0, 2), (0, 7), (1, 3)]
    assert named(labels, pictures) == [
        "red-chair_001.webp", "red-chair_002.webp", "red-chair_003.webp", "stage-1_001.webp",
    ]  # fmt: skip
    assert named(labels, pictures, ended=False) == [
        "red-chair_001.webp", "red-chair_003.webp", "red-chair_008.webp", "stage-1_004.webp",
    ]  # fmt: skip


def test_stages_of_one_label_are_counted_together_whatever_its_case() -> None:
    labels, pictures = {0: "Chair", 4: "chair"}, [(0, 0), (0, 1), (4, 0)]
    assert named(labels, pictures) == ["Chair_001.webp", "Chair_002.webp", "chair_003.webp"]
    assert named(labels, pictures, ended=False) == ["Chair-1_001.webp", "Chair-1_002.webp", "chair-5_001.webp"]


def test_all_placeholders_stand_where_the_template_has_them() -> None:
    labels, pictures = {2: "red chair"}, [(2, 0), (2, 5)]
    assert named(labels, pictures, "{job}/{stage}/{{{label}}} {n}") == [
        "3f2a1c00/2/{red-chair} 1.webp", "3f2a1c00/2/{red-chair} 2.webp",
    ]  # fmt: skip
    assert named({0: "a", 1: "b"}, [(0, 0), (1, 0), (1, 1)], "{stage}/{n:02}.webp") == [
        "0/01.webp", "1/01.webp", "1/02.webp",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("../{n}", "leads outside the folder"),
        ("a/../../{n}", "leads outside the folder"),
        ("/etc/{n}", "must not begin with '/'"),
        ("C:/{n}", "':'"),
        ("a\\{n}", "some systems cannot keep"),
        ("{nr}", "unknown placeholder {nr}"),
        ("{label.__class__}_{n}", "unknown placeholder"),
        ("{}{n}", "unknown placeholder"),
        ("{n:>9000000}", "a format that is not known"),
        ("{label:3}{n}", "a format that is not known"),
        ("{label", "write a brace as"),
        ("{label}", "must contain {n}"),
        ("a//{n}", "empty folder"),
        ("{n}\n", "cannot be seen"),
        ("x" * 199 + "{n}", "more than 200 characters"),
        ("é" * 150 + "{n}", "more than 200 bytes"),
    ],
)
def test_a_template_that_no_system_can_keep_is_refused_in_one_line(template: str, says: str) -> None:
    with pytest.raises(ExportRejected, match=r"^name: ") as refused:
        NameTemplate.read(template)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("label", "part"),
    [
        ("Rot & grün", "Rot-grün"),
        ("../../etc/passwd", "etc-passwd"),
        ("a. . .", "a"),
        ("कुर्सी", "कुर्सी"),
        ("椅子 1", "椅子-1"),
        ("\N{SLICE OF PIZZA}", ""),
        ("x" * 500, "x" * 80),
        ("é" * 500, "é" * 40),
    ],
)
def test_a_label_stays_readable(label: str, part: str) -> None:
    assert readable_part(label) == part


def test_names_that_windows_reserves_are_given_otherwise() -> None:
    assert named({0: "con"}, [(0, 0)], "{label}/{n}") == ["_con/1.webp"]
    assert named({0: "a"}, [(0, 0)], "aux.{n}") == ["_aux.1.webp"]
    assert named({0: "a"}, [(0, 0)], "x. /{n}") == ["x/1.webp"]


_PICTURES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), unique=True, max_size=30).map(sorted)
_LABELS = st.fixed_dictionaries(
    {index: st.text(max_size=12) | st.sampled_from(["a", "A", "a1", "ａ"]) for index in range(4)}
)
_TEMPLATES = st.sampled_from([DEFAULT_TEMPLATE, "{label}{n}", "{n}{label}", "{n}", "{stage}{n}", "{stage}/{n:04}"])


@given(_LABELS, _PICTURES, _TEMPLATES, st.booleans())
def test_no_two_names_are_one_and_each_stays_in_the_folder(
    labels: dict[int, str], pictures: list[tuple[int, int]], template: str, ended: bool
) -> None:
    names = named(labels, pictures, template, ended=ended)
    assert len({name.casefold() for name in names}) == len(pictures)
    for name in names:
        for component in name.split("/"):
            assert component not in ("", ".", "..")
            assert component == component.rstrip(". ")
            assert len(component.encode()) <= 255
            assert not set(component) & set('<>:"|?*\\\0')
