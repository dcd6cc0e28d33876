"""The account of a plain worker's run: the provider's log against its records and files, as of Darkroom's runs."""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from typing import Any

from darkroom.proof.account import FILES
from darkroom.proof.checks import wasted_calls
from darkroom.proof.marks import Mark, prompt_mark, read
from darkroom.proof.plain.records import CANCELLED, PRICE
from darkroom.proof.plain.site import PlainSite
from darkroom.proof.tables import Row

OVER = ("completed", "failed", CANCELLED)


def account_of(site: PlainSite) -> tuple[dict[str, Any], list[str]]:
    """The run in figures, as Darkroom's runs have them, and everything that is wrong, in words."""
    rows = {table: _table(site, table) for table in ("production_jobs", "attach", "member", "organization", "credits")}
    paths = {row["attach_id"]: row["attach_file_path"] for row in rows["attach"]}
    wrong: list[str] = []
    delivered: set[int] = set()
    due: Counter[str] = Counter()
    missing = extra = pictures = 0
    for row in rows["production_jobs"]:
        ordered = _ordered(row)
        marks = [_mark(site, paths.get(attach_id)) for attach_id in json.loads(row["generated_attach_ids"])]
        good = Counter(mark.prompt for mark in marks if mark is not None and mark.prompt in ordered)
        delivered |= {mark.call for mark in marks if mark is not None}
        pictures += good.total()
        more, short = (good - ordered).total(), (ordered - good).total()
        extra += more
        if row["quel_member_id"]:
            due[row["org_id"] or row["quel_member_id"]] += PRICE * good.total()
        name = f"the {row['job_status']} job has {good.total()} of {row['total_images']} pictures"
        if row["job_status"] not in OVER:
            wrong.append(f"{name}, and no worker knows of it")
        if short and row["job_status"] != CANCELLED and not row["error_message"]:
            missing += short
            wrong.append(f"{name}: {short} missing without a reason")
        if more:
            wrong.append(f"{name}: {more} extra")
        if len(marks) > good.total():
            wrong.append(f"{name}, and {len(marks) - good.total()} that are not its own or have no file")
    mischarged, wrong_money = _money(site, rows, due)
    account = site.account
    wasted = wasted_calls(account, delivered, site.excused, site.client_limit)
    if wasted:
        wrong_money.append(f"{len(wasted)} pictures were drawn and paid for, and not delivered")
    figures = {
        "ordered": sum(job.total for job in site.jobs),
        "delivered": pictures,
        "calls": len(account.calls),
        "least": pictures + account.faults,
        "in_progress": len(site.excused),
        "failing": account.faults,
        "extra": extra,
        "unexplained": missing,
        "mischarged": mischarged,
        "kills": site.kills,
        "slowest_recovery": None,
    }
    return figures, wrong + wrong_money


def _money(site: PlainSite, rows: dict[str, list[Row]], due: Counter[str]) -> tuple[int, list[str]]:
    """How far wallets are from what they had at first, less the price of what was delivered from them."""
    mischarged, wrong = 0, []
    balances = [(row["quel_member_id"], row["quel_member_credit"]) for row in rows["member"]]
    balances += [(row["org_id"], row["org_credit"]) for row in rows["organization"]]
    for wallet, balance in balances:
        expected = site.openings[wallet] - due[wallet]
        mischarged += abs(balance - expected)
        if balance != expected:
            wrong.append(f"balance {balance} instead of {expected}")
        if balance < 0:
            wrong.append(f"balance below 0: {balance}")
        journal = sum(row["amount"] for row in rows["credits"] if (row["org_id"] or row["user_id"]) == wallet)
        if site.openings[wallet] + journal != balance:
            wrong.append(f"balance is {balance}, journal says {site.openings[wallet] + journal}")
    return mischarged, wrong


def _ordered(row: Row) -> Counter[str]:
    found: Counter[str] = Counter()
    for stage in json.loads(row["job_input_data"])["stages"]:
        found[prompt_mark(stage["prompt"])] += stage["quantity"]
    return found


def _mark(site: PlainSite, path: str | None) -> Mark | None:
    file = site.home / FILES / path if path else None
    return read(file.read_bytes()) if file is not None and file.is_file() else None


def _table(site: PlainSite, name: str) -> list[Row]:
    with closing(sqlite3.connect(site.home / "records.db")) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(f"select * from quel_{name}")]  # noqa: S608 - our own names
