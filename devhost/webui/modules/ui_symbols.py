"""Symbols on tool buttons."""

refresh_symbol = "\U0001f504"
paste_symbol = "\u2199\ufe0f"
