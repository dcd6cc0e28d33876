#!/usr/bin/env python3
"""Darkroom's command line: `python starter.py --help`."""

from cli.app import leave, main

if __name__ == "__main__":
    leave(main())
