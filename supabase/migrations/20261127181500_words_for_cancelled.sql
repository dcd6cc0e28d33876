-- A row whose column has neither `cancelled` nor `user_cancelled` says `failed` when its job is cancelled, and why.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

-- Learn which words the columns take: the first of those that mean the same, or that is nearest: a row that can say
-- nothing else for cancelled says failed. An enum has labels; a text takes what no check on it alone excludes. Again
-- whenever a check is changed.
create or replace function public.darkroom_learn_words() returns void
language sql set search_path = '' as $$
  with wanted (subject, "table", word, candidates) as (values
    ('job_status', 'quel_production_jobs', 'pending', '{pending}'::text[]),
    ('job_status', 'quel_production_jobs', 'processing', '{processing}'),
    ('job_status', 'quel_production_jobs', 'completed', '{completed}'),
    ('job_status', 'quel_production_jobs', 'failed', '{failed}'),
    ('job_status', 'quel_production_jobs', 'cancelled', '{cancelled,user_cancelled,failed}'),
    ('job_status', 'quel_production_jobs', 'user_cancelled', '{user_cancelled,cancelled,failed}'),
    ('production_status', 'quel_production_photo', 'pending', '{pending}'),
    ('production_status', 'quel_production_photo', 'processing', '{processing}'),
    ('production_status', 'quel_production_photo', 'completed', '{completed}'),
    ('production_status', 'quel_production_photo', 'failed', '{failed}'),
    ('production_status', 'quel_production_photo', 'cancelled', '{cancelled,user_cancelled}'),
    ('production_status', 'quel_production_photo', 'user_cancelled', '{user_cancelled,cancelled}'),
    ('transaction_type', 'quel_credits', 'DEDUCT', '{DEDUCT}'),
    ('transaction_type', 'quel_credits', 'GRANT', '{GRANT,purchase}')
  ), held as (
    select wanted.*, attribute.attrelid, attribute.attnum, attribute.atttypid, type.typtype
    from wanted join pg_catalog.pg_attribute as attribute
      on attribute.attrelid = ('public.' || "table")::pg_catalog.regclass and attribute.attname = subject
    join pg_catalog.pg_type as type on type.oid = attribute.atttypid
  )
  insert into public.quel_words (subject, word, stored)
  select subject, word, (
    select candidate from unnest(candidates) with ordinality as listed (candidate, place)
    where (held.typtype <> 'e' or exists (
        select from pg_catalog.pg_enum where enumtypid = held.atttypid and enumlabel = candidate))
      and not exists (
        select from pg_catalog.pg_constraint
        where conrelid = held.attrelid and contype = 'c' and conkey = array[held.attnum]
          and pg_catalog.pg_get_constraintdef(oid) ~ $pattern$= ANY|= '$pattern$
          and strpos(pg_catalog.pg_get_constraintdef(oid), quote_literal(candidate)) = 0)
    order by place limit 1)
  from held
  on conflict (subject, word) do update set stored = excluded.stored
  where quel_words.stored is distinct from excluded.stored
$$;

-- Say on a row that has no word for cancelled, and says failed, what ended the job.
create or replace function public.darkroom_explain_cancel(p_job_id uuid) returns void
language sql set search_path = '' as $$
  update public.quel_production_jobs set error_message = 'the job was cancelled'
  where job_id = p_job_id and job_status::text = 'failed' and error_message is null
$$;

-- End the job under this run, with this word for cancelled; what somebody else wrote on its row stays, however it ends.
create or replace function public.darkroom_end_run(
  p_job_id uuid, p_run_id text, p_end text, p_error_message text, p_stages jsonb, p_cancelled text
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_word text;
  v_open boolean;
  v_by_row boolean;
  v_receipt jsonb;
begin
  select job_status::text into v_word from public.quel_production_jobs where job_id = p_job_id for no key update;
  v_open := public.darkroom_is_open(p_run_id);
  v_by_row := v_open and v_word in ('cancelled', 'user_cancelled');
  v_receipt := public.darkroom_close_run(
    p_job_id, p_run_id, case when v_by_row then 'cancelled' else p_end end, p_error_message, p_stages);
  v_word := case when v_by_row then v_word else p_cancelled end;
  if v_open and v_receipt->>'status' = 'cancelled' then
    perform public.darkroom_explain_cancel(p_job_id);
    if v_word <> 'cancelled' then
      perform public.darkroom_write_word(p_job_id, v_word);
    end if;
  end if;
  return v_receipt;
end
$$;

-- End a job that no run has opened, with this word for cancelled.
create or replace function public.darkroom_cancel_unopened(p_job_id uuid, p_reason text, p_cancelled text)
returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  if not public.darkroom_cancel_pending(p_job_id, p_reason) then
    return false;
  end if;
  perform public.darkroom_explain_cancel(p_job_id);
  if p_cancelled <> 'cancelled' then
    perform public.darkroom_write_word(p_job_id, p_cancelled);
  end if;
  return true;
end
$$;

select public.darkroom_learn_words();

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127181500') on conflict do nothing;

notify pgrst, 'reload schema';
