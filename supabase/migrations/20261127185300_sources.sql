-- What a delivered file was made from: the provider's bytes, whether they carried C2PA, and who drew them.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

alter table public.quel_generation_attempts
  add column if not exists source_sha256 text,
  add column if not exists source_media_type text,
  add column if not exists source_c2pa boolean;
alter table public.quel_attach
  add column if not exists source_sha256 text,
  add column if not exists source_media_type text,
  add column if not exists source_c2pa boolean,
  add column if not exists source_provider text,
  add column if not exists source_model text;

create or replace trigger darkroom_are_ours before insert or update on public.quel_attach
  for each row when (not pg_has_role(current_user, 'service_role', 'member'))
  execute function public.darkroom_keep_columns('{"job_id": null, "stage_index": null, "ordinal": null, "quel_member_id": null, "sha256": null,
    "delivered_at": null, "delivered_run": null, "source_sha256": null, "source_media_type": null,
    "source_c2pa": null, "source_provider": null, "source_model": null}');

-- Insert the attachment or find it; the attempt that made it is now 'generated'. The caller holds the job's row, and
-- says why its run may attach nothing.
create or replace function public.darkroom_attach_image(
  p_job_id uuid, p_stage_index integer, p_ordinal integer, p_refusal text, p_user uuid, p_call_id uuid,
  p_seconds double precision, p_path text, p_size integer, p_sha256 text
) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_attach_id bigint;
  v_name text := regexp_replace(p_path, '^.*/', '');
  v_source record;
begin
  select attach_id into v_attach_id from public.quel_attach
  where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal and delivered_at is not null;
  if not found then
    if p_refusal is not null then
      return jsonb_build_object('attach_id', null, 'reason', p_refusal);
    end if;
    select source_sha256 as sha256, source_media_type as media_type, source_c2pa as c2pa, provider, model into v_source
    from public.quel_generation_attempts where call_id = p_call_id;
    insert into public.quel_attach as image (
      attach_original_name, attach_file_name, attach_file_path, attach_file_size, attach_file_type,
      attach_directory, attach_storage_type, job_id, stage_index, ordinal, quel_member_id, sha256,
      source_sha256, source_media_type, source_c2pa, source_provider, source_model, created_at)
    values (
      v_name, v_name, p_path, p_size, 'image/webp', left(p_path, greatest(0, length(p_path) - length(v_name) - 1)),
      'supabase', p_job_id, p_stage_index, p_ordinal, p_user, p_sha256,
      v_source.sha256, v_source.media_type, v_source.c2pa, v_source.provider, v_source.model, clock_timestamp())
    on conflict (job_id, stage_index, ordinal) where job_id is not null do update
      set attach_original_name = excluded.attach_original_name, attach_file_name = excluded.attach_file_name,
        attach_file_path = excluded.attach_file_path, attach_directory = excluded.attach_directory,
        attach_file_size = excluded.attach_file_size, sha256 = excluded.sha256,
        source_sha256 = excluded.source_sha256, source_media_type = excluded.source_media_type,
        source_c2pa = excluded.source_c2pa, source_provider = excluded.source_provider,
        source_model = excluded.source_model
      where image.delivered_at is null
    returning image.attach_id into v_attach_id;
    if not found then  -- delivered meanwhile, by a call of somebody else
      select attach_id into v_attach_id from public.quel_attach
      where job_id = p_job_id and stage_index = p_stage_index and ordinal = p_ordinal;
    end if;
  end if;
  update public.quel_generation_attempts
  set outcome = 'generated', seconds = coalesce(p_seconds, seconds)
  where call_id = p_call_id and outcome is null;
  return jsonb_build_object('attach_id', v_attach_id);
end
$$;

-- Write what several calls brought, for the attachments that are made of it; who drew each. In the order of the calls,
-- for the sake of two that write the same ones.
create or replace function public.darkroom_note_sources(p_sources jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_source jsonb;
  v_place integer;
  v_answer jsonb;
  v_answers jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_sources)]);
begin
  for v_source, v_place in
    select item, place from jsonb_array_elements(p_sources) with ordinality as sources (item, place)
    order by item->>'call_id'
  loop
    update public.quel_generation_attempts
    set source_sha256 = v_source->>'sha256', source_media_type = v_source->>'media_type',
      source_c2pa = (v_source->>'c2pa')::boolean
    where call_id = (v_source->>'call_id')::uuid
    returning jsonb_build_object('provider', provider, 'model', model) into v_answer;
    v_answers[v_place] := case when found then v_answer else '{}' end;
  end loop;
  return to_jsonb(v_answers);
end
$$;

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127185300') on conflict do nothing;

notify pgrst, 'reload schema';
