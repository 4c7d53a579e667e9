"""Anything else: outputs whose values are checked, and which have no labels, metrics of their own or pictures."""

from __future__ import annotations

from collections.abc import Sequence

from onenet.spec import TensorSpec
from onenet.tasks import Task


class Other(Task):
    """The task of a network that no other task knows."""

    name = title = "other"
    order = 1000

    def signature_of(self, outputs: Sequence[tuple[tuple[int, ...], str]]) -> tuple[TensorSpec, ...] | None:
        """All outputs as ``scores``, numbered."""
        return tuple(
            TensorSpec(f"output_{i}", "scores", shape, "NCHW" if len(shape) == 4 else "other", dtype)
            for i, (shape, dtype) in enumerate(outputs)
        )


TASK = Other()
