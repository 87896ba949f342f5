"""A small SAM that knows the toy world: stands in for the real one in demo and tests."""
