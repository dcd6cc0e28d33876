"""Who may import whom, how long files are, and what they are never called (architecture.md, style.md)."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("darkroom", "workflows", "activities", "cli")
PROGRAMS = ("starter", "worker")
LONGEST_FILE = 300
MEANINGLESS = {"utils", "util", "helpers", "helper", "common", "misc", "base"}

STANDARD = frozenset(sys.stdlib_module_names)
OURS = (*PACKAGES, *PROGRAMS)
"""What belongs to the project; of it, a module imports only what its layer lists."""

DOMAIN = ("darkroom.domain",)
PORTS = ("darkroom.orders", "darkroom.providers", "darkroom.records", "darkroom.storage", "darkroom.webhooks")
EDGES = (
    "darkroom._version",
    "darkroom.settings",
    "darkroom.api_limits",
    "darkroom.picture_settings",
    "darkroom.cost_settings",
    "darkroom.logs",
    "darkroom.pictures",
    "darkroom.signing",
    "darkroom.workers",
    "darkroom.disk",
    "darkroom.hosts",
    "darkroom.fair_queue",
    "darkroom.gathering",
    "darkroom.room",
    "darkroom.counting",
)
"""What belongs to no port, and knows the domain alone."""
BELOW_CLIENT = ("darkroom.contract", *DOMAIN, *PORTS, *EDGES)
CLIENT = (
    "darkroom.client",
    "darkroom.exports",
    "darkroom.housekeeping",
    "darkroom.embedded",
    "darkroom.doctor",
    "darkroom.bootstrap",
)

ENTRY = "darkroom.__main__"
"""The command `darkroom`, which nothing imports: it alone knows what lies above."""

LAYERS: dict[str, tuple[str, ...]] = {
    "darkroom.domain": DOMAIN,
    "darkroom.contract": DOMAIN,
    "darkroom.api_limits": (),
    "darkroom.picture_settings": DOMAIN,
    "darkroom.cost_settings": DOMAIN,
    "darkroom.settings": (
        *DOMAIN,
        "darkroom.api_limits",
        "darkroom.picture_settings",
        "darkroom.cost_settings",
        "darkroom.proxies",
        "darkroom.setting_values",
    ),
    "darkroom.setting_values": DOMAIN,
    "darkroom.proxies": DOMAIN,
    "darkroom.logs": ("darkroom.domain", "darkroom.settings"),
    "darkroom.allocator": (),
    "darkroom.collector": (),
    "darkroom.decoding": ("darkroom.decoding", "darkroom.allocator"),
    "darkroom.fair_queue": (),
    "darkroom.gathering": DOMAIN,
    "darkroom.room": (),
    "darkroom.pictures": (*DOMAIN, "darkroom.decoding", "darkroom.fair_queue"),
    "darkroom.signing": (*DOMAIN, "darkroom.settings"),
    "darkroom.supabase": (),
    "darkroom.workers": (),
    "darkroom.webhooks": (*DOMAIN, "darkroom._version", "darkroom.webhooks"),
    "darkroom.disk": (),
    "darkroom.hosts": (),
    "darkroom.counting": (*DOMAIN, "darkroom.counting"),
    "darkroom.counting.opening": (
        *("darkroom.counting", "darkroom.settings", "darkroom.supabase", "darkroom.records.supabase.functions"),
    ),
    "darkroom.records": (
        *DOMAIN,
        *("darkroom.records", "darkroom.supabase", "darkroom.disk", "darkroom.fair_queue", "darkroom.gathering"),
    ),
    "darkroom.storage": (*DOMAIN, "darkroom.storage", "darkroom.supabase", "darkroom.disk", "darkroom.gathering"),
    "darkroom.providers": (*DOMAIN, "darkroom.allocator", "darkroom.room", "darkroom.providers"),
    "darkroom.provider_choice": (*DOMAIN, "darkroom.providers", "darkroom.settings"),
    "darkroom.orders": (*DOMAIN, "darkroom.orders"),
    "darkroom.orders.intake": (*DOMAIN, "darkroom.orders", "darkroom.records", "darkroom.webhooks"),
    "darkroom.orders.references": (*DOMAIN, "darkroom.orders", "darkroom.records", "darkroom.storage", *EDGES),
    "darkroom.exports": (*DOMAIN, "darkroom.records", "darkroom.storage", "darkroom.pictures", "darkroom.exports"),
    "darkroom.embedded": (*DOMAIN, *EDGES, "darkroom.embedded"),
    "darkroom.client": (*BELOW_CLIENT, "darkroom.embedded.address", "darkroom.client"),
    "darkroom.housekeeping": (
        *BELOW_CLIENT,
        "darkroom.client.webhooks",
        "darkroom.client.deleting",
        "darkroom.client.stuck_workflows",
        "darkroom.housekeeping",
    ),
    "darkroom.doctor": (*BELOW_CLIENT, "darkroom.client"),
    "darkroom.bootstrap": (
        *BELOW_CLIENT,
        *CLIENT,
        "darkroom.decoding.children",
        "darkroom.provider_choice",
        "darkroom.supabase",
    ),
    "darkroom.api": (*BELOW_CLIENT, *CLIENT, "darkroom.api"),
    "darkroom.api.__main__": (
        "darkroom.api",
        "darkroom.collector",
        "darkroom.domain",
        "darkroom.settings",
        "darkroom.logs",
    ),
    "darkroom.proof": (*BELOW_CLIENT, *CLIENT, "darkroom.proof"),
    "darkroom.proof.plain": (*DOMAIN, *PORTS, *EDGES, "darkroom.proof"),
    "activities": (*DOMAIN, *PORTS, *EDGES, "darkroom.housekeeping.leftovers", "activities"),
    "activities.composition": (*BELOW_CLIENT, *CLIENT, "activities"),
    "workflows": (*DOMAIN, "darkroom.contract", "activities", "workflows"),
    "cli": (*BELOW_CLIENT, *CLIENT, "darkroom.collector", "worker", "cli"),
    "cli.prove": (*BELOW_CLIENT, *CLIENT, "darkroom.proof", "cli"),
    "cli.proof_worker": (*BELOW_CLIENT, *CLIENT, "darkroom.proof", "darkroom.collector", "worker", "cli"),
    "cli.deployment": ("darkroom.api.server", "worker", "cli"),
    "worker": (*BELOW_CLIENT, *CLIENT, "darkroom.allocator", "activities", "workflows"),
    "starter": ("cli", "darkroom.collector"),
    "darkroom": ("darkroom",),
    "darkroom._version": (),
    ENTRY: ("cli", "darkroom.collector"),
}
"""A module's layer (the longest name that fits), and of what is ours, the only prefixes it may import."""


def module_name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (REPOSITORY / package).rglob("*.py"))


def shipped() -> list[Path]:
    return [*sources(*PACKAGES), *(REPOSITORY / f"{program}.py" for program in PROGRAMS)]


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
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            yield from (str(name.value) for name in node.args[:1] if isinstance(name, ast.Constant))


def _called(node: ast.Call) -> str | None:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else None


def within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def layer_of(module: str) -> str | None:
    """The layer with the longest name that the module is in; the package `darkroom` alone is one of its own."""
    fitting = [layer for layer in LAYERS if within(module, (layer,)) and (layer != "darkroom" or module == layer)]
    return max(fitting, key=len, default=None)


def test_every_module_has_a_layer() -> None:
    assert [module_name(path) for path in shipped() if layer_of(module_name(path)) is None] == []


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_lies_below_it(layer: str) -> None:
    wrong = [
        f"{module_name(path)} imports {name}"
        for path in shipped()
        if layer_of(module_name(path)) == layer
        for name in imports(path)
        if within(name, OURS) and not within(name, LAYERS[layer])
    ]
    assert wrong == []


def test_the_library_never_looks_up_but_for_its_entry() -> None:
    wrong = [
        f"{module_name(path)} imports {name}"
        for path in sources("darkroom")
        if module_name(path) != ENTRY
        for name in imports(path)
        if within(name, ("workflows", "activities", "cli", "worker", "starter"))
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
        for path in shipped()
        if module_name(path) not in ("darkroom.bootstrap", "darkroom.counting.opening")
        and not within(module_name(path), adapters)
        for name in imports(path)
        if within(name, adapters)
    ]
    assert wrong == []


def test_workflows_reach_no_clock_network_or_database() -> None:
    allowed = ("temporalio", "structlog", "pydantic", "darkroom.domain", "darkroom.contract", "workflows", "activities")
    forbidden = {"random", "time", "threading", "socket", "sqlite3", "subprocess", "os", "requests"}
    wrong = [
        f"{module_name(path)} imports {name}"
        for path in sources("workflows")
        for name in imports(path)
        if name.partition(".")[0] in forbidden or not (within(name, allowed) or name.partition(".")[0] in STANDARD)
    ]
    assert wrong == []


def test_no_file_is_longer_than_a_reader_likes() -> None:
    long = {
        str(path.relative_to(REPOSITORY)): length
        for path in shipped()
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
