"""Which estimator, and whether bias correction and cross-layer equalisation pay: int8 against float in PyTorch, no runtime.

    python -m bench.quantization                    # on the 8 shipped evaluation images
    python -m bench.quantization --evaluation DIR   # on any folder with images/ and labels/

Writes docs/benchmarks/quantization.md. The networks are both shipped checkpoints and the paper's width of 64 with random
weights; calibration is the shipped default. "kept" is what ``onenet.calibrate`` does: corrected biases only where the output
gets nearer.
"""

from __future__ import annotations
