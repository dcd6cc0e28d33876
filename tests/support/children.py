"""Processes for pictures that all stacks of a test process share: hundreds of stacks need two, not hundreds."""

import atexit

from darkroom.decoding.children import Children

SHARED = Children()
"""Started when a test first needs them."""

atexit.register(SHARED.end)
