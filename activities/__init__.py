"""What touches the world: each method here is one Temporal activity."""
