"""How fast pictures become files: the one thing that needs a processor."""

import asyncio
import io
import time
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from benchmarks.figures import Figure, over
from benchmarks.measurements import Bench
from benchmarks.work import Pictures, Sample
from darkroom.decoding.children import CORES, Children
from darkroom.decoding.codecs import encode, encode_webp
from darkroom.domain.formats import ImageFormat, ImageSize
from darkroom.pictures import CODECS, PictureWork

QUALITY, METHOD = 90, 2


async def webp(bench: Bench) -> list[Figure]:
    """Decode and encode 1376×768 at quality 90, method 2; what `upload` does, without its file."""
    pictures = Pictures(Sample.SCREEN)
    encode_webp(pictures.fresh(0), QUALITY, METHOD)
    images = bench.count(80, 6)
    # Nothing else runs in this process meanwhile, so the event loop may wait.
    one, two = (_rate(pictures, images, threads) for threads in (1, 2))
    children = await _rate_in_children(pictures, images)
    what = "WebP of 1376×768, q 90 m 2"
    return [
        Figure(name="webp-1", what=f"{what}, one thread", unit="/s", value=one),
        Figure(
            name="webp-2",
            what=f"{what}, two threads",
            unit="/s",
            value=two,
            ratio=over(two, one),
            ratio_to="one thread",
        ),
        Figure(
            name="webp-children",
            what=f"{what}, {CORES} child processes",
            unit="/s",
            value=children,
            ratio=over(children, one),
            ratio_to="one thread",
        ),
    ]


async def formats(bench: Bench) -> list[Figure]:
    """Every format at every size: pictures a second of one core, decoded and encoded, and what their files weigh."""
    small = Pictures(Sample.SCREEN).fresh(0)
    figures = []
    for size in ImageSize:
        source = _enlarged(small, size.factor)
        for made in (ImageFormat.WEBP, ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.AVIF):
            rounds = bench.count(max(2, 12 // size.factor**2), 1)
            began = time.process_time()
            for _ in range(rounds):
                file = _encoded(source, made)
            rate = rounds / (time.process_time() - began)
            weight = f"{len(file) / 1000:,.0f} KB"
            what = f"{size} as {made}, {weight}: one core"
            figures.append(Figure(name=f"format-{size}-{made}", what=what, unit="/s", value=rate))
    return figures


def _encoded(source: bytes, made: ImageFormat) -> bytes:
    if made is ImageFormat.WEBP:
        return encode_webp(source, QUALITY, METHOD)
    return encode(source, CODECS[made].kind, CODECS[made].options)


def _enlarged(data: bytes, factor: int) -> bytes:
    if factor == 1:
        return data
    with Image.open(io.BytesIO(data)) as image:
        large = image.resize((image.width * factor, image.height * factor), Image.Resampling.BICUBIC)
    target = io.BytesIO()
    large.save(target, "JPEG", quality=95)
    return target.getvalue()


async def _rate_in_children(pictures: Pictures, images: int) -> float:
    children = Children()
    work = PictureWork(QUALITY, METHOD, children)
    try:
        await asyncio.gather(*(work.encode(pictures.fresh(n)) for n in range(CORES)))  # they start at their first use
        began = time.perf_counter()
        await asyncio.gather(*(work.encode(pictures.fresh(n)) for n in range(images)))
        return images / (time.perf_counter() - began)
    finally:
        await children.close()


def _rate(pictures: Pictures, images: int, threads: int) -> float:
    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        done = len(list(pool.map(lambda n: encode_webp(pictures.fresh(n), QUALITY, METHOD), range(images))))
        return done / (time.perf_counter() - began)
