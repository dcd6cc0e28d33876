"""Records on PostgREST beside records in SQLite: the same jobs, in turns, in one run."""

from collections import Counter
from dataclasses import dataclass, field

from benchmarks.bench_server import BenchServer, Run, WorkerProcess
from benchmarks.delaying_proxy import delayed as delayed_address
from benchmarks.figures import Asked, Figure, Side, median, over
from benchmarks.measurements import Bench
from benchmarks.projects import ProjectKey
from benchmarks.work import Work
from benchmarks.worker_process import Kind
from tests.support.supabase.project import Project, running_project

DELAY = 0.02
"""Seconds, as to a database in the next region."""

MOST_SHOWN = 12


@dataclass
class Calls:
    """What PostgREST was asked while jobs ran."""

    project: Project
    images: int = 0
    by_name: Counter[str] = field(default_factory=Counter)

    async def run(self, server: BenchServer, worker: WorkerProcess, work: Work) -> Run:
        """A job, and the calls from its order to its result: not those of our own looking at what it left."""
        self.project.reset_calls()
        run = await server.run(worker, work, on_result=self._count)
        self.images += work.total
        return run

    def _count(self) -> None:
        self.by_name += self.project.calls

    @property
    def each(self) -> float:
        """Calls an image."""
        return self.by_name.total() / self.images

    @property
    def shown(self) -> str:
        """The most frequent, and how often an image."""
        most = self.by_name.most_common(MOST_SHOWN)
        return ", ".join(f"{name.removeprefix('POST rpc/')} {count / self.images:.2f}" for name, count in most)


async def supabase(bench: Bench) -> list[Figure]:
    """Images a second at zero latency, and calls an image; the pictures are files on both sides."""
    work = Work(stages=3, images=bench.count(50, 4))
    with running_project(bench.folder / "project") as project:
        project.migrate()
        calls = Calls(project)
        async with (
            bench.server("sqlite") as in_sqlite,
            bench.server("postgrest", _key(project, project.url)) as in_postgres,
            bench.warm_worker(in_sqlite, Kind.DARKROOM, work) as one,
            bench.warm_worker(in_postgres, Kind.DARKROOM, work) as other,
        ):
            turns = [
                (await in_sqlite.run(one, work), await calls.run(in_postgres, other, work))
                for _ in range(bench.repeat(5))
            ]
    files, postgres = [run for run, _ in turns], [run for _, run in turns]
    value, reference = median([run.rate for run in postgres]), median([run.rate for run in files])
    return [
        Figure(
            name="supabase-throughput",
            what=f"records on PostgREST, {work.total} of 64×64",
            unit="/s",
            value=value,
            ratio=over(value, reference),
            ratio_to=f"SQLite ({reference:.1f}/s)",
            asked=Asked(side=Side.AT_LEAST, bound=0.9, of_ratio=True),
            runs=tuple(run.rate for run in postgres),
            note="SQLite syncs each transaction; this PostgreSQL does not",
        ),
        Figure(
            name="supabase-calls",
            what="calls to PostgREST per image, opening and closing included",
            unit="",
            value=calls.each,
            asked=Asked(side=Side.AT_MOST, bound=1.5),
            note=calls.shown,
        ),
        _exact("supabase-exact", "on PostgREST: exact (1 = yes)", postgres),
    ]


async def delayed(bench: Bench) -> list[Figure]:
    """One job whose records answer 20 ms later, beside the same without delay."""
    work = Work(stages=3, images=bench.count(50, 4))
    with running_project(bench.folder / "project") as project:
        project.migrate()
        async with (
            delayed_address(project.url, DELAY) as address,
            bench.server("direct", _key(project, project.url)) as direct,
            bench.server("delayed", _key(project, address)) as late,
            bench.warm_worker(direct, Kind.DARKROOM, work) as one,
            bench.warm_worker(late, Kind.DARKROOM, work) as other,
        ):
            turns = [(await direct.run(one, work), await late.run(other, work)) for _ in range(bench.repeat(3))]
    at_once, waiting = [run for run, _ in turns], [run for _, run in turns]
    value, reference = median([run.rate for run in waiting]), median([run.rate for run in at_once])
    return [
        Figure(
            name="supabase-delayed",
            what=f"records on PostgREST, {1000 * DELAY:.0f} ms of delay per request, {work.total} of 64×64",
            unit="/s",
            value=value,
            ratio=over(value, reference),
            ratio_to=f"without delay ({reference:.1f}/s)",
            runs=tuple(run.rate for run in waiting),
        ),
        _exact("supabase-delayed-exact", "on PostgREST with delay: exact (1 = yes)", waiting),
    ]


async def slow_commits(bench: Bench) -> list[Figure]:
    """One job on a database whose commits take 20 ms, as on slow or replicated disks: locks are held meanwhile."""
    work = Work(stages=3, images=bench.count(50, 4))
    rates: dict[bool, list[Run]] = {}
    with running_project(bench.folder / "project", durable=True) as project:
        project.migrate()
        key = _key(project, project.url)
        async with bench.server("commits", key) as server, bench.warm_worker(server, Kind.DARKROOM, work) as worker:
            for slow in (False, True):
                with project.connect() as connection:
                    connection.execute(f"alter system set commit_delay = {1_000_000 * DELAY * slow:.0f}")
                    connection.execute("alter system set commit_siblings = 0")
                    connection.execute("select pg_reload_conf()")
                await server.run(worker, Work(stages=1, images=1))
                rates[slow] = [await server.run(worker, work) for _ in range(bench.repeat(3))]
    value, reference = (median([run.rate for run in rates[slow]]) for slow in (True, False))
    return [
        Figure(
            name="supabase-commits",
            what=f"records on PostgREST, {1000 * DELAY:.0f} ms per commit, {work.total} of 64×64",
            unit="/s",
            value=value,
            ratio=over(value, reference),
            ratio_to=f"commits to this disk ({reference:.1f}/s)",
            runs=tuple(run.rate for run in rates[True]),
        ),
        _exact("supabase-commits-exact", "on PostgREST with slow commits: exact (1 = yes)", rates[True]),
    ]


def _key(project: Project, url: str) -> ProjectKey:
    return ProjectKey(url=url, service_role_key=project.service_role_key)


def _exact(name: str, what: str, runs: list[Run]) -> Figure:
    exact = float(all(run.exact for run in runs))
    return Figure(name=name, what=what, unit="", value=exact, asked=Asked(side=Side.AT_LEAST, bound=1))
