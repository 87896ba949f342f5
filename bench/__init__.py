"""Measures cost; prints a table and JSON. Never run by pytest."""
