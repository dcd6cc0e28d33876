"""A wrong order is refused in one line with exit status 2, and leaves no row and no file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.cli.conftest import STRANGER, STRANGERS_PICTURE, Run, contents
from tests.cli.rejections import assert_rejected, order, stage

NOBODY_KNOWN = UUID("99999999-2222-4333-8444-555555555555")


def references(*ids: int) -> dict[str, Any]:
    return stage(individualImageAttachIds=[{"attachId": attach_id, "type": "model"} for attach_id in ids])


RULES: list[tuple[str, bytes, str]] = [
    # Each rule of spec §1.
    ("no stages", json.dumps({"stages": []}).encode(), "stages: is empty; give at least one"),
    ("quantity 0", order(stage(quantity=0)), "stages[0].quantity: 0 is not between 1 and"),
    ("negative quantity", order(stage(quantity=-3)), "stages[0].quantity: -3"),
    ("quantity above a stage's maximum", order(stage(quantity=10_001)), "stages[0].quantity: 10001"),
    ("quantity above a job's maximum", order(*[stage(quantity=10_000)] * 4), "stages: 40000 images"),
    ("too many stages", order(*[stage()] * 1001), "stages: 1001 exceed the maximum of 1000"),
    ("empty prompt", order(stage(prompt="  \n ")), "stages[0].prompt: is empty"),
    ("long prompt", order(stage(prompt="x" * 20_001)), "stages[0].prompt: 20001 characters"),
    ("unknown aspect ratio", order(stage(**{"aspect-ratio": "5:7"})), "stages[0].aspect_ratio: '5:7'"),
    ("reference that does not exist", order(references(4711)), "stages[0].references: attachment 4711 does not exist"),
    ("reference of another user", order(references(STRANGERS_PICTURE)), "attachment 1 belongs to another user"),
    (
        "too many references",
        order(references(*range(2, 17))),
        "stages[0].references: 15 exceed offline's maximum of 14",
    ),
    ("user without a member row", order(userId=str(NOBODY_KNOWN)), f"user_id: {NOBODY_KNOWN} has no member row"),
    ("duplicate stage_index", order(stage(stage_index=1), stage(stage_index=1)), "stages[1].stage_index: 1 is used"),
    ("unknown job_type", order(job_type="mosaic"), "job_type: 'mosaic' is unknown"),
    ("no job_type, and no key that implies one", b'{"lemon": "a"}', "job_type: is missing"),
    ("a prompt without a quantity", b'{"prompt": "a lemon"}', "quantity: is missing; say how many pictures to make"),
    ("unknown provider", order(provider="dall-e"), "provider: 'dall-e' is not available"),
    ("no uploaded image", b'{"prompt":"x","quantity":1,"uploadedAttachIds":[]}', "uploaded_attach_ids: is empty"),
    *(
        (f"an invisible prompt of U+{ord(char):04X}", order(stage(prompt=f" {char}")), "is without a visible character")
        for char in "\u3164\u115f\u1160\uffa0\u2800\u200b\u200d\ufeff\u2060\ufe0f\U000e0100\U000e0041\u00ad\u180e"
    ),
    ("a misspelt key", b'{"stagess": []}', "'stagess' is unknown; did you mean stages?"),
    # Wrong types.
    ("userId that is no UUID", order(userId="me"), "user_id: 'me' is not a UUID"),
    ("quantity as a text", order(stage(quantity="many")), "stages[0].quantity: "),
    ("quantity as true", order(stage(quantity=True)), "stages[0].quantity: must be a whole number"),
    ("half a picture", order(stage(quantity=1.5)), "stages[0].quantity: must be a whole number"),
    ("prompt as a list", order(stage(prompt=["a"])), "stages[0].prompt: "),
    ("missing prompt", b'{"stages":[{"quantity":1}]}', "stages[0].prompt: is missing"),
    ("missing quantity", b'{"stages":[{"prompt":"x"}]}', "stages[0].quantity: is missing"),
    ("stages as an object", b'{"stages":{"0":{}}}', "stages: "),
    ("stage as a text", b'{"stages":["a lemon"]}', "stages[0]: "),
    ("max_credits below 0", order(max_credits=-1), "max_credits: "),
    ("priority 6", order(priority=6), "priority: "),
    ("attachId 0", order(references(0)), "stages[0].individual_image_attach_ids[0].attach_id: "),
    ("two spellings that disagree", b'{"stages":[{"prompt":"x","quantity":1,"stageIndex":0,"stage_index":1}]}', ""),
    ("a list", b"[1, 2]", "document: must be an object, not a list"),
    ("a number", b"3", "document: must be an object, not a number"),
    ("null", b"null", "document: must be an object, not null"),
    # Broken files.
    ("broken JSON", b'{"stages": [\n  {"prompt": "x",}\n]}', "document: is not valid JSON: "),
    ("JSON cut short", b'{"stages": [{"prompt": "x"', "document: is not valid JSON: "),
    ("the same key twice", b'{"stages": [], "stages": []}', "stages: is given twice"),
    ("NaN", b'{"stages":[{"prompt":"x","quantity":NaN}]}', "document: is not valid JSON: NaN"),
    ("a number without end", b'{"stages":' + b"9" * 5000 + b"}", "document: is not valid JSON: "),
    ("nested without end", b"[" * 100_000, "document: is nested deeper than 50 levels"),
    ("nested too deep", b'{"a":' * 40 + b"1" + b"}" * 40, "document: is nested deeper than 20 levels"),
    (
        "an unpaired surrogate",
        b'{"stages":[{"prompt":"\\ud800","quantity":1}]}',
        "document: contains an unpaired surrogate",
    ),
    ("not UTF-8", b'{"stages": "\xff\xfe"}', "document: is not UTF-8 text: invalid byte at position 12"),
    ("an empty file", b"", "document: is empty"),
    ("only blanks", b" \n\t", "document: is empty"),
]


YAML: list[tuple[str, str, str]] = [
    (
        "a key twice",
        "stages:\n- prompt: x\n  quantity: 1\n  quantity: 5\n",
        "quantity: is given twice, the second time in line 4",
    ),
    ("a ratio as a number", "stages:\n- {prompt: x, quantity: 1, aspect-ratio: 16:9}\n", 'in quotes, "16:9", or as'),
    ("an octal number", "stages:\n- {prompt: x, quantity: 010}\n", "contains 010 in line 2"),
    ("a sexagesimal fraction", "stages:\n- {prompt: x, quantity: 1:30.5}\n", "contains 1:30.5 in line 2"),
    ("broken YAML", "stages:\n  - prompt: [x\n", "document: is not valid YAML: "),
    ("a tab", "stages:\n\t- prompt: x\n", "document: is not valid YAML: "),
    (
        "a Python object",
        "stages: !!python/object/apply:os.system [ls]\n",
        "document: is not valid YAML: could not determine",
    ),
    ("an alias", "a: &a [x]\nstages: [*a]\n", "document: uses the alias *a in line 2"),
    ("two documents", "stages: []\n---\nstages: []\n", "document: is not valid YAML: "),
    ("a set", "stages: !!set {a, b}\n", "document: contains a value that JSON cannot represent"),
    ("infinity", "stages:\n- {prompt: x, quantity: .inf}\n", "document: contains a value that JSON cannot represent"),
    ("nested without end", "[" * 1000 + "]" * 1000, "document: is nested deeper than 50 levels"),
    ("a text", "just words\n", "document: must be an object, not a string"),
]


@pytest.mark.parametrize(("document", "reason"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES])
def test_a_wrong_order_is_one_line_and_leaves_nothing(
    run: Run, settled: Path, tmp_path: Path, document: bytes, reason: str
) -> None:
    file = tmp_path / "order.json"
    file.write_bytes(document)
    assert_rejected(run, settled, reason, file)


@pytest.mark.parametrize(("document", "reason"), [rule[1:] for rule in YAML], ids=[rule[0] for rule in YAML])
def test_wrong_yaml_is_one_line_and_leaves_nothing(
    run: Run, settled: Path, tmp_path: Path, document: str, reason: str
) -> None:
    file = tmp_path / "order.yaml"
    file.write_text(document, "utf-8")
    assert_rejected(run, settled, reason, file)


def test_what_is_wrong_is_shown_with_its_place(run: Run, settled: Path, tmp_path: Path) -> None:
    file = tmp_path / "order.json"
    file.write_text('{"stages": [\n  {"prompt" "x"}\n]}')
    assert_rejected(run, settled, "line 2, column 13", file)


def test_an_order_that_the_balance_does_not_cover_is_refused_and_leaves_nothing(
    run: Run, settled: Path, tmp_path: Path
) -> None:
    file = tmp_path / "order.json"
    file.write_text('{"stages": [{"prompt": "x", "quantity": 51}]}')
    before = contents(settled)
    refused = run("submit", file)
    assert (refused.status, refused.error) == (
        5,
        "insufficient credits: need 1020, available 1000; order fewer pictures, or grant credits",
    )
    assert contents(settled) == before
    assert run("submit", file, "--anonymous").status == 0
    file.write_text('{"max_credits": 40, "stages": [{"prompt": "x", "quantity": 51}]}')
    assert run("submit", file).status == 0


def test_an_alias_bomb_costs_nothing(run: Run, settled: Path, tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    file = tmp_path / "bomb.yaml"
    file.write_text("\n".join(lines))
    assert_rejected(run, settled, "document: uses the alias *a0 in line 2", file)


def test_a_file_of_100_mb_is_refused_by_its_size(run: Run, settled: Path, tmp_path: Path) -> None:
    file = tmp_path / "large.json"
    with file.open("wb") as sparse:
        sparse.truncate(100 * 1024 * 1024)
    assert_rejected(run, settled, "exceeds the maximum of 10,485,760", file)


def test_an_endless_input_is_read_to_the_limit_only(run: Run, settled: Path) -> None:
    assert_rejected(run, settled, "document: is larger than the maximum of 10,485,760 bytes", "/dev/zero")


def test_standard_input_is_bounded_too(run: Run, settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/zero").open(encoding="latin-1") as endless:
        monkeypatch.setattr("sys.stdin", endless)
        assert_rejected(run, settled, "document: is larger than the maximum of 10,485,760 bytes", "-")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is a folder, not a file"),
    ],
    ids=["missing", "a folder"],
)
def test_what_is_no_file_is_refused(
    run: Run, settled: Path, tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    path = tmp_path / "order.json"
    make(path)
    assert_rejected(run, settled, reason, path)


def test_anonymous_and_a_user_contradict_each_other(run: Run, settled: Path, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_bytes(order(userId=str(STRANGER)))
    assert_rejected(run, settled, f"user_id: the order names {STRANGER}", "order.json", "--anonymous")


def test_a_job_id_that_is_no_uuid_is_refused(run: Run, settled: Path, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_bytes(order())
    assert_rejected(run, settled, "--job-id: '17' is not a UUID", "order.json", "--job-id", "17")


def test_on_a_home_that_is_not_there_a_wrong_order_makes_none(run: Run, connected: Path, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_bytes(order(references(4711)))
    assert_rejected(run, connected, "attachment 4711 does not exist", "order.json")
    (tmp_path / "order.json").write_bytes(order(userId=str(STRANGER)))
    assert_rejected(run, connected, f"user_id: {STRANGER} has no member row", "order.json")
    assert not connected.exists()


def test_a_name_cannot_steer_the_terminal_or_make_a_second_line(run: Run, settled: Path, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_bytes(order(provider="\x1b[2J\nerror: all is well"))
    ended = run("submit", "order.json")
    assert ended.status == 2
    assert "\x1b" not in ended.error


def test_a_wrong_order_is_one_document_with_json(run: Run, settled: Path, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_bytes(order(stage(quantity=0)))
    ended = run("submit", "order.json", "--json")
    assert ended.document == {"error": ended.error, "exit_status": 2}


def test_without_a_server_nothing_is_written(run: Run, home: Path, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_bytes(order())
    ended = run("submit", "order.json")
    assert ended.status == 3
    assert "no Temporal server" in ended.error
    assert not home.exists()


def test_a_server_that_does_not_answer_is_one_line(
    run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "order.json").write_bytes(order())
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    ended = run("submit", "order.json")
    assert ended.status == 3
    assert "127.0.0.1:1 does not answer" in ended.error
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:port")
    assert run("submit", "order.json").status == 2
    assert not home.exists()


def test_the_same_id_twice_is_one_job(run: Run, connected: Path, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_bytes(order())
    job_id = str(uuid4())
    first = run("submit", "order.json", "--job-id", job_id, "--json")
    again = run("submit", "order.json", "--job-id", job_id, "--json")
    assert (first.status, again.status) == (0, 0)
    assert (first.document["found"], again.document["found"]) == (False, True)
    assert [job["job_id"] for job in run("list", "--json").document] == [job_id]
