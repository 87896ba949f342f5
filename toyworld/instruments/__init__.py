"""Measuring instruments of the toy world: who is where in a picture (detector), and who is it (embedder)."""
