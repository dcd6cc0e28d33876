"""The docs stay true: a setting or a command that is not documented fails here."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from darkroom.client.jobs import Client
from darkroom.domain.orders import JobType, Limits
from darkroom.proof.breaks import BREAKS
from darkroom.providers import gemini, offline, runware
from darkroom.settings import Settings
from tests.support.reference import REFERENCE, reference

ROOT = Path(__file__).parent.parent
DOCUMENTED_SETTINGS = set(
    re.findall(r"^\| `([A-Z0-9_]+)`", (ROOT / "docs/settings.md").read_text("utf-8"), re.MULTILINE)
)


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    assert {name.upper() for name in Settings.model_fields} == DOCUMENTED_SETTINGS


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_documented_default_is_the_default(name: str) -> None:
    default = Settings.model_fields[name].default
    row = re.search(
        rf"^\| `{name.upper()}` \| ([^|]*) \|", (ROOT / "docs/settings.md").read_text("utf-8"), re.MULTILINE
    )
    assert row is not None
    if isinstance(default, tuple):
        default = ("x" if name.endswith("size") else "-").join(str(part) for part in default)
    if default not in (None, ""):
        shown = f"{default:g}" if isinstance(default, float) else str(default)
        assert row[1].strip("`") == (shown.lower() if isinstance(default, bool) else shown)


def test_every_kind_of_order_is_documented_with_the_limits() -> None:
    text = (ROOT / "docs/orders.md").read_text("utf-8")
    for job_type in JobType:
        assert f"**`{job_type}`**" in text
    limits = Limits()
    for number in (limits.stages, limits.images_per_stage, limits.images_per_job, limits.prompt_characters):
        assert f"{number:,}" in text


def guarantee_rows() -> list[list[str]]:
    """The rows of the table of guarantees."""
    text = (ROOT / "docs/guarantees.md").read_text("utf-8")
    [table] = re.findall(r"^\| guarantee \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]


def test_every_guarantee_names_a_test_that_exists_and_every_break_shows_one() -> None:
    rows = guarantee_rows()
    for name, *_, test, _off in rows:
        paths = re.findall(r"`(tests/[^`]+)`", test)
        assert paths, name
        for path in paths:
            file, _, function = path.partition("::")
            assert (ROOT / file).exists(), path
            assert not function or f"def {function}(" in (ROOT / file).read_text("utf-8"), path
    named = [word for row in rows for word in re.findall(r"`--break ([a-z-]+)`", row[-1])]
    assert sorted(named) == sorted(BREAKS)


README = (ROOT / "README.md").read_text("utf-8")


def readme_rows(heading: str) -> dict[str, list[str]]:
    """The rows of the README's table whose heading begins so, by their first cell."""
    [table] = re.findall(rf"^\| {heading}.*\n\|[-|]+\n((?:\|.*\n)+)", README, re.MULTILINE)
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]
    return {row[0].strip("`"): row[1:] for row in cells}


def test_the_readmes_table_of_orders_is_true() -> None:
    rows = readme_rows("order")
    assert set(rows) == set(JobType)
    limits = Limits()
    for number in (limits.stages, limits.images_per_stage, limits.images_per_job):
        assert f"{number:,}" in rows["pipeline_stage"][0]


def test_the_readmes_table_of_providers_is_true() -> None:
    rows = readme_rows("provider")
    known = {"gemini": gemini.CAPABILITIES, "runware": runware.CAPABILITIES, "offline": offline.CAPABILITIES}
    assert set(rows) == set(known)
    for name, can in known.items():
        _, ratios, references, slots = rows[name]
        assert (int(ratios), int(references)) == (len(can.aspect_ratios), can.max_references)
        key = SecretStr("a-key")
        chosen = Settings(_env_file=None, image_provider=name, gemini_api_key=key, runware_api_key=key)
        assert int(slots) == chosen.provider_slots


def test_the_readme_is_two_screens_at_most() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 100


def test_links_in_the_docs_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "supabase" / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_who_upgrades_is_told_the_newest_migration() -> None:
    newest = max((ROOT / "supabase" / "migrations").glob("*.sql")).name.partition("_")[0]
    unreleased = (ROOT / "CHANGELOG.md").read_text("utf-8").partition("\n## [0.")[0]
    assert set(re.findall(r"\b20\d{12}\b", unreleased)) == {newest}
    for page in (ROOT / "docs").glob("*.md"):
        assert set(re.findall(r"\b20\d{12}\b", page.read_text("utf-8"))) <= {newest}, page.name


def test_every_make_target_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text("utf-8"))) <= targets


def test_the_reference_of_the_command_line_is_what_the_commands_say() -> None:
    assert REFERENCE.read_text("utf-8") == reference(), "run `make reference`"


def test_the_script_in_the_docs_is_the_example() -> None:
    example = (ROOT / "examples" / "submit.py").read_text("utf-8")
    [shown, *_] = re.findall(r"```python\n(.*?)```", (ROOT / "docs/embedding.md").read_text("utf-8"), re.DOTALL)
    assert example.partition('"""\n\n')[2] == shown


def test_every_method_that_the_docs_name_is_the_clients() -> None:
    text = (ROOT / "docs/embedding.md").read_text("utf-8")
    [table] = re.findall(r"^\| method.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    named = {name for row in table.splitlines() for name in re.findall(r"`(\w+)", row.split("|")[1])}
    assert len(named) > 10
    assert {name for name in named if not hasattr(Client, name)} == set()
