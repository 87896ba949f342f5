"""Symbols on tool buttons."""

refresh_symbol = "\U0001f504"
