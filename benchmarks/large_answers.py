"""Memory with large answers: 24 calls of 4K pictures that end together, over HTTP and through the provider's SDK."""

import io

from PIL import Image

from benchmarks.answering import answer_of, answering
from benchmarks.figures import Asked, Figure, Side
from benchmarks.measurements import MB, Bench
from benchmarks.usage import peak_of
from benchmarks.work import Work
from benchmarks.worker_process import Kind
from darkroom.domain.formats import ImageFormat

CALLS = 24
"""The default of PROVIDER_CONCURRENCY for one process."""
SIZE = (5504, 3072)
"""Of a 4K picture of 16:9."""
GRAIN = 6
"""Standard deviation of its noise."""


async def large_answers(bench: Bench) -> list[Figure]:
    """The peak of a worker and its children while 24 answers of 20 MB come at the same moment."""
    calls = bench.count(CALLS, 2)
    answer = answer_of(_picture(bench.count(SIZE[0], 640), bench.count(SIZE[1], 360)))
    figures = []
    for made in (ImageFormat.WEBP, ImageFormat.AVIF):
        work = Work(stages=1, images=calls, format=made)
        async with (
            answering(answer, calls) as address,
            bench.server(f"large-{made}") as server,
            server.worker(Kind.DARKROOM, work, answers_at=address) as worker,
            peak_of(worker.pid) as peak,
        ):
            run = await server.run_many(worker, work, 1, 1)
        exact = "exact" if run.exact else "NOT EXACT"
        what = f"{calls} answers of {len(answer) / MB:.0f} MB at once, delivered as {made}: peak memory"
        figures.append(
            Figure(
                name=f"large-answers-{made}",
                what=what,
                unit="MB",
                value=peak.bytes / MB,
                asked=Asked(side=Side.AT_MOST, bound=900) if made is ImageFormat.WEBP else None,
                note=f"worker and decoding processes, proportional set size; {run.seconds:.0f} s, {exact}",
            )
        )
    return figures


def _picture(across: int, down: int) -> bytes:
    """With grain: a PNG of 20 MB at the size of 4K, as photographs are."""
    grain = Image.effect_noise((across, down), GRAIN)
    light = Image.linear_gradient("L").resize((across, down))
    target = io.BytesIO()
    Image.merge("RGB", (grain, grain.point([value >> 5 for value in range(256)]), light)).save(
        target, "PNG", compress_level=1
    )
    return target.getvalue()
