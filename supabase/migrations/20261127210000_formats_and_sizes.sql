-- The format in which the pictures of a stage are delivered; null in jobs of before there was a choice.

select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('darkroom migrations', 0));

alter table public.quel_job_stages add column if not exists format text;

-- The stages and terms of the first opening; they hold for every restart. So does who pays: the hold says it.
create or replace function public.darkroom_store_order(p_job_id uuid, p_order jsonb) returns void
language plpgsql set search_path = '' as $$
begin
  insert into public.quel_job_stages (
    job_id, stage_index, label, prompt, quantity, target, aspect_ratio, reference_images,
    format)
  select p_job_id, stage.stage_index, stage.label, stage.prompt, stage.quantity, stage.target,
    stage.aspect_ratio, stage."references", stage.format
  from jsonb_to_recordset(p_order->'stages') as stage (
    stage_index integer, label text, prompt text, quantity integer, target integer, aspect_ratio text,
    "references" jsonb, format text);
  update public.quel_production_jobs
  set job_type = coalesce(job_type, p_order->>'job_type'),
    order_type = nullif(p_order->>'job_type', coalesce(job_type, p_order->>'job_type')),
    quel_member_id = (p_order->>'user_id')::uuid, org_id = coalesce((p_order->>'org_id')::uuid, org_id),
    production_id = coalesce((p_order->>'production_id')::uuid, production_id),
    total_images = (p_order->>'total_images')::integer,
    unit_price = (p_order->>'unit_price')::integer, max_top_ups = (p_order->>'max_top_ups')::integer,
    max_credits = (p_order->>'max_credits')::integer, provider = p_order->>'provider',
    priority = (p_order->>'priority')::integer, book_id = (p_order->>'book_id')::uuid,
    webhook_url = p_order->>'webhook_url'
  where job_id = p_job_id;
  insert into public.quel_credit_holds (job_id, quel_member_id, org_id, amount)
  select job_id, quel_member_id, org_id, 0 from public.quel_production_jobs
  where job_id = p_job_id and quel_member_id is not null
  on conflict (job_id) do nothing;
end
$$;

-- One stored stage.
create or replace function public.darkroom_stage(p_job_id uuid, p_stage_index integer) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'stage_index', stage_index, 'label', label, 'prompt', prompt, 'quantity', quantity,
    'aspect_ratio', aspect_ratio, 'references', reference_images, 'format', format)
  from public.quel_job_stages where job_id = p_job_id and stage_index = p_stage_index
$$;

-- All stored stages, in order.
create or replace function public.darkroom_stages(p_job_id uuid) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object(
    'stage_index', stage_index, 'label', label, 'prompt', prompt, 'quantity', quantity,
    'aspect_ratio', aspect_ratio, 'references', reference_images, 'format', format) order by stage_index), '[]')
  from public.quel_job_stages where job_id = p_job_id
$$;

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
      v_name, v_name, p_path, p_size,
      case substring(v_name from '[^.]*$')
        when 'jpg' then 'image/jpeg' when 'png' then 'image/png' when 'avif' then 'image/avif' else 'image/webp' end,
      left(p_path, greatest(0, length(p_path) - length(v_name) - 1)),
      'supabase', p_job_id, p_stage_index, p_ordinal, p_user, p_sha256,
      v_source.sha256, v_source.media_type, v_source.c2pa, v_source.provider, v_source.model, clock_timestamp())
    on conflict (job_id, stage_index, ordinal) where job_id is not null do update
      set attach_original_name = excluded.attach_original_name, attach_file_name = excluded.attach_file_name,
        attach_file_path = excluded.attach_file_path, attach_directory = excluded.attach_directory,
        attach_file_size = excluded.attach_file_size, attach_file_type = excluded.attach_file_type,
        sha256 = excluded.sha256,
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

select public.darkroom_close_functions();

insert into public.quel_schema_versions (version) values ('20261127210000') on conflict do nothing;

notify pgrst, 'reload schema';
