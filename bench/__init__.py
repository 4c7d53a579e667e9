"""Comparison with other toolchains (``python -m bench.toolchains``); the README's table of results (``bench/results.py``)."""
