"""Celery's side: `celery -A benchmarks.peers.celery_tasks worker`; four tasks a picture, one after another."""

import os
import time
from functools import cache
from pathlib import Path

from celery import Celery

from benchmarks.peers.steps import RealSteps, Steps
from benchmarks.work import Work, seconds

BROKER = "PEERS_BROKER"
KEPT = "PEERS_KEPT"
"""Where the steps keep what they make; they are empty without."""

app = Celery("peers", broker=os.environ[BROKER], backend=os.environ[BROKER])
app.conf.update(
    # A task is taken from the broker when it was done, not when it was begun.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    result_expires=3600,
)


@cache
def steps() -> Steps:
    """Of this process: a connection to SQLite is not carried over a fork."""
    return RealSteps(Path(os.environ[KEPT])) if os.environ.get(KEPT) else Steps()


def _generate(work: str, key: str, stage: int, ordinal: int) -> None:
    taken = seconds(Work.model_validate_json(work), stage, ordinal)
    if taken:
        time.sleep(taken)
    steps().generate(key, ordinal)


def _upload(key: str) -> None:
    steps().upload(key)


def _attach(key: str) -> None:
    steps().attach(key)


def _credit(key: str) -> str:
    steps().credit(key)
    return key


generate = app.task(_generate, name="generate", ignore_result=True)
upload = app.task(_upload, name="upload", ignore_result=True)
attach = app.task(_attach, name="attach", ignore_result=True)
credit = app.task(_credit, name="credit")
