"""Run samples through a program and remember the values of the tensors that will be quantized."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from onenet.base.arrays import next_prime
from onenet.calibration.histogram import Histogram
from onenet.errors import RequestError

HALVES = 2
COUNTED = 1 << 16
"""Values of a tensor that are counted for each image; its extremes are taken from all of them."""


class Statistics:
    """Histograms of chosen tensors, one for each half of the samples."""

    def __init__(self, names: Iterable[str]) -> None:
        self.halves = {name: tuple(Histogram() for _ in range(HALVES)) for name in names}

    def of(self, names: Iterable[str], halves: Iterable[int] = range(HALVES)) -> Histogram:
        """What all these tensors held together."""
        merged = Histogram()
        for name in names:
            for half in halves:
                merged.merge(self.halves[name][half])
        return merged


class Observer(Interpreter):
    """Runs a program and counts the values of the tensors that ``statistics`` asks for."""

    def __init__(self, program: GraphModule, statistics: Statistics) -> None:
        super().__init__(program)
        self.extra_traceback = False  # it would add lines to an error's text
        self.statistics = statistics
        self.half = 0

    @torch.no_grad()
    def observe(self, image: Tensor, half: int) -> None:
        """Count the values that one input (N, C, H, W) leads to, in its half.

        Raises:
            RequestError: a tensor holds NaN or infinity.
        """
        self.half = half
        self.run(image)

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        histograms = self.statistics.halves.get(n.name)
        if histograms is not None:
            try:
                histograms[self.half].grow(float(result.amin()), float(result.amax()))
                histograms[self.half].add(thinned(result).numpy())
            except ValueError as error:
                raise RequestError(f"{n.name} holds {error} on a calibration image; look at the network's weights") from error
        return result


def thinned(values: Tensor) -> Tensor:
    """At most ``COUNTED`` values, evenly spaced; the step is prime, so all channels, rows and places in a block are met."""
    return values.flatten()[:: next_prime(values.numel() // COUNTED + 2)] if values.numel() > COUNTED else values
