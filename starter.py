#!/usr/bin/env python3
"""Darkroom's command line: `python starter.py --help`."""

from darkroom.collector import importing

if __name__ == "__main__":
    with importing():
        from cli.app import leave, main
    leave(main())
