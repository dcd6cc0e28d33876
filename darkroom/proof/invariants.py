"""The invariants of spec §4, read from the tables alone: independent of what `audit` believes."""

from collections import Counter, defaultdict
from datetime import UTC, datetime

from darkroom.proof.tables import Dump, Row

ENDED = ("completed", "failed", "cancelled", "user_cancelled")


def broken(dump: Dump) -> list[str]:
    """Every broken invariant, in words; empty when all hold."""
    return [*_money(dump), *_jobs(dump), *_images(dump)]


def _money(dump: Dump) -> list[str]:
    wrong: list[str] = []
    journal: dict[str, list[Row]] = defaultdict(list)
    for row in dump["quel_credits"]:
        journal[row["org_id"] or row["user_id"]].append(row)
    for member in dump["quel_member"]:
        rows = journal[member["quel_member_id"]]
        wrong += _wallet("member", member["quel_member_credit"], member["opening_balance"], rows)
    opening = {row["org_id"]: row["opening_balance"] for row in dump["quel_organization_opening"]}
    for organization in dump["quel_organization"]:
        org_id = organization["org_id"]
        wrong += _wallet("organization", organization["org_credit"], opening[org_id], journal[org_id])
    wrong += _payers(dump)
    status = {job["job_id"]: job["job_status"] for job in dump["quel_production_jobs"]}
    for hold in dump["quel_credit_holds"]:
        if hold["amount"] < 0:
            wrong.append(f"hold below 0: {hold['amount']}")
        if hold["released_at"] is None and status[hold["job_id"]] in ENDED:
            wrong.append(f"open hold of a {status[hold['job_id']]} job")
    return wrong


def _written(row: Row) -> tuple[datetime, int]:
    """When a row of the journal was written; where rows are numbered, the number tells."""
    if isinstance(row["id"], int):
        return datetime.min.replace(tzinfo=UTC), row["id"]
    return datetime.fromisoformat(row["created_at"]), 0


def _wallet(whose: str, credit: int, opening_balance: int, journal: list[Row]) -> list[str]:
    wrong: list[str] = []
    expected = opening_balance + sum(row["amount"] for row in journal)
    if credit != expected:
        wrong.append(f"{whose}: balance is {credit}, journal says {expected}")
    if credit < 0:
        wrong.append(f"{whose}: balance below 0: {credit}")
    balance = opening_balance
    for row in sorted(journal, key=_written):
        balance += row["amount"]
        if row["balance_after"] != balance:
            wrong.append(f"{whose}: balance_after is {row['balance_after']}, journal says {balance}")
    return wrong


def _payers(dump: Dump) -> list[str]:
    """One wallet pays for a job, the one that it was opened with; an organization's rows name the member."""
    wrong: list[str] = []
    jobs = {job["job_id"]: job for job in dump["quel_production_jobs"]}
    for row in dump["quel_credits"]:
        job = jobs.get(row["job_id"])
        if job is None:
            continue
        paid = (row["user_id"], row["org_id"], row["used_by_member_id"])
        used_by = job["quel_member_id"] if job["org_id"] else None
        if paid != (job["quel_member_id"], job["org_id"], used_by):
            wrong.append(f"{row['idempotency_key']}: charged to {paid}")
    for hold in dump["quel_credit_holds"]:
        job = jobs[hold["job_id"]]
        if (hold["quel_member_id"], hold["org_id"]) != (job["quel_member_id"], job["org_id"]):
            wrong.append(f"hold of {hold['job_id']} is another's")
    return wrong


def _jobs(dump: Dump) -> list[str]:
    wrong: list[str] = []
    own_prices = {f"{row['job_id']}/{row['stage_index']}": row.get("unit_price") for row in dump["quel_job_stages"]}
    for job in dump["quel_production_jobs"]:
        ids = job["generated_attach_ids"]
        delivered = _delivered(dump, job["job_id"])
        expected = [row["attach_id"] for row in delivered]
        if job["completed_images"] != len(ids):
            wrong.append(f"completed_images {job['completed_images']} != {len(ids)} ids")
        if job["job_status"] in ENDED and ids != expected:
            wrong.append(f"ended job's ids {ids} != delivered {expected}")
        if [attach_id for attach_id in expected if attach_id in set(ids)] != ids:
            wrong.append(f"ids {ids} are not delivered, or not by stage and ordinal: {expected}")
        charges = {
            row["idempotency_key"]: row
            for row in dump["quel_credits"]
            if (row["idempotency_key"] or "").startswith(job["job_id"])
        }
        keys = {f"{job['job_id']}/{row['stage_index']}/{row['ordinal']}": row for row in delivered}
        charged = set(keys) if job["quel_member_id"] is not None else set()
        if set(charges) != charged:
            wrong.append(f"charged {sorted(charges)}, delivered {sorted(charged)}")
        for key, charge in charges.items():
            price = own_prices.get(key.rpartition("/")[0])
            price = job["unit_price"] if price is None else price
            if charge["amount"] != -price or charge["transaction_type"] != "DEDUCT":
                wrong.append(f"{key} charged {charge['amount']} at price {price}")
            if key in keys and charge["attach_idx"] != keys[key]["attach_id"]:
                wrong.append(f"{key} charged for attachment {charge['attach_idx']}")
    return wrong


def _images(dump: Dump) -> list[str]:
    wrong: list[str] = []
    quantities = {(stage["job_id"], stage["stage_index"]): stage["quantity"] for stage in dump["quel_job_stages"]}
    counts = Counter((row["job_id"], row["stage_index"]) for row in dump["quel_attach"] if row["delivered_at"])
    for stage, count in counts.items():
        if stage in quantities and count > quantities[stage]:
            wrong.append(f"stage {stage} delivered {count} of {quantities[stage]}")
    twice = Counter(row["attach_idx"] for row in dump["quel_credits"] if row["attach_idx"] is not None)
    wrong += [f"attachment {attach_id} charged {count} times" for attach_id, count in twice.items() if count > 1]
    return wrong


def _delivered(dump: Dump, job_id: str) -> list[Row]:
    rows = [row for row in dump["quel_attach"] if row["job_id"] == job_id and row["delivered_at"]]
    return sorted(rows, key=lambda row: (row["stage_index"], row["ordinal"]))
