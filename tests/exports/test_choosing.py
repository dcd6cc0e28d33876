"""What of a job can be chosen, and what is refused in one line."""

import pytest

from darkroom.domain.errors import ExportRejected
from darkroom.exports import choosing
from darkroom.exports.choosing import Chosen
from tests.exports.test_archive import JOB, pictured


def chosen(text: str) -> list[int]:
    pictures: list[Chosen] = pictured([b"one"] * 9)
    return [one.picture.attach_id for one in choosing._wanted(JOB, pictures, choosing._ranges(text))]


def test_pictures_are_chosen_by_id_and_range_and_each_once() -> None:
    assert chosen("3") == [3]
    assert chosen("7, 2-4,3-5") == [2, 3, 4, 5, 7]
    assert chosen("8-1000000000000") == [8, 9]


@pytest.mark.parametrize("text", ["", "a", "1,,2", "-1", "1-", "0", "12", "10-20", "5-3", "1;2", "9" * 25])
def test_what_is_no_picture_of_the_job_is_refused(text: str) -> None:
    with pytest.raises(ExportRejected, match=r"^pictures: "):
        chosen(text)
