"""LiteRT's own ``benchmark_model``, which times a TFLite file on an Android phone and opens nothing here."""

from __future__ import annotations

from onenet.runtimes.session import Runtime

RUNTIMES = (Runtime("benchmark_model", "LiteRT benchmark_model", (".tflite",), order=8, measures=True),)
