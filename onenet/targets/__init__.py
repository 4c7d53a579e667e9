"""Targets: one card a file."""
