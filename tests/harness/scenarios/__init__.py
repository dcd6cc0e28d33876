"""What is played: each scenario acts on a running job, and leaves everything running."""

from dataclasses import dataclass
from pathlib import Path

from darkroom.proof import faults
from tests.harness.scenarios import outages, processes, steering
from tests.harness.scenarios.moments import Act

SHORT = 6.0


@dataclass(frozen=True)
class Scenario:
    """A plan of faults, and how the job is to end."""

    act: Act
    ends: str = "completed"
    """`completed` is with all that was ordered."""
    client_limit: float = 60.0
    """Seconds after which workers give a provider call up: longer than any stop, short where the provider hangs."""
    small_disk: str | None = None
    """The folder below DARKROOM_HOME ("." for all of it) that is a file system of a few MB, gone with the run."""


SCENARIOS: dict[str, Scenario] = {
    "kill-one": Scenario(processes.kill_one),
    "kill-all": Scenario(processes.kill_all),
    "kill-again": Scenario(processes.kill_again_and_again),
    "stop": Scenario(processes.stop_one),
    "cancel": Scenario(steering.cancel_only, "cancelled"),
    "kill-cancel": Scenario(steering.kill_and_cancel, "cancelled"),
    "stop-cancel": Scenario(steering.stop_and_cancel, "cancelled"),
    "kill-cancel-restart": Scenario(steering.kill_cancel_restart),
    "stop-cancel-restart": Scenario(steering.stop_cancel_restart),
    "temporal-dies": Scenario(processes.temporal_dies),
    "api-dies": Scenario(processes.api_dies),
    "disk-full-files": Scenario(outages.full_disk("files"), small_disk="files"),
    "disk-full-home": Scenario(outages.full_disk("."), small_disk="."),
    "disk-full-kill": Scenario(outages.full_disk(".", with_kill=True), small_disk="."),
    "locked": Scenario(outages.records_locked),
    "locked-cancel": Scenario(outages.records_locked_and_cancel, "cancelled"),
    "read-only": Scenario(outages.records_read_only, small_disk="."),
    "started-read-only": Scenario(outages.started_read_only, small_disk="."),
    "hangs": Scenario(outages.provider_fails("hang", "stall"), client_limit=SHORT),
    "late": Scenario(outages.provider_fails("late"), client_limit=SHORT),
    "twice": Scenario(outages.provider_fails("twice", share=1.0), client_limit=SHORT),
    "cuts": Scenario(outages.provider_fails("cut", "nothing", "stall"), client_limit=SHORT),
    "busy": Scenario(outages.provider_fails("500", "503", "503-in-200", "429"), client_limit=SHORT),
    "unusable": Scenario(outages.provider_fails("base64", "undecodable", share=0.4), client_limit=SHORT),
    "hangs-cancel": Scenario(steering.provider_hangs_and_cancel, "cancelled", client_limit=SHORT),
    "fails-kill": Scenario(processes.provider_fails_and_kill, client_limit=SHORT),
    "pauses": Scenario(steering.pause_and_resume),
    "pause-kill": Scenario(processes.pause_and_kill),
    "two-users": Scenario(processes.two_users),
    "batch-terminated": Scenario(steering.batch_terminated),
    "reset": Scenario(steering.job_reset),
    "stop-all": Scenario(processes.stop_all),
    "stop-kill": Scenario(processes.stop_one_kill_another),
    "kill-all-cancel-restart": Scenario(steering.kill_all_cancel_restart),
    "disk-full-cancel": Scenario(outages.disk_full_cancel, "cancelled", small_disk="files"),
    "read-only-kill": Scenario(outages.read_only_kill, small_disk="."),
    "temporal-and-worker": Scenario(processes.temporal_and_worker_die),
    "temporal-cancel": Scenario(steering.temporal_dies_cancel, "cancelled"),
    "job-terminated": Scenario(steering.job_terminated),
    "cancel-in-temporal": Scenario(steering.cancelled_in_temporal, "cancelled"),
    "batch-terminated-cancel": Scenario(steering.batch_terminated_cancel, "cancelled"),
    "reset-kill": Scenario(steering.reset_again_and_kill),
}


def small_disk(scenario: Scenario, home: Path) -> None:
    """Make the small file system that a scenario asks for."""
    if scenario.small_disk is not None:
        faults.mount_small(home / scenario.small_disk, 24)
