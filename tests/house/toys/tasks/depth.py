"""Depth: one distance for each pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onenet.base.arrays import Array
from onenet.spec import Role, TensorSpec
from onenet.tasks import Metric, Task


class Depth(Task):
    """One 4-D output with one channel."""

    name = title = "depth"
    order = 5  # asked before segmentation, which takes any number of channels
    metrics = (Metric("mean_error", "mean error", higher_is_better=False, needs_truth=False),)

    def signature_of(self, outputs: Sequence[tuple[tuple[int, ...], str]]) -> tuple[TensorSpec, ...] | None:
        (shape, dtype), *others = outputs
        if others or len(shape) != 4 or shape[1] != 1:
            return None
        return (TensorSpec("distance", "scores", shape, "NCHW", dtype),)

    def compare(self, reference: Array, artifact: Array, role: Role) -> dict[str, float]:
        del role
        return {"mean_error": float(np.abs(reference - artifact).mean())}


TASK = Depth()
