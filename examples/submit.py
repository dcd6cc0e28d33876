"""Order two images, follow the job, save what it delivers: `python examples/submit.py`, with `up` running beside it."""

import asyncio
from pathlib import Path

import darkroom

ORDER = {"stages": [{"prompt": "A lemon on a table, morning light", "quantity": 2}]}


async def main() -> None:
    async with darkroom.connect() as client:
        job = await client.submit(await client.check(ORDER, client.local_user))
        async for reading in client.follow(job.job_id):
            print(f"{reading.progress.completed_images} of {job.total_images} delivered")
        for image in await client.images(job.job_id):
            Path(image.file_name).write_bytes(await client.download(image))


asyncio.run(main())
