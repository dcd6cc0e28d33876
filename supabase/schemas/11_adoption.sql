-- What differs between databases that were there before Darkroom: the words their columns take, and what their rows
-- need.

-- How a column says one of our words; null where it has none.
create or replace function public.darkroom_word(p_subject text, p_word text) returns text
language sql stable set search_path = '' as $$
  select stored from public.quel_words where subject = p_subject and word = p_word
$$;

-- A second word of a column that means the same.
create or replace function public.darkroom_other_word(p_subject text, p_word text) returns text
language sql stable set search_path = '' as $$
  select nullif(other.stored, own.stored)
  from public.quel_words as own join public.quel_words as other
    on other.subject = own.subject and other.word = 'user_' || own.word
  where own.subject = p_subject and own.word = p_word
$$;

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

-- Insert a row with those of the values that the table has columns for, each in the type that the column has. Answers
-- whether it was inserted: a row with the same key stays as it is.
create or replace function public.darkroom_insert(p_table text, p_row jsonb) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_columns text;
  v_column text;
  v_rows integer;
begin
  select string_agg(format('%I', attname), ', ') into v_columns from pg_catalog.pg_attribute
  where attrelid = ('public.' || p_table)::regclass and attnum > 0 and not attisdropped and attgenerated = ''
    and p_row->attname::text <> 'null';
  execute format(
    'insert into public.%I (%s) select %2$s from jsonb_populate_record(null::public.%1$I, $1) on conflict do nothing',
    p_table, v_columns) using p_row;
  get diagnostics v_rows = row_count;
  return v_rows > 0;
exception when not_null_violation then
  get stacked diagnostics v_column = column_name;
  raise sqlstate 'PT422' using message = format(
    '%s.%s must have a value that Darkroom does not know; create the row in your application first', p_table, v_column);
end
$$;

-- Insert a job's row in the shape that the checks of its table allow: its type, or else the nearest one, and the place
-- in a stage or in a batch that they ask for. The first attempt is the one for our own tables.
create or replace function public.darkroom_insert_job(p_row jsonb) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_type text;
  v_place jsonb;
  v_constraint text;
begin
  foreach v_type in array array[p_row->>'job_type', 'pipeline_stage', 'simple_general', 'single_batch'] loop
    foreach v_place in array '{"{}", "{\"batch_index\": 0}", "{\"stage_index\": 0}"}'::jsonb[] loop
      begin
        return public.darkroom_insert('quel_production_jobs', p_row || v_place || jsonb_build_object(
          'job_type', v_type, 'order_type', nullif(p_row->>'job_type', v_type)));
      exception when check_violation then
        get stacked diagnostics v_constraint = constraint_name;
      end;
    end loop;
  end loop;
  raise sqlstate 'PT422' using message = format(
    'the check %s of quel_production_jobs allows no row for this order; insert the row in your application',
    v_constraint);
end
$$;

-- Store a job as pending; one that is there stays as it is. Answers whether it was stored. Where a job needs a
-- production, one is made for it.
create or replace function public.darkroom_create_job(p_job jsonb) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  v_now timestamptz := clock_timestamp();
  v_production uuid := p_job->>'production_id';
  v_stored boolean;
begin
  if exists (select from public.quel_production_jobs where job_id = (p_job->>'job_id')::uuid) then
    return false;
  end if;
  if v_production is null and exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'public.quel_production_jobs'::regclass and attname = 'production_id' and attnotnull
  ) then
    v_production := gen_random_uuid();
    perform public.darkroom_insert('quel_production_photo', jsonb_build_object(
      'production_id', v_production, 'quel_member_id', p_job->'user_id', 'org_id', p_job->'org_id',
      'production_name', left(coalesce(p_job#>>'{document,name}', p_job->>'job_type'), 120),
      'production_status', 'pending', 'pipeline_type', p_job->'job_type', 'total_quantity', p_job->'total_images'));
  end if;
  v_stored := public.darkroom_insert_job(jsonb_build_object(
    'job_id', p_job->'job_id', 'job_type', p_job->'job_type', 'job_status', 'pending',
    'quel_member_id', p_job->'user_id', 'org_id', p_job->'org_id', 'production_id', v_production,
    'job_input_data', p_job->'document', 'total_images', p_job->'total_images', 'priority', p_job->'priority', 'webhook_url', p_job->'webhook_url',
    'job_name', p_job->'name', 'created_at', v_now, 'updated_at', v_now));
  if not v_stored and p_job->>'production_id' is null then
    delete from public.quel_production_photo where production_id = v_production;
  end if;
  if v_stored then
    perform public.darkroom_note_words((p_job->>'job_id')::uuid);
  end if;
  return v_stored;
end
$$;
