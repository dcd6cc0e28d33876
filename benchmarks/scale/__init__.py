"""How it holds at scale: large jobs, many jobs, many stages, long lists; `make bench-scale`."""
