"""What Darkroom knows without touching the world: orders, rounds, money, progress, names, errors."""
