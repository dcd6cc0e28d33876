"""Who may import whom, how long files are, and what they are never called (architecture.md, style.md)."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("darkroom", "workflows", "activities", "api")
PROGRAMS = ("starter", "worker")
LONGEST_FILE = 300
MEANINGLESS = {"utils", "util", "helpers", "helper", "common", "misc", "base"}

STANDARD = frozenset(sys.stdlib_module_names)
OURS = (*PACKAGES, *PROGRAMS)
"""What belongs to the project; of it, a module imports only what its layer lists."""

PORTS = ("darkroom.orders", "darkroom.providers", "darkroom.records", "darkroom.storage")
BELOW_BOOTSTRAP = ("darkroom.domain", *PORTS, "darkroom.settings", "darkroom.logs")

LAYERS: dict[str, tuple[str, ...]] = {
    "darkroom.domain": ("darkroom.domain",),
    "darkroom.orders": ("darkroom.domain", "darkroom.orders"),
    "darkroom.supabase": (),
    "darkroom.records": ("darkroom.domain", "darkroom.records", "darkroom.supabase"),
    "darkroom.storage": ("darkroom.domain", "darkroom.storage", "darkroom.supabase"),
    "darkroom.providers": ("darkroom.domain", "darkroom.providers", "darkroom.settings"),
    "darkroom.settings": ("darkroom.domain",),
    "darkroom.pictures": ("darkroom.domain",),
    "darkroom.webhooks": ("darkroom.domain", "darkroom.webhooks"),
    "darkroom.intake": ("darkroom.domain", "darkroom.orders", "darkroom.records", "darkroom.webhooks"),
    "api": (
        *BELOW_BOOTSTRAP,
        *("darkroom.bootstrap", "darkroom.desk", "darkroom.pictures", "darkroom.signing", "darkroom.temporal"),
        *("darkroom.uploads", "api"),
    ),
    "workflows": ("darkroom.domain", "workflows", "activities"),
    "darkroom.leftovers": ("darkroom.domain", "darkroom.records", "darkroom.storage"),
    "activities": (
        *BELOW_BOOTSTRAP,
        *("darkroom.intake", "darkroom.leftovers", "darkroom.pictures", "darkroom.webhooks"),
        "activities",
    ),
}
"""A module's layer, and of what is ours, the only prefixes it may import."""


def module_name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (REPOSITORY / package).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, as precisely as the file says it: functions and type checks included."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            for name in node.names:
                target = f"{node.module}.{name.name}"
                as_path = REPOSITORY.joinpath(*target.split("."))
                is_module = as_path.with_suffix(".py").is_file() or as_path.is_dir()
                yield target if is_module else str(node.module)


def within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_lies_below_it(layer: str) -> None:
    wrong = [
        f"{module_name(path)} imports {name}"
        for path in sources(*PACKAGES)
        if within(module_name(path), (layer,))
        for name in imports(path)
        if within(name, OURS) and not within(name, LAYERS[layer])
    ]
    assert wrong == []


def test_the_domain_knows_only_pydantic_and_the_standard_library() -> None:
    wrong = [
        f"{module_name(path)} imports {name}"
        for path in sources("darkroom/domain")
        for name in imports(path)
        if not within(name, ("pydantic", "darkroom.domain")) and name.partition(".")[0] not in STANDARD
    ]
    assert wrong == []


def test_no_adapter_is_known_outside_the_bootstrap() -> None:
    adapters = (
        "darkroom.records.sqlite",
        "darkroom.records.supabase",
        "darkroom.storage.files",
        "darkroom.storage.supabase",
    )
    wrong = [
        f"{module_name(path)} imports {name}"
        for path in sources(*PACKAGES)
        if module_name(path) != "darkroom.bootstrap" and not within(module_name(path), adapters)
        for name in imports(path)
        if within(name, adapters)
    ]
    assert wrong == []


def test_no_port_knows_another_port() -> None:
    wrong = [
        f"{module_name(path)} imports {name}"
        for port in PORTS
        for path in sources(port.replace(".", "/"))
        for name in imports(path)
        if within(name, tuple(other for other in PORTS if other != port))
    ]
    assert wrong == []


def test_workflows_reach_no_clock_network_or_database() -> None:
    allowed = ("temporalio", "structlog", "pydantic", "darkroom.domain", "workflows", "activities")
    forbidden = {"random", "time", "threading", "socket", "sqlite3", "subprocess", "os", "requests"}
    wrong = [
        f"{module_name(path)} imports {name}"
        for path in sources("workflows")
        for name in imports(path)
        if name.partition(".")[0] in forbidden or not (within(name, allowed) or name.partition(".")[0] in STANDARD)
    ]
    assert wrong == []


def test_programs_are_imported_by_nobody_and_the_api_by_itself_alone() -> None:
    wrong = [
        f"{module_name(path)} imports {name}"
        for path in sources(*PACKAGES)
        for name in imports(path)
        if within(name, PROGRAMS) or (within(name, ("api",)) and not within(module_name(path), ("api",)))
    ]
    assert wrong == []


def test_no_file_is_longer_than_a_reader_likes() -> None:
    long = {
        str(path.relative_to(REPOSITORY)): length
        for path in sources(*PACKAGES)
        if (length := len(path.read_text("utf-8").splitlines())) > LONGEST_FILE
    }
    assert long == {}


def test_no_file_or_folder_has_a_meaningless_name() -> None:
    wrong = [
        str(path.relative_to(REPOSITORY))
        for path in sources(*PACKAGES, "tests", "benchmarks")
        if MEANINGLESS & {path.stem, *path.relative_to(REPOSITORY).parts[:-1]}
    ]
    assert wrong == []
