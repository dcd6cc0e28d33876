"""A running job on a terminal: a bar for each stage, the pace, and what happened last."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.invocation import as_started
from cli.output import clock_time, plural, seconds_left
from darkroom.domain.progress import JobStatus, Progress, StageProgress
from darkroom.domain.rounds import StageStatus
from darkroom.domain.sentences import failing, how_it_stands, without_worker

WINDOW = 8.0
"""Seconds over which the pace is measured."""

_BAR, _GROOVE = "━", "─"
_GAP = 2
_BAR_AT_LEAST = 10
_STATE = 18
"""Cells for what a stage is doing, where there is room for them."""

_EVENTS_SHOWN = 5
"""Lines: the newest event is shown all the same."""

_NEED_CARE = (StageStatus.DELIVERING, StageStatus.TOPPING_UP)


class Pace:
    """Pictures a second, over the last seconds."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, int]] = deque()

    def add(self, completed: int, at: float | None = None) -> None:
        """Note how many there are now."""
        now = monotonic() if at is None else at
        self._readings.append((now, completed))
        while len(self._readings) > 2 and self._readings[1][0] <= now - WINDOW:
            self._readings.popleft()

    @property
    def per_second(self) -> float | None:
        """None before a second has passed and while nothing arrives."""
        (first, before), (last, after) = self._readings[0], self._readings[-1]
        return (after - before) / (last - first) if last - first >= 1 and after > before else None


class Watched:
    """What is known of a job so far."""

    def __init__(self, page: str | None = None) -> None:
        self.progress: Progress | None = None
        self.source = "records"
        self.events: deque[str] = deque(maxlen=_EVENTS_SHOWN)
        self.prompts: Mapping[int, str] = {}
        """The beginnings of prompts by stage, shown beside the labels."""
        self._page = page
        self._pace = Pace()

    def update(self, progress: Progress, source: str) -> list[str]:
        """Store the job's progress; returns what is new, in words."""
        news = list(_news(self.progress, progress))
        self.progress, self.source = progress, source
        self._pace.add(progress.completed_images)
        self.events.extend(news)
        return news

    def line(self) -> str:
        """The job in one line."""
        progress = self.progress
        assert progress is not None, "update() comes before line()"
        return " · ".join(
            [f"{progress.completed_images:,} of {progress.total_images:,} delivered", *self._pace_words()]
        )

    def shown(self, console: Console) -> RenderableType:
        """The job as a picture of itself, fitted to the terminal."""
        progress = self.progress
        if progress is None:
            return Text("")
        head = _headline(progress, self.source)
        room = max(3, console.height - 13 - len(head.wrap(console, console.width)))
        parts: list[RenderableType] = [head, Text(""), self._table(progress, console.width, room)]
        if not progress.status.ended:
            words = " · ".join(self._pace_words())
            parts += [Text(""), Text(words)] if words else []
            events = [event for event in self.events if event != as_started(how_it_stands(progress, clock_time))]
            latest = self._latest(console, events or _shortfalls(progress))
            parts += [Text(""), *latest] if latest else []
        if self._page is not None:
            parts += [Text(""), Text(self._page, style="quiet", overflow="fold")]
        return Group(*parts)

    @staticmethod
    def _latest(console: Console, events: Sequence[str]) -> list[Text]:
        """The newest that fit, each in full: what to do stands at its end."""
        shown: list[Text] = []
        lines = 0
        for event in reversed(events):
            text = Text(event, style="quiet")
            lines += len(text.wrap(console, console.width))
            if shown and lines > _EVENTS_SHOWN:
                break
            shown.insert(0, text)
        return shown

    def _table(self, progress: Progress, width: int, room: int) -> Table:
        rows, left_out = chosen_stages(progress.stages, room)
        lines = [(Text(stage.label), self.prompts.get(stage.stage_index, ""), [stage], _state(stage)) for stage in rows]
        if left_out:
            lines.append((Text(plural(len(left_out), "other stage"), "quiet"), "", left_out, Text("")))
        lines.append((Text("total", "strong"), "", list(progress.stages or (_whole(progress),)), Text("")))
        # Fixed from the start, so that nothing moves sideways while numbers grow, and so that labels and reasons,
        # however long, leave the numbers whole.
        counted = len(_count(progress.total_images, progress.total_images))
        gaps = 3 * _GAP
        named = max(5, min(max(cell_len(label.plain) for label, *_ in lines), width - counted - _BAR_AT_LEAST - gaps))
        free = width - named - counted - gaps - _STATE
        bar = max(_BAR_AT_LEAST, min(40, free))
        prompt = min(48, free - bar)
        told = max(0, width - named - counted - bar - gaps - (prompt + _GAP if prompt >= 12 else 0))
        table = Table(box=None, show_header=False, padding=(0, _GAP, 0, 0), pad_edge=False)
        table.add_column(no_wrap=True, width=named, overflow="ellipsis")
        if prompt >= 12:
            table.add_column(no_wrap=True, style="quiet", width=prompt, overflow="ellipsis")
        table.add_column(no_wrap=True, width=bar)
        table.add_column(no_wrap=True, width=counted, justify="right")
        if told:
            table.add_column(no_wrap=True, max_width=told, overflow="ellipsis")
        for label, text, stages, state in lines:
            done, ordered = sum(stage.completed for stage in stages), sum(stage.quantity for stage in stages)
            prompts = [text] if prompt >= 12 else []
            states = [state] if told else []
            table.add_row(label, *prompts, _bar(stages, ordered, bar), _count(done, ordered), *states)
        return table

    def _pace_words(self) -> list[str]:
        progress = self.progress
        if progress is None or progress.status.ended:
            return []
        if progress.keeps_still:
            return []
        rate = self._pace.per_second
        left = progress.eta_seconds
        if left is None and rate:
            left = (progress.total_images - progress.completed_images) / rate
        words = [f"{rate:.1f} pictures/s"] if rate else []
        if left is not None and not progress.paused and progress.completed_images < progress.total_images:
            words.append(f"about {seconds_left(left)} left")
        return words


def chosen_stages(stages: Sequence[StageProgress], room: int) -> tuple[list[StageProgress], list[StageProgress]]:
    """The stages that are shown, active ones preferred, and the others."""
    if len(stages) <= room:
        return list(stages), []
    by_need = sorted(stages, key=lambda stage: (stage.status not in _NEED_CARE, stage.stage_index))
    kept = {stage.stage_index for stage in by_need[: room - 1]}
    return (
        [stage for stage in stages if stage.stage_index in kept],
        [stage for stage in stages if stage.stage_index not in kept],
    )


def _headline(progress: Progress, source: str) -> Text:
    # What keeps a job still is told whole, with what to do about it.
    head = Text(f"job {progress.job_id}", overflow="fold")
    alive = progress.status is JobStatus.PROCESSING and not progress.paused
    head.append("  ")
    head.append(
        as_started(how_it_stands(progress, clock_time)),
        style="accent" if alive or progress.status is JobStatus.FAILED else "strong",
    )
    if source == "records" and not progress.status.ended:
        head.append("  from the records", style="quiet")
    return head


def _state(stage: StageProgress) -> Text:
    if stage.retrying:
        return Text(f"retrying {stage.retrying:,}: {stage.fault}", style="accent")
    match stage.status:
        case StageStatus.TOPPING_UP:
            return Text(f"top-up {stage.round}", style="accent")
        case StageStatus.SHORT:
            return Text(f"short: {stage.reason or 'no top-up rounds left'}", style="accent")
        case StageStatus.DELIVERING:
            return Text("delivering")
        case _:
            return Text(str(stage.status), style="quiet")


def _bar(stages: Iterable[StageProgress], ordered: int, width: int) -> Text:
    """Delivered, being made, missing: each part at least a cell wide when there is anything of it."""
    delivered = sum(stage.completed for stage in stages)
    in_flight = min(sum(stage.in_flight for stage in stages), ordered - delivered)
    done = _cells(delivered, ordered, width)
    alive = min(width - done, _cells(in_flight, ordered, width) or (1 if in_flight else 0))
    bar = Text(_BAR * done, style="default")
    bar.append(_BAR * alive, style="accent")
    bar.append(_GROOVE * (width - done - alive), style="quiet")
    return bar


def _cells(part: int, whole: int, width: int) -> int:
    return min(width, part * width // whole) if whole else 0


def _count(done: int, ordered: int) -> str:
    return f"{done:,} of {ordered:,}"


def _whole(progress: Progress) -> StageProgress:
    """A job whose stages are not known yet, as one stage."""
    return StageProgress(stage_index=0, label="", quantity=progress.total_images, completed=progress.completed_images)


def _shortfalls(progress: Progress) -> list[str]:
    """Why stages are short, for whoever did not see them become so."""
    return [f"{stage.label}: short: {stage.reason}" for stage in progress.stages if stage.status is StageStatus.SHORT]


def _news(before: Progress | None, now: Progress) -> Iterable[str]:
    known = {stage.stage_index: stage for stage in before.stages} if before else {}
    for stage in now.stages:
        previous = known.get(stage.stage_index)
        missing = stage.quantity - stage.completed
        if stage.round > (previous.round if previous else 0) and stage.status is StageStatus.TOPPING_UP:
            yield f"{stage.label}: top-up {stage.round} started, {plural(missing, 'picture')} missing"
        if previous is None or previous.status is stage.status:
            continue
        if stage.status is StageStatus.COMPLETE and previous.round:
            yield f"{stage.label}: complete after {plural(previous.round, 'top-up')}"
        if stage.status is StageStatus.SHORT:
            yield f"{stage.label}: short by {missing:,}: {stage.reason or 'no top-up rounds left'}"
    yield from _trouble(before, now)
    if before and now.paused and not before.paused:
        yield f"paused: {now.pause_reason or 'until resumed'}"
    if before and before.paused and not now.paused and not now.status.ended:
        yield "resumed"
    if before and now.cancel_requested and not before.cancel_requested:
        yield "cancel requested: waiting for calls in progress"


def _trouble(before: Progress | None, now: Progress) -> Iterable[str]:
    """What keeps a job still, when that begins and when it is over."""
    known = before or now.model_copy(update={"failing": (), "without_worker": (), "stalled": False})
    failed_before, failing_now = ({one.provider for one in reading.failing} for reading in (known, now))
    yield from (failing(one, clock_time) for one in now.failing if one.provider not in failed_before)
    yield from (f"{provider} answers again" for provider in sorted(failed_before - failing_now) if _runs(now))
    if now.without_worker and now.without_worker != known.without_worker:
        yield as_started(without_worker(now.without_worker))
    if known.without_worker and not now.without_worker and _runs(now):
        yield "a worker is running"
    if now.stalled and not (known.stalled or now.failing or now.without_worker):
        yield "stalled: no picture was delivered or missed lately"


def _runs(progress: Progress) -> bool:
    return progress.status is JobStatus.PROCESSING and not progress.paused and not progress.cancel_requested
