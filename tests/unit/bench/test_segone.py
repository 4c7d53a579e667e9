"""SegOne's table by steps."""

from __future__ import annotations

import numpy as np

from bench import segone


def test_each_step_is_compared_with_the_float_models_same_step() -> None:
    truth = np.zeros((1, 4, 4), np.uint8)
    truth[0, :2] = 1
    exact = np.stack([np.where(truth, 1.0, -1.0), np.where(truth, 0.5, -0.5)])
    worse = exact * 0.9
    worse[1, 0, 0, :2] = -0.1  # two of eight pixels of the object are lost in the second step
    lines = segone.table({segone.FLOAT: exact, "int8": worse}, truth).splitlines()
    assert lines[0] == "| step | float IoU | int8, dB | IoU |"
    assert lines[2] == "| 1 | 1.0000 | 20.0 | 1.0000 |"
    assert lines[3].startswith("| 2 | 1.0000 | ") and lines[3].endswith(" | 0.7500 |")
