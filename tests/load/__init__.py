"""The API under attack: its memory, and what others wait for it meanwhile."""
