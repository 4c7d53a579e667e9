"""Comparison with other toolchains (``python -m bench.compare``) and the README's table of results (``bench/results.py``)."""
