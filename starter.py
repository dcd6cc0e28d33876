#!/usr/bin/env python3
"""Darkroom's command line: `python starter.py --help`."""

from darkroom.collector import without_collection

if __name__ == "__main__":
    with without_collection():
        from cli.app import leave, main
    leave(main())
