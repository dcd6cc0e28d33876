"""The embedded server: one a folder, stopped with its parent, started again when it dies."""

import os
import signal
import socket
from pathlib import Path

import psutil
import pytest

from darkroom.client.connection import connect, connect_to
from darkroom.domain.errors import ServerNotReachable
from darkroom.embedded.address import embedded_address
from darkroom.embedded.ports import PORTS, PortTaken
from darkroom.embedded.server import AlreadyUp, embedded_server
from darkroom.settings import Settings
from tests.support.until import until

LOWEST_OF_OUTGOING_CONNECTIONS = 32_768
"""By default, on Linux; elsewhere it is higher."""


def _settings(home: Path) -> Settings:
    return Settings(_env_file=None, darkroom_home=home)


async def test_a_server_that_is_killed_is_started_again_on_the_same_address(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    async with embedded_server(settings, port=0, ui_port=0) as server:
        os.kill(server.pid, signal.SIGKILL)

        async def answers_again() -> bool:
            left = embedded_address(settings)
            if left is None or left.pid == server.pid:
                return False
            try:
                client = await connect_to(left)
            except ServerNotReachable:
                return False
            return await client.service_client.check_health()

        await until(answers_again, "another server at the address")
        left = embedded_address(settings)
        assert left is not None
        assert left.address == server.address
    assert embedded_address(settings) is None
    assert not psutil.pid_exists(left.pid)


async def test_a_second_stack_in_the_folder_and_a_taken_port_get_one_line(tmp_path: Path) -> None:
    async with embedded_server(_settings(tmp_path / "one"), port=0, ui_port=0) as server:
        with pytest.raises(AlreadyUp, match="DARKROOM_HOME"):
            async with embedded_server(_settings(tmp_path / "one"), port=0, ui_port=0):
                pass
        port = int(server.address.rpartition(":")[2])
        with pytest.raises(PortTaken, match=f"port {port} is in use"):
            async with embedded_server(_settings(tmp_path / "two"), port=port, ui_port=0):
                pass


async def test_any_port_finds_a_free_one(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with embedded_server(_settings(tmp_path), port=port, ui_port=0, any_port=True) as server:
            assert not server.address.endswith(f":{port}")


async def test_no_outgoing_connection_may_take_a_port_before_the_server_listens_there(tmp_path: Path) -> None:
    async with embedded_server(_settings(tmp_path), port=0, ui_port=0) as server:
        words = psutil.Process(server.pid).cmdline()
        ports = [int(words[words.index(option) + 1]) for option in ("--port", "--http-port")]
    assert set(ports) <= set(PORTS)
    assert max(PORTS) < LOWEST_OF_OUTGOING_CONNECTIONS


def _names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_a_folder_with_any_name_keeps_the_history_and_an_unknown_namespace_gets_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "100% a#b?c%20d e"
    async with embedded_server(_settings(home), port=0, ui_port=0) as server:
        assert (home / "temporal.db").is_file()
        assert _names_in(tmp_path) == [home.name]
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("TEMPORAL_ADDRESS", server.address)
        monkeypatch.setenv("TEMPORAL_NAMESPACE", "nope")
        with pytest.raises(ServerNotReachable) as unknown:
            await connect(_settings(home))
    assert str(unknown.value) == (
        "the Temporal server has no namespace nope: set TEMPORAL_NAMESPACE, or create it with "
        "`temporal operator namespace create --namespace nope`"
    )
