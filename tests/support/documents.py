"""Order documents, one of each kind, and changed ones."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any
from uuid import UUID

USER = "6f1c1e9a-0000-4000-8000-000000000002"
OTHER = UUID("6f1c1e9a-0000-4000-8000-000000000003")
PIPELINE: dict[str, Any] = {
    "userId": USER,
    "stages": [
        {"stage_index": 0, "prompt": "lake", "quantity": 50, "aspect-ratio": "1:1", "mergedImageAttachId": 2109},
        {
            "stage_index": 1,
            "prompt": "hill",
            "quantity": 40,
            "individualImageAttachIds": [{"attachId": 7, "type": "model"}, {"attachId": 8, "type": "top"}],
        },
    ],
}
GENERAL: dict[str, Any] = {
    "userId": USER,
    "prompt": "lake",
    "quantity": 4,
    "aspect-ratio": "1:1",
    "uploadedAttachIds": [{"attachId": 7, "type": "model"}],
}
PORTRAIT: dict[str, Any] = {
    "userId": USER,
    "aspect-ratio": "3:4",
    "mergedImages": [
        {"mergedAttachId": 9, "wrappingPrompt": "film grain", "photoIndex": 5},
        {"mergedAttachId": 10, "wrappingPrompt": "studio", "photoIndex": 2},
    ],
}
DOCUMENTS = {"pipeline_stage": PIPELINE, "simple_general": GENERAL, "simple_portrait": PORTRAIT}


def changed(document: Mapping[str, Any], **values: Any) -> dict[str, Any]:
    return {**deepcopy(dict(document)), **values}


def with_stage(**values: Any) -> dict[str, Any]:
    document = deepcopy(PIPELINE)
    document["stages"][1] |= values
    return document


def without(document: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in keys}
