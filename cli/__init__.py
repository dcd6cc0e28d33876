"""The command line: what `starter.py` runs."""
