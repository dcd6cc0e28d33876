"""The jobs of a proof: one document for each type of order, every prompt with a mark of its own job in brackets."""

import random
from collections.abc import Callable
from typing import Any
from uuid import UUID

from darkroom.domain.orders import JobType

Document = dict[str, Any]


def _split(total: int, parts: int) -> list[int]:
    """A number as so many nearly equal ones."""
    return [total // parts + (n < total % parts) for n in range(parts)]


def _pipeline(mark: str, total: int, reference: int, rng: random.Random) -> Document:
    quantities = _split(total, rng.randint(1, 3))
    return {"stages": [{"prompt": f"A lighthouse [{mark}.{n}]", "quantity": q} for n, q in enumerate(quantities)]}


def _general(mark: str, total: int, reference: int, rng: random.Random) -> Document:
    uploaded = [{"attachId": reference, "type": "model"}]
    return {"prompt": f"A lighthouse [{mark}]", "quantity": total, "uploadedAttachIds": uploaded}


def _portrait(mark: str, total: int, reference: int, rng: random.Random) -> Document:
    merged = [
        {"mergedAttachId": reference, "wrappingPrompt": f"A keeper [{mark}.{n}]", "photoIndex": n}
        for n in range(min(total, 40))
    ]
    return {"mergedImages": merged, "aspect-ratio": "3:4"}


def _batch(mark: str, total: int, reference: int, rng: random.Random) -> Document:
    shots = [("front", "full"), ("back", "tight"), ("side", "middle"), ("profile", "full")]
    combinations = [
        {"angle": angle, "shot": shot, "quantity": quantity}
        for (angle, shot), quantity in zip(shots, _split(total, len(shots)), strict=True)
    ]
    return {"basePrompt": f"A raincoat [{mark}]", "combinations": combinations}


def _template(mark: str, total: int, reference: int, rng: random.Random) -> Document:
    variables = {"light": ["dawn", "noon", "dusk"], "weather": ["fog", "rain"]}
    prompt = f"A lighthouse at {{light}} in {{weather}} [{mark}]"
    return {"prompt": prompt, "variables": variables, "quantity": max(1, total // 6)}


def _storybook(mark: str, total: int, reference: int, rng: random.Random) -> Document:
    pages = [{"dialogues": [f"The light went out [{mark}.{n}]"]} for n in range(min(total, 40))]
    return {"pages": pages, "style": rng.choice(("watercolor", "fantasy", "cartoon"))}


DOCUMENTS: dict[JobType, Callable[[str, int, int, random.Random], Document]] = {
    JobType.PIPELINE_STAGE: _pipeline,
    JobType.SIMPLE_GENERAL: _general,
    JobType.SIMPLE_PORTRAIT: _portrait,
    JobType.SINGLE_BATCH: _batch,
    JobType.TEMPLATE: _template,
    JobType.STORYBOOK: _storybook,
}


def document(kind: JobType, job_id: UUID, total: int, reference: int, rng: random.Random) -> Document:
    """An order of this type.

    Args:
        kind: which type.
        job_id: its mark.
        total: about how many pictures.
        reference: the attachment that some types are drawn after.
        rng: for what is left open.
    """
    return {"job_type": kind.value, **DOCUMENTS[kind](str(job_id), total, reference, rng)}
