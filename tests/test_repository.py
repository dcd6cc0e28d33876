"""What people find around the code holds: license, changelog, workflows, links, decision records."""

import os
import re
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from darkroom.domain.progress import JobStatus

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
DECISIONS = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))

APACHE_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""SHA-256 of the text that the Apache Software Foundation publishes."""

NOT_OURS = {".git", ".venv", "node_modules", ".darkroom", ".pytest_cache", ".hypothesis", "build", "dist"}


def read(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def version() -> str:
    """The project's version, wherever pyproject.toml says that it is kept."""
    if "version" in PROJECT:
        return str(PROJECT["version"])
    tool = tomllib.loads(read("pyproject.toml"))["tool"]["hatch"]["version"]
    found = re.search(r'^__version__(?:: \w+)? = "([^"]+)"', read(tool["path"]), re.MULTILINE)
    assert found is not None
    return found[1]


def pages() -> list[Path]:
    """Every Markdown file of the repository."""
    found = []
    for folder, below, files in os.walk(ROOT):
        below[:] = set(below) - NOT_OURS  # thousands of files that need no look
        found += [Path(folder, name) for name in files if name.endswith(".md")]
    return sorted(found)


def prose(page: Path) -> str:
    """A page without its code, which may show links that are none."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return loaded


def test_the_license_is_the_official_text_of_apache_2_0() -> None:
    assert sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2_0


def test_the_changelog_tells_of_this_version_and_has_room_for_the_next() -> None:
    headings = re.findall(r"^## (.+)$", read("CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:])
    assert headings[1].startswith(f"[{version()}]")


def test_the_changes_of_a_version_are_of_the_known_kinds() -> None:
    kinds = set(re.findall(r"^### (.+)$", read("CHANGELOG.md"), re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    text = prose(page)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"^\[[^\]]+\]: (\S+)", text, re.MULTILINE)
    wrong = []
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        path, _, heading = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (heading and file.suffix == ".md" and heading not in anchors(file)):
            wrong.append(target)
    assert wrong == []


@pytest.mark.parametrize("page", ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/design.md"])
def test_links_are_really_looked_at(page: str) -> None:
    assert re.search(r"\]\((?!https?:)[^)\s]+\)", prose(ROOT / page))


def test_every_decision_is_in_the_index_under_its_title() -> None:
    rows = re.findall(
        r"^\| \[(\d{4})\]\(([^)]+)\) \| (.+?) \| (.+?) \|$", read("docs/decisions/README.md"), re.MULTILINE
    )
    files = [(path.name[:4], path.name) for path in DECISIONS]
    assert [(number, name) for number, name, _, _ in rows] == files
    for number, name, title, status in rows:
        text = read(f"docs/decisions/{name}")
        assert text.startswith(f"# {number}: {title}\n")
        assert re.search(rf"^Status: {status}, \d{{4}}-\d\d-\d\d$", text, re.MULTILINE)


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.name)
def test_a_decision_is_short_and_says_all_that_a_decision_says(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert len(lines) <= 45
    assert [line for line in lines if line.startswith("## ")] == [
        "## Context",
        "## Decision",
        "## Consequences",
        "## Measured",
    ]


def test_the_diagram_of_a_jobs_states_has_every_status_and_no_other() -> None:
    [diagram] = re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", read("docs/job-states.md"), re.DOTALL)
    inside = re.search(r"state processing \{\n.*?\n    \}\n", diagram, re.DOTALL)
    assert inside is not None
    outside = diagram.replace(inside[0], "")
    transitions = re.findall(r"^ *(\S+) --> (\w+|\[\*\])", outside, re.MULTILINE)
    assert {name for pair in transitions for name in pair} - {"[*]"} == set(JobStatus)
    ended = {status for status in JobStatus if status.ended}
    assert {source for source, target in transitions if target == "[*]"} == ended


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_can_only_read_unless_a_job_says_more_and_pins_its_actions(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow
    for step in steps(workflow):
        assert "uses" not in step or re.fullmatch(r"[\w-]+/[\w./-]+@v\d+", step["uses"])
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


@pytest.mark.parametrize("name", ["test.yml", "nightly.yml"])
def test_ci_tests_the_oldest_python_that_is_allowed_and_the_one_in_the_image(name: str) -> None:
    oldest = re.fullmatch(r">=(\d\.\d+)", PROJECT["requires-python"])
    in_image = re.search(r"^FROM python:(\d\.\d+)-", read("Dockerfile"), re.MULTILINE)
    assert oldest is not None
    assert in_image is not None
    [job] = load(ROOT / ".github/workflows" / name)["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == [oldest[1], in_image[1]]


def test_only_a_tag_publishes_an_image() -> None:
    workflow = load(ROOT / ".github/workflows/image.yml")
    pushing = {
        name for name, job in workflow["jobs"].items() for step in job["steps"] if step.get("with", {}).get("push")
    }
    writing = {name for name, job in workflow["jobs"].items() if "write" in job.get("permissions", {}).values()}
    assert pushing == writing == {"publish"}
    assert workflow["jobs"]["publish"]["if"] == "startsWith(github.ref, 'refs/tags/v')"


def test_dependabot_looks_where_dependencies_are_declared() -> None:
    updates = load(ROOT / ".github/dependabot.yml")["updates"]
    declared = {
        "pip": "pyproject.toml",
        "npm": "package.json",
        "github-actions": ".github/workflows",
        "docker": "Dockerfile",
    }
    assert {update["package-ecosystem"] for update in updates} == set(declared)
    for update in updates:
        assert (ROOT / update["directory"].strip("/") / declared[update["package-ecosystem"]]).exists()
