"""Modules whose tests stand in a file of another name."""

ELSEWHERE: dict[str, tuple[str, str]] = {}
"""Module -> test file below ``tests``, and why there."""
