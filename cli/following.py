"""Following a job to its end: redrawn on a terminal, in plain lines elsewhere."""

from collections.abc import Callable
from contextlib import nullcontext
from time import monotonic
from uuid import UUID

from rich.live import Live

from cli.display import Watched
from cli.output import Output, one_line
from darkroom.bootstrap import Parts
from darkroom.client.jobs import Client
from darkroom.client.results import ProgressReading
from darkroom.domain.progress import Progress
from darkroom.domain.sentences import how_it_stands

LINE_INTERVAL = 2.0
_STAGES_WITH_PROMPTS = 40


async def follow(
    parts: Parts,
    client: Client,
    job_id: UUID,
    watched: Watched,
    output: Output,
    *,
    on_reading: Callable[[ProgressReading], None] | None = None,
) -> ProgressReading:
    """Show the job until it has ended; what is shown stays on the screen."""
    live = Live(console=output.notes, auto_refresh=False, transient=False) if output.live else None
    printed = ("", 0.0)
    with live or nullcontext():
        async for reading in client.follow(job_id, unchanged=True):
            if not watched.prompts:
                watched.prompts = await prompts_of(parts, reading.progress)
            news = watched.update(reading.progress, reading.source)
            if on_reading is not None:
                on_reading(reading)
            if live is not None:
                live.update(watched.shown(output.notes), refresh=True)
            else:
                printed = _print(watched, news, output, printed)
    return reading


async def prompts_of(parts: Parts, progress: Progress) -> dict[int, str]:
    """The beginnings of the stages' prompts, for as many stages as there may be room to show."""
    indexes = [stage.stage_index for stage in progress.stages[:_STAGES_WITH_PROMPTS]]
    stages = [await parts.records.stage(progress.job_id, index) for index in indexes]
    return {stage.stage_index: one_line(stage.prompt[:200]) for stage in stages}


def _print(watched: Watched, news: list[str], output: Output, printed: tuple[str, float]) -> tuple[str, float]:
    assert watched.progress is not None
    for event in news:
        output.say(event)
    count = f"{watched.progress.completed_images} {watched.progress.status}"
    ended = watched.progress.status.ended
    if count == printed[0] or (monotonic() - printed[1] < LINE_INTERVAL and not ended):
        return printed
    output.say(f"{watched.line()}{f' · {how_it_stands(watched.progress)}' if ended else ''}")
    return count, monotonic()
