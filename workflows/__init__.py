"""What happens, in order. Deterministic; everything that touches the world is an activity."""
