-- Back ends of before cancel a job by writing its row: `cancelled` or `user_cancelled` (spec §2). What they wrote stays;
-- the job's run hears of it, and ends as after any other cancel.

-- A row that says cancelled while its run is open holds every attempt, and no control that comes late takes that back.
-- Our own closing of a run is not meant: it closes the run before it writes the row.
create or replace function public.darkroom_note_cancelled_row() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  new.cancel_requested := public.darkroom_is_open(new.current_run_id);
  return new;
end
$$;
create trigger darkroom_cancelled_row before update on public.quel_production_jobs
  for each row when (
    new.job_status::text in ('cancelled', 'user_cancelled')
    and new.current_run_id is not null and not new.cancel_requested)
  execute function public.darkroom_note_cancelled_row();

-- Jobs whose row somebody else set to cancelled, and whose run has not heard of it: its control would say why. So is one
-- whose row was written over since, with what it said before: every attempt is held from that moment.
create or replace function public.darkroom_cancelled_rows(p_job_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(public.darkroom_job_json(job)), '[]')
  from public.quel_job_runs as run
  join public.quel_production_jobs as job on job.job_id = run.job_id and job.current_run_id = run.run_id
  where run.closed_at is null and (p_job_id is null or run.job_id = p_job_id) and job.cancel_reason is null
    and (job.job_status::text in ('cancelled', 'user_cancelled') or (job.cancel_requested and not exists (
      select from public.quel_job_requests as request
      where request.job_id = job.job_id and request.request = 'cancel')))
$$;

-- Write another word for cancelled on a row, where the column takes it.
create or replace function public.darkroom_write_word(p_job_id uuid, p_word text) returns void
language plpgsql set search_path = '' as $$
declare
  v_word public.quel_production_jobs.job_status%type;
begin
  v_word := p_word;
  update public.quel_production_jobs set job_status = v_word
  where job_id = p_job_id and job_status::text in ('cancelled', 'user_cancelled') and job_status::text <> p_word;
exception when invalid_text_representation or check_violation then
  null;  -- what is there says cancelled, too
end
$$;

-- Say on a row that has no word for cancelled, and says failed, what ended the job.
create or replace function public.darkroom_explain_cancel(p_job_id uuid) returns void
language sql set search_path = '' as $$
  update public.quel_production_jobs set error_message = 'the job was cancelled'
  where job_id = p_job_id and job_status::text = 'failed' and error_message is null
$$;

-- End the job under this run, with this word for cancelled; what somebody else wrote on its row stays, however it ends.
create or replace function public.darkroom_end_run(
  p_job_id uuid, p_run_id text, p_end text, p_error_message text, p_stages jsonb, p_cancelled text,
  p_costs boolean default false
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
    p_job_id, p_run_id, case when v_by_row then 'cancelled' else p_end end, p_error_message, p_stages, p_costs);
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
