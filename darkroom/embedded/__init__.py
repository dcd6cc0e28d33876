"""The embedded default: a Temporal server of our own and the processes beside it."""
