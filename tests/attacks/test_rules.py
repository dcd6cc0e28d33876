"""The rules by which an answer is judged, with answers made up: each sees what it is for, and nothing else."""

from tests.attacks.judging import leaked, told_apart
from tests.attacks.kinds.texts import read_back, shown_as_html
from tests.attacks.wire import Answer, read_answer
from tests.attacks.world import GREEN, MAGENTA, picture


def test_a_leak_is_seen_however_it_is_written() -> None:
    def answer(body: bytes, kind: str = "text/plain") -> Answer:
        return read_answer(b"HTTP/1.1 200 OK\r\nContent-Type: " + kind.encode() + b"\r\n\r\n" + body, ended=True)

    assert leaked(answer(b"5ec2e7-of-the-victim")) == "reads the victim's text"
    assert leaked(answer(b"5ec2e7%2Dof-the-victim")) == "reads the victim's text"
    assert leaked(answer(b"SQLite format 3\0")) == "reads a file of the machine"
    assert leaked(answer(picture(MAGENTA, "WEBP"), "image/webp")) == "reads the victim's picture"
    assert leaked(answer(picture(GREEN, "WEBP"), "image/webp")) is None
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n5ec2e7-\r\nd\r\nof-the-victim\r\n0\r\n\r\n"
    assert read_answer(chunked, ended=True).text == "5ec2e7-of-the-victim"


def test_two_answers_that_differ_are_told_apart() -> None:
    def answer(text: str) -> Answer:
        return read_answer(f"HTTP/1.1 404 Not Found\r\n\r\n{text}".encode(), ended=True)

    assert told_apart(answer("there is no 7"), answer("there is no 900")) is None
    assert told_apart(answer("7 is another's"), answer("there is no 900")) is not None


def test_scripts_and_control_characters_are_seen_where_they_would_work() -> None:
    def answer(body: str, kind: str) -> Answer:
        return read_answer(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n{body}".encode(), ended=True)

    evil = "<script>alert(1)</script>"
    assert shown_as_html(evil)(answer(f"<p>{evil}</p>", "text/html"))
    assert not shown_as_html(evil)(answer("<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>", "text/html"))
    assert not shown_as_html(evil)(answer(evil, "application/json"))
    assert shown_as_html("{{7*7191}}")(answer("50337", "text/html"))
    colour = read_back("\x1b[31mred")
    assert colour(answer('{"label": "\\u001b[31mred"}', "application/json"))
    assert not colour(answer('{"label": "[31mred"}', "application/json"))
