-- The invariants of spec §4. Rows of before Darkroom are not judged.

-- Each line names one thing that is broken; without any, all is as it should be.
create or replace function public.darkroom_audit() returns jsonb
language sql stable security definer set search_path = '' as $$
  with delivered as (
    select job_id, count(*) as images from public.quel_attach
    where delivered_at is not null and job_id is not null group by job_id
  ), charged as (
    select job_id, attach_idx, count(*) as charges from public.quel_credits
    where transaction_type = 'DEDUCT' and idempotency_key is not null and job_id is not null
    group by job_id, attach_idx
  ), ours as (
    select * from public.quel_production_jobs where current_run_id is not null
  ), found (line) as (
    select format('member %s: balance %s is not opening balance + journal = %s',
      member.quel_member_id, quel_member_credit, opening_balance + coalesce(journal.amount, 0))
    from public.quel_member as member
    left join (
      select user_id as quel_member_id, sum(amount) as amount from public.quel_credits
      where org_id is null group by user_id
    ) as journal using (quel_member_id)
    where quel_member_credit <> opening_balance + coalesce(journal.amount, 0)
    union all
    select format('member %s: the balance %s is below 0', quel_member_id, quel_member_credit)
    from public.quel_member where quel_member_credit < 0
    union all
    select format('organization %s: balance %s is not opening balance + journal = %s',
      organization.org_id, coalesce(org_credit, 0), coalesce(opening_balance, 0) + coalesce(journal.amount, 0))
    from public.quel_organization as organization
    left join public.quel_organization_opening using (org_id)
    left join (
      select org_id, sum(amount) as amount from public.quel_credits where org_id is not null group by org_id
    ) as journal using (org_id)
    where coalesce(org_credit, 0) <> coalesce(opening_balance, 0) + coalesce(journal.amount, 0)
    union all
    select format('organization %s: the balance %s is below 0', org_id, org_credit)
    from public.quel_organization where org_credit < 0
    union all
    select format('job %s: %s is to pay, but attachment %s was charged to %s', hold.job_id,
      coalesce('organization ' || hold.org_id, 'member ' || hold.quel_member_id), credit.attach_idx,
      coalesce('organization ' || credit.org_id, 'member ' || credit.user_id))
    from public.quel_credit_holds as hold join public.quel_credits as credit using (job_id)
    where credit.transaction_type = 'DEDUCT' and credit.idempotency_key is not null
      and (hold.org_id, hold.quel_member_id) is distinct from (credit.org_id, credit.user_id)
    union all
    select format('job %s: %s images are delivered, %s are charged',
      job_id, delivered.images, coalesce(journal.charges, 0))
    from ours join delivered using (job_id)
    left join (
      select job_id, count(*) as charges from public.quel_credits
      where transaction_type = 'DEDUCT' group by job_id
    ) as journal using (job_id)
    where quel_member_id is not null and delivered.images <> coalesce(journal.charges, 0)
    union all
    select format('job %s: attachment %s was charged without being delivered', charged.job_id, attach_idx)
    from charged left join public.quel_attach as image on image.attach_id = attach_idx
    where image.delivered_at is null
    union all
    select format('job %s: attachment %s was charged %s times', job_id, attach_idx, charges)
    from charged where charges > 1
    union all
    select format('job %s: its row lists %s times attachment %s, of which %s are delivered images of the job',
      ours.job_id, count(*), listed.id, count(image.attach_id))
    from ours cross join jsonb_array_elements_text(generated_attach_ids) as listed (id)
    left join public.quel_attach as image on image.attach_id = listed.id::bigint
      and image.job_id = ours.job_id and image.delivered_at is not null
    group by ours.job_id, listed.id having count(*) <> 1 or count(image.attach_id) <> 1
    union all
    select format('job %s: completed_images is %s, but %s ids are listed',
      job_id, completed_images, jsonb_array_length(generated_attach_ids))
    from ours where completed_images <> jsonb_array_length(generated_attach_ids)
    union all
    select format('job %s: ended with completed_images %s, but %s images are delivered',
      job_id, completed_images, coalesce(delivered.images, 0))
    from ours left join delivered using (job_id)
    where public.darkroom_is_over(job_status::text, current_run_id)
      and completed_images <> coalesce(delivered.images, 0)
    union all
    select format('job %s, stage %s: counts %s delivered images, but has %s',
      stage.job_id, stage.stage_index + 1, stage.delivered_images, coalesce(counted.images, 0))
    from public.quel_job_stages as stage
    left join (
      select job_id, stage_index, count(*) as images from public.quel_attach
      where delivered_at is not null and job_id is not null group by job_id, stage_index
    ) as counted using (job_id, stage_index)
    where stage.delivered_images <> coalesce(counted.images, 0)
    union all
    select format('job %s: has ended, but its hold of %s credits is open', job_id, amount)
    from public.quel_credit_holds join public.quel_production_jobs using (job_id)
    where released_at is null and public.darkroom_is_over(job_status::text, current_run_id)
    union all
    select format('job %s: its open hold is %s, but %s missing images cost %s',
      hold.job_id, hold.amount, stages.missing, stages.due)
    from public.quel_credit_holds as hold join ours using (job_id)
    join (
      select stage.job_id, sum(target - delivered_images) as missing,
        sum((target - delivered_images)::bigint * coalesce(stage.unit_price, job.unit_price)) as due
      from public.quel_job_stages as stage join public.quel_production_jobs as job using (job_id) group by stage.job_id
    ) as stages using (job_id)
    join public.quel_job_runs as run on run.run_id = ours.current_run_id
    where hold.released_at is null and run.failure is null
      and hold.amount <> stages.due
  )
  select coalesce(jsonb_agg(line), '[]') from found
$$;
