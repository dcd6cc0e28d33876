"""Attacks, made for real and counted: what an enemy would send, and a judge who says whether it got in."""
