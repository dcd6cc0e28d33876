"""Python's cyclic garbage collector, switched off while modules are imported."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection(*, own_process: bool = True) -> Iterator[None]:
    """Import modules without the collector, which would run hundreds of times and find nothing: a fifth of the time.

    Args:
        own_process: whether this process is ours alone. Then the collector ignores from now on what exists at the
            end; otherwise its first run looks through all of it.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if own_process:
            gc.freeze()
        if enabled:
            gc.enable()
