"""The same work on other engines, each in processes of its own; their packages are loaded only there."""
