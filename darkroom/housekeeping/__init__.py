"""Housekeeping: repairs abandoned runs and holds, and removes leftovers."""
