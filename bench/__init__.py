"""Measures cost and memory; prints a table and JSON. Never run by pytest."""
