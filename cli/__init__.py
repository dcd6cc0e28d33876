"""The command line: what `darkroom` and `starter.py` run."""
