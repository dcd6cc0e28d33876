"""The words of a `single_batch` prompt: one template for all stages, some words for each angle and each shot."""

ANGLES = {
    "front": "Front view, facing the camera",
    "side": "Three-quarter view from the side",
    "profile": "Profile view, at a right angle to the camera",
    "back": "Back view, facing away from the camera",
}

SHOTS = {
    "tight": "tight shot, a close-up that fills the frame",
    "middle": "middle shot, the upper half of the subject in the frame",
    "full": "full shot, the whole subject in the frame",
}

PROMPT = """\
{angle}; {shot}.

{base}"""


def batch_prompt(angle: str, shot: str, base: str) -> str:
    """What a provider is asked for one angle and one shot; words that are not known stand as they are."""
    return PROMPT.format(angle=ANGLES.get(_word(angle), angle), shot=SHOTS.get(_word(shot), shot), base=base)


def is_tight(shot: str) -> bool:
    """Whether the shot shows no legs."""
    return _word(shot) == "tight"


def _word(given: str) -> str:
    return given.strip().lower()
