"""`supabase/types.ts` says what a signed-in user may use of a migrated database, and TypeScript takes it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.programs import required
from tests.support.supabase.catalogs import database, migrate
from tests.support.supabase.project import ROOT, Project
from tests.support.supabase.tenants import FUNCTIONS, OWN_ROWS, TABLES
from tests.support.supabase.typescript import TYPES, types

USE = """
import type { Database, Json, Tables, TablesInsert, TablesUpdate } from "./types"

const order: TablesInsert<"quel_production_jobs"> = {
  quel_member_id: "a", job_status: "pending", job_type: "simple_general",
  job_input_data: { prompt: "a coat", quantity: 2 },
}
declare const job: Tables<"quel_production_jobs">
const shown: [string, number | null, Json] = [job.job_id, job.completed_images, job.generated_attach_ids]
// @ts-expect-error - the price of a job is not theirs to write
const price: TablesInsert<"quel_production_jobs"> = { unit_price: 0 }
// @ts-expect-error - nor is anything of a picture
const picture: TablesUpdate<"quel_attach"> = { quel_member_id: "b" }
// @ts-expect-error - keys are for the service role alone
type Keys = Tables<"quel_api_keys">
// @ts-expect-error - and so are all functions
type Settle = Database["public"]["Functions"]["darkroom_settle"]
export { order, shown, price, picture }
"""

OTHERS = """
create type mood as enum ('calm', 'wild');
create table album (album_id uuid primary key, mood mood not null, tags text[], total numeric(10,2) default 0,
  twice numeric generated always as (total * 2) stored, production_id uuid unique references quel_production_photo);
create table closed (id int primary key);
revoke all on closed from anon, authenticated;
grant select, insert, update on album to authenticated;
create function albums_of(mood mood, most integer default 5) returns setof jsonb language sql return '{}'::jsonb;
create function hidden() returns void language sql as '';
revoke execute on function hidden() from public, authenticated;
"""


@pytest.fixture
def generated(migrated: Project) -> str:
    with database(migrated) as db:
        migrate(db)
        return types(db)


def test_the_types_are_those_of_the_migrated_database(generated: str) -> None:
    assert TYPES.read_text("utf-8") == generated, "run `make types`"


def test_only_what_clients_may_use_is_in_them(generated: str) -> None:
    assert [name for name in TABLES if f"      {name}: {{" in generated] == [*OWN_ROWS]
    assert [name for name in FUNCTIONS if name in generated] == []


def test_enums_relationships_and_functions_are_described(migrated: Project) -> None:
    with database(migrated) as db:
        migrate(db)
        db.execute(OTHERS)
        text = " ".join(types(db).split())
    assert 'album: { Row: { album_id: string mood: Database["public"]["Enums"]["mood"] production_id' in text
    assert "tags: string[] | null total: number | null twice: number | null } Insert: { album_id: string mood:" in text
    assert "tags?: string[] | null total?: number | null twice?: never }" in text
    assert (
        'Relationships: [ { foreignKeyName: "album_production_id_fkey" columns: ["production_id"] isOneToOne: true'
        ' referencedRelation: "quel_production_photo" referencedColumns: ["production_id"] }, ]'
    ) in text
    assert 'Args: { mood: Database["public"]["Enums"]["mood"] most?: number } Returns: (Json)[]' in text
    assert 'Enums: { mood: "calm" | "wild" }' in text
    assert "closed:" not in text
    assert "hidden:" not in text


def test_typescript_takes_them_and_refuses_what_is_not_theirs(tmp_path: Path) -> None:
    found = ROOT / "tests/node_modules/.bin/tsc"
    compiler = required(str(found) if found.exists() else None, "tsc", "install Node.js and run `make test`")
    shutil.copy(TYPES, tmp_path / "types.ts")
    (tmp_path / "use.ts").write_text(USE, "utf-8")
    command = [compiler, "--noEmit", "--strict", "use.ts"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
