"""What must hold when a run is over: the provider's account, the files and the records are held against each other."""

import asyncio
import json
import sqlite3
import sys
from collections import Counter
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import psutil
from temporalio.service import RPCError

from darkroom.domain.names import HOUSEKEEPING_SCHEDULE, job_workflow_id
from darkroom.proof.account import FILES, UNSTAGED, Account, Call
from darkroom.proof.invariants import broken
from darkroom.proof.marks import read
from darkroom.proof.site import ENDED, OPENING_BALANCE, Ordered
from darkroom.proof.stack import Stack
from darkroom.proof.tables import Dump, dump_file
from darkroom.proof.waiting import until

PRICE = 20
AUDITED_WITHIN = 60.0
TIDY_WITHIN = 40.0
ORPHANS_END_WITHIN = 5.0
WORKFLOW_ENDS_WITHIN = 60.0


async def settle_down(stack: Stack) -> list[str]:
    """Wait for the workflows' ends, and let housekeeping remove what came late; what is wrong with that."""
    wrong = []
    for job in stack.jobs:
        handle = stack.temporal.get_workflow_handle(job_workflow_id(job.job_id))
        try:
            await asyncio.wait_for(handle.result(), WORKFLOW_ENDS_WITHIN)
        except TimeoutError:
            wrong.append(f"job {job.job_id} is {stack.status(job)}, its workflow does not end")
        except RPCError as error:
            wrong.append(f"its workflow cannot be asked: {error}")

    async def tidy() -> bool:
        if not _left_over(stack, dump_of(stack)):
            return True
        # A run of housekeeping may have begun before the last file came.
        await stack.temporal.get_schedule_handle(HOUSEKEEPING_SCHEDULE).trigger()
        await asyncio.sleep(1)
        return False

    try:
        took = await until(tidy, "a clean storage", TIDY_WITHIN)
        stack.say(f"clean after {took:.1f} s")
    except AssertionError:
        wrong += _left_over(stack, dump_of(stack))
    return wrong


async def violations(stack: Stack) -> list[str]:
    """Everything that is wrong, in words; empty when nothing is."""
    wrong = await settle_down(stack)
    dump = dump_of(stack)
    wrong += broken(dump)
    wrong += _money(stack, dump)
    for job in stack.jobs:
        wrong += _job(stack, dump, job)
    wrong += _pictures(stack, dump)
    wrong += _calls(stack, dump)
    audited = await _audit(stack)
    wrong += await _orphans(stack)
    if audited:
        wrong.append(f"audit: {audited[:600]}")
    return wrong


async def _audit(stack: Stack) -> str:
    """What `darkroom audit` finds; nothing when all is well."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "darkroom", "audit", "--json"),
        env=dict(stack.environment),
        cwd=stack.folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), AUDITED_WITHIN)
    return (out or err).decode().strip() if process.returncode else ""


def dump_of(stack: Stack) -> Dump:
    return dump_file(stack.home / "records.db")


def _job(stack: Stack, dump: Dump, job: Ordered) -> list[str]:
    [row] = [row for row in dump["quel_production_jobs"] if row["job_id"] == str(job.job_id)]
    name = f"job {stack.jobs.index(job)}"
    wrong = []
    done = row["completed_images"] == job.total
    if job.ends is None:
        wrong += [f"{name}: {missing}" for missing in without_reason(dump, job)]
    elif row["job_status"] != job.ends and not (done and row["job_status"] == "completed"):
        wrong.append(f"{name} ended {row['job_status']} instead of {job.ends}: {row['error_message']}")
    if job.ends == "completed" and not done:
        reasons = [stage["reason"] for stage in dump["quel_job_stages"] if stage["job_id"] == str(job.job_id)]
        wrong.append(f"{name} delivered {row['completed_images']} of {job.total}: {reasons}")
    if row["paused"] or (
        row["job_status"] == "completed" and row["failed_images"] != job.total - row["completed_images"]
    ):
        wrong.append(f"{name}: paused {row['paused']}, failed_images {row['failed_images']}")
    runs = [run for run in dump["quel_job_runs"] if run["job_id"] == str(job.job_id)]
    wrong += [f"{name}: run {run['run_id']} is not closed" for run in runs if run["closed_at"] is None]
    receipt = json.loads(max(runs, key=lambda run: run["started_at"])["receipt"] or "null")
    if receipt is None or receipt["delivered"] != row["completed_images"]:
        wrong.append(f"{name}: receipt says {receipt and receipt['delivered']}, row {row['completed_images']}")
    elif job.user_id and receipt["total"]["charged"] != row["completed_images"] * PRICE:
        wrong.append(f"{name}: receipt says {receipt['total']['charged']} charged for {row['completed_images']}")
    if row["job_status"] == "cancelled":
        wrong += _begun_and_not_delivered(stack, dump, job)
    return wrong


def _begun_and_not_delivered(stack: Stack, dump: Dump, job: Ordered) -> list[str]:
    """Of a cancelled job, every image whose call was in progress is delivered, unless its worker was killed."""
    wrong = []
    own = [row for row in dump["quel_generation_attempts"] if row["job_id"] == str(job.job_id)]
    delivered = {
        (row["stage_index"], row["ordinal"])
        for row in dump["quel_attach"]
        if row["job_id"] == str(job.job_id) and row["delivered_at"]
    }
    for stage_index, mark in stack.marks(job).items():
        images = {
            (row["stage_index"], row["ordinal"])
            for row in own
            if row["stage_index"] == stage_index and row["outcome"] in (None, "generated")
        } - delivered
        lost = [number for number in stack.lost if stack.account.calls[number].mark == mark]
        if len(images) > len(lost):
            wrong.append(f"begun and not delivered: {sorted(images)}, where {len(lost)} calls died with their worker")
    return wrong


def without_reason(dump: Dump, job: Ordered) -> dict[str, int]:
    """What is short and does not say why, with the pictures that are missing; a cancelled job needs no more reason."""
    [row] = [row for row in dump["quel_production_jobs"] if row["job_id"] == str(job.job_id)]
    if row["job_status"] not in ENDED:
        return {f"it is {row['job_status']}": job.total - row["completed_images"]}
    if row["job_status"] == "cancelled" or row["error_message"]:
        return {}
    stages = [stage for stage in dump["quel_job_stages"] if stage["job_id"] == str(job.job_id)]
    attached = Counter(
        row["stage_index"] for row in dump["quel_attach"] if row["job_id"] == str(job.job_id) and row["delivered_at"]
    )
    return {
        f"stage {stage['stage_index']} delivered {delivered} of {stage['quantity']} and says no reason": missing
        for stage in stages
        if (missing := stage["quantity"] - (delivered := attached[stage["stage_index"]])) > 0 and not stage["reason"]
    }


def balances(stack: Stack, dump: Dump) -> list[tuple[int, int]]:
    """What each wallet has, and what it must have."""
    payers = {row["job_id"]: row["org_id"] or row["quel_member_id"] for row in dump["quel_production_jobs"]}
    delivered = Counter(payers[row["job_id"]] for row in dump["quel_attach"] if row["job_id"] and row["delivered_at"])
    wallets = [(row["quel_member_id"], row["quel_member_credit"]) for row in dump["quel_member"]]
    wallets += [(row["org_id"], row["org_credit"]) for row in dump["quel_organization"]]
    return [(has, stack.openings.get(wallet, OPENING_BALANCE) - PRICE * delivered[wallet]) for wallet, has in wallets]


def _money(stack: Stack, dump: Dump) -> list[str]:
    """Each wallet has what it had at first, less the price of what was delivered from it."""
    wrong = [f"balance {has} instead of {due}" for has, due in balances(stack, dump) if has != due]
    wrong += [f"hold of {row['amount']} not released" for row in dump["quel_credit_holds"] if not row["released_at"]]
    return wrong


def _pictures(stack: Stack, dump: Dump) -> list[str]:
    """Each delivered file is there, is what the record says, and was drawn for this stage of this job."""
    wrong = []
    prompts = {(str(job.job_id), n): mark for job in stack.jobs for n, mark in stack.marks(job).items()}
    seen: Counter[int] = Counter()
    for row in dump["quel_attach"]:
        if not row["delivered_at"] or not row["job_id"]:
            continue
        place = f"stage {row['stage_index']} ordinal {row['ordinal']}"
        path = stack.home / FILES / row["attach_file_path"]
        if not path.is_file():
            wrong.append(f"{place}: no file {row['attach_file_path']}")
            continue
        data = path.read_bytes()
        if sha256(data).hexdigest() != row["sha256"] or len(data) != row["attach_file_size"]:
            wrong.append(f"{place}: the file is not the one on record")
        mark = read(data)
        if mark is None or mark.prompt != prompts.get((row["job_id"], row["stage_index"])):
            wrong.append(f"{place}: a picture of another order: {mark}")
        if mark is not None:
            seen[mark.call] += 1
    wrong += [f"the picture of call {call} was delivered {n} times" for call, n in seen.items() if n > 1]
    attached = [row for row in dump["quel_attach"] if row["job_id"]]
    ordinals = Counter((row["job_id"], row["stage_index"], row["ordinal"]) for row in attached)
    return wrong + [f"{n} attachments of {image}" for image, n in ordinals.items() if n > 1]


def _calls(stack: Stack, dump: Dump) -> list[str]:
    """A picture that was drawn and paid for is delivered, but for those that the kills may have cost."""
    account = stack.account
    delivered = set()
    for row in dump["quel_attach"]:
        path = stack.home / FILES / row["attach_file_path"]
        mark = read(path.read_bytes()) if row["delivered_at"] and path.is_file() else None
        if mark is not None:
            delivered.add(mark.call)
    wasted = wasted_calls(account, delivered, stack.excused, stack.client_limit)
    if not wasted:
        return []
    unexcused = [
        f"{call.number} ({call.worker}, begun at {stack.since_start(call.began):.1f} s, {call.ended})"
        for call in wasted
    ]
    least = len(delivered) + account.faults
    return [
        f"{len(account.calls)} calls, where {least} were enough and {len(stack.excused)} were in progress at a kill: "
        f"drawn and not delivered: {', '.join(unexcused)}"
    ]


def wasted_calls(account: Account, delivered: set[int], excused: set[int], client_limit: float) -> list[Call]:
    """Calls that were drawn and not delivered, above those of the same prompt that are excused.

    Of a call that was in progress and the one that was made in its place, either may be delivered.
    """
    left = Counter(account.calls[number].mark for number in excused)
    wasted = []
    for number in sorted(account.good - delivered):
        call = account.calls[number]
        if left[call.mark]:
            left[call.mark] -= 1
        elif not (call.ended == "gone" and call.ended_at and call.ended_at - call.began >= client_limit):
            wasted.append(call)
    return wasted


async def _orphans(stack: Stack) -> list[str]:
    """Processes that a killed one had started, and that live on without it."""

    async def gone() -> bool:
        return not _without_parent(stack)

    try:
        await until(gone, "the end of what killed processes had started", ORPHANS_END_WITHIN)
    except AssertionError:
        return [f"lives on without its parent: {program}" for program in _without_parent(stack)]
    return []


def _without_parent(stack: Stack) -> list[str]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("DARKROOM_HOME") == str(stack.home) and process.ppid() == 1:
                found.append(" ".join(process.cmdline())[:200])
    return found


def _left_over(stack: Stack, dump: Dump) -> list[str]:
    named = {stack.home / FILES / row["attach_file_path"] for row in dump["quel_attach"] if row["delivered_at"]}
    folders = (stack.home / FILES / "staging", stack.home / FILES / "generated-images", stack.home / UNSTAGED)
    files = [path for folder in folders for path in _files(folder) if path not in named]
    rows = [row for row in dump["quel_attach"] if row["job_id"] and not row["delivered_at"]]
    return [f"left over: {path.relative_to(stack.home)}" for path in files] + [
        f"left over: the record of {row['attach_file_path']}" for row in rows
    ]


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()] if folder.is_dir() else []


def integrity(stack: Stack) -> list[str]:
    """What SQLite itself says of the file."""
    db = sqlite3.connect(stack.home / "records.db")
    try:
        [[said]] = db.execute("pragma integrity_check").fetchall()
    finally:
        db.close()
    return [] if said == "ok" else [f"records are damaged: {said}"]
