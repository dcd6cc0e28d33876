"""Records on PostgREST beside records in SQLite: the same jobs, in turns, in one run."""

from benchmarks.figures import Asked, Figure, Side, median, over
from benchmarks.measurements import Bench
from benchmarks.projects import ProjectKey
from benchmarks.work import Work
from benchmarks.worker_process import Kind
from tests.support.supabase.project import running_project

AN_IMAGE = (
    "darkroom_begin_attempts",
    "darkroom_attach",
    "darkroom_attach_group",
    "darkroom_settle",
    "darkroom_settle_group",
)


async def supabase(bench: Bench) -> list[Figure]:
    """Images a second at zero latency, and calls an image; the pictures are files on both sides."""
    work = Work(stages=3, images=bench.count(50, 4))
    with running_project(bench.folder / "project") as project:
        project.migrate()
        key = ProjectKey(url=project.url, service_role_key=project.service_role_key)
        async with (
            bench.server("sqlite") as in_sqlite,
            bench.server("postgrest", key) as in_postgres,
            bench.warm_worker(in_sqlite, Kind.DARKROOM, work) as one,
            bench.warm_worker(in_postgres, Kind.DARKROOM, work) as other,
        ):
            project.reset_calls()
            turns = [
                (await in_sqlite.run(one, work), await in_postgres.run(other, work)) for _ in range(bench.count(5, 1))
            ]
            calls = project.calls
    images = work.total * len(turns)
    files, postgres = [run for run, _ in turns], [run for _, run in turns]
    value, reference = median([run.rate for run in postgres]), median([run.rate for run in files])
    each = sum(calls[f"POST rpc/{name}"] for name in AN_IMAGE) / images
    # Of our own looking at the result, a page of ids is asked for once a job; it is counted all the same.
    every = sum(calls.values()) / images
    return [
        Figure(
            name="supabase-throughput",
            what=f"records on PostgREST, {work.total} of 64×64",
            unit="/s",
            value=value,
            ratio=over(value, reference),
            ratio_to=f"SQLite ({reference:.1f}/s)",
            asked=Asked(side=Side.AT_LEAST, bound=0.6, of_ratio=True),
            runs=tuple(run.rate for run in postgres),
        ),
        Figure(
            name="supabase-calls",
            what="begin, attach and settle calls an image",
            unit="",
            value=each,
            asked=Asked(side=Side.AT_MOST, bound=1.5),
        ),
        Figure(name="supabase-all-calls", what="all calls to PostgREST an image", unit="", value=every),
        Figure(
            name="supabase-exact",
            what="on PostgREST: exact (1 = yes)",
            unit="",
            value=float(all(run.exact for run in postgres)),
            asked=Asked(side=Side.AT_LEAST, bound=1),
        ),
    ]
