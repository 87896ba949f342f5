"""Trainers of the toy world: seeded, resumable, one command each (`python -m toyworld.train.vae` and so on)."""
