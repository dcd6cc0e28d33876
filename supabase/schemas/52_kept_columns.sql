-- Whoever acts neither as the service role nor as the owner of the table leaves columns of ours as they are, whatever
-- rights a deployment gave them: a right to update a table covers the columns that were added to it. The argument has the
-- columns, each with what it is in a new row.
create or replace function public.darkroom_keep_columns() returns trigger
language plpgsql set search_path = '' as $$
declare
  v_ours jsonb := tg_argv[0];
begin
  if pg_catalog.pg_has_role(
    current_user, (select relowner from pg_catalog.pg_class where oid = tg_relid), 'member')
  then
    return new;
  end if;
  if tg_op = 'UPDATE' then
    select jsonb_object_agg(key, to_jsonb(old)->key) into v_ours from jsonb_object_keys(v_ours) as key;
  end if;
  return jsonb_populate_record(new, v_ours);
end
$$;

-- Named so that they are the first of ours: triggers of a table take turns in the order of their names.
create trigger darkroom_are_ours before insert or update on public.quel_member
  for each row when (not pg_has_role(current_user, 'service_role', 'member'))
  execute function public.darkroom_keep_columns('{"opening_balance": null}');
create trigger darkroom_are_ours before insert or update on public.quel_production_jobs
  for each row when (not pg_has_role(current_user, 'service_role', 'member'))
  execute function public.darkroom_keep_columns('{"unit_price": null, "max_top_ups": null, "max_credits": null, "current_run_id": null,
    "paused": false, "paused_by_user": false, "pause_reason": null, "quota_until": null,
    "cancel_requested": false, "cancel_reason": null, "failing": false, "control_version": 0,
    "refreshed_at": "epoch", "order_type": null}');
create trigger darkroom_are_ours before insert or update on public.quel_attach
  for each row when (not pg_has_role(current_user, 'service_role', 'member'))
  execute function public.darkroom_keep_columns('{"job_id": null, "stage_index": null, "ordinal": null, "quel_member_id": null, "sha256": null,
    "delivered_at": null, "delivered_run": null, "source_sha256": null, "source_media_type": null,
    "source_c2pa": null, "source_provider": null, "source_model": null, "deleted_at": null}');
create trigger darkroom_are_ours before insert or update on public.quel_credits
  for each row when (not pg_has_role(current_user, 'service_role', 'member'))
  execute function public.darkroom_keep_columns('{"job_id": null, "idempotency_key": null}');
