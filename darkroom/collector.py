"""Python's cyclic garbage collector, kept out of what makes no garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Import modules without it: it would look hundreds of times for garbage that is not there, a fifth of the time.

    What is there at the end stays as long as the process, and is never looked at again.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
