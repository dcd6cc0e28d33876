"""The invariants of spec §4 as statements: each names what it found broken."""

import sqlite3

from darkroom.records.sqlite.closing import ENDED_CANCELLED

_CHECKS: tuple[tuple[str, str], ...] = (
    (
        "member {0}: balance {1} is not opening balance + journal = {2}",
        "select member.quel_member_id, quel_member_credit, opening_balance + coalesce(sum(amount), 0) as due "
        "from quel_member as member left join quel_credits as credit "
        "on credit.user_id = member.quel_member_id and credit.org_id is null "
        "group by member.quel_member_id having quel_member_credit <> due",
    ),
    (
        "member {0}: the balance {1} is below 0",
        "select quel_member_id, quel_member_credit from quel_member where quel_member_credit < 0",
    ),
    (
        "organization {0}: balance {1} is not opening balance + journal = {2}",
        "select organization.org_id, org_credit, coalesce(opening_balance, 0) + coalesce(sum(amount), 0) as due "
        "from quel_organization as organization left join quel_organization_opening using (org_id) "
        "left join quel_credits as credit on credit.org_id = organization.org_id "
        "group by organization.org_id having org_credit <> due",
    ),
    (
        "organization {0}: the balance {1} is below 0",
        "select org_id, org_credit from quel_organization where org_credit < 0",
    ),
    (
        "job {0}: {1} is to pay, but attachment {2} was charged to {3}",
        "select hold.job_id, coalesce('organization ' || hold.org_id, 'member ' || hold.quel_member_id), "
        "credit.attach_idx, coalesce('organization ' || credit.org_id, 'member ' || credit.user_id) "
        "from quel_credit_holds as hold join quel_credits as credit using (job_id) "
        "where credit.transaction_type = 'DEDUCT' and credit.idempotency_key is not null "
        "and (hold.org_id is not credit.org_id or hold.quel_member_id <> credit.user_id)",
    ),
    (
        "job {0}: {1} images are delivered, {2} are charged",
        "select job.job_id, delivered, charged from quel_production_jobs as job "
        "join (select job_id, count(*) as delivered from quel_attach where delivered_at is not null "
        "      and job_id is not null group by job_id) using (job_id) "
        "left join (select job_id, count(*) as charged from quel_credits where transaction_type = 'DEDUCT' "
        "      group by job_id) using (job_id) "
        "where job.quel_member_id is not null and delivered <> coalesce(charged, 0)",
    ),
    (
        "job {0}: attachment {1} was charged without being delivered",
        "select credit.job_id, credit.attach_idx from quel_credits as credit "
        "left join quel_attach as image on image.attach_id = credit.attach_idx "
        "where credit.transaction_type = 'DEDUCT' and credit.idempotency_key is not null "
        "and credit.job_id is not null and image.delivered_at is null",
    ),
    (
        "job {0}: attachment {1} was charged {2} times",
        "select job_id, attach_idx, count(*) as charges from quel_credits where transaction_type = 'DEDUCT' "
        "and idempotency_key is not null and job_id is not null group by job_id, attach_idx having charges > 1",
    ),
    (
        "job {0}: its row lists {2} times attachment {1}, of which {3} are delivered images of the job",
        "select job.job_id, listed.value, count(*) as times, count(image.attach_id) as delivered "
        "from quel_production_jobs as job, json_each(generated_attach_ids) as listed "
        "left join quel_attach as image on image.attach_id = listed.value and image.job_id = job.job_id "
        "and image.delivered_at is not null where job.current_run_id is not null "
        "group by job.job_id, listed.value having times <> 1 or delivered <> 1",
    ),
    (
        "job {0}: completed_images is {1}, but {2} ids are listed",
        "select job_id, completed_images, json_array_length(generated_attach_ids) as listed "
        "from quel_production_jobs where completed_images <> listed",
    ),
    (
        "job {0}: ended with completed_images {1}, but {2} images are delivered",
        "select job_id, completed_images, (select count(*) from quel_attach as image where "  # noqa: S608 - our own
        "image.job_id = job.job_id and delivered_at is not null) as delivered from quel_production_jobs as job "
        f"where (job_status in ('completed', 'failed') or {ENDED_CANCELLED}) and completed_images <> delivered",
    ),
    (
        "job {0}, stage {1}: counts {2} delivered images, but has {3}",
        "select stage.job_id, stage.stage_index + 1, delivered_images, (select count(*) from quel_attach as image "
        "where image.job_id = stage.job_id and image.stage_index = stage.stage_index "
        "and delivered_at is not null) as delivered from quel_job_stages as stage "
        "where delivered_images <> delivered",
    ),
    (
        "job {0}: has ended, but its hold of {1} credits is open",
        "select hold.job_id, amount from quel_credit_holds as hold "  # noqa: S608 - our own
        "join quel_production_jobs using (job_id) "
        f"where released_at is null and (job_status in ('completed', 'failed') or {ENDED_CANCELLED})",
    ),
    (
        "job {0}: its open hold is {1}, but {2} missing images cost {3}",
        "select hold.job_id, amount, sum(target - delivered_images) as missing, "
        "sum((target - delivered_images) * coalesce(stage.unit_price, job.unit_price)) as due "
        "from quel_credit_holds as hold join quel_production_jobs as job using (job_id) "
        "join quel_job_stages as stage using (job_id) join quel_job_runs as run on run.run_id = current_run_id "
        "where released_at is null and failure is null group by hold.job_id having amount <> due",
    ),
)


def audit(db: sqlite3.Connection) -> list[str]:
    """Every broken invariant that the records alone can show; files are checked by whoever has the storage."""
    return [text.format(*row) for text, query in _CHECKS for row in db.execute(query)]
