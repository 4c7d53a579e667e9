"""Run samples through a model and remember the values of the tensors that could be quantized."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node
from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

from onenet.base.arrays import Array, next_prime
from onenet.base.text import one_line
from onenet.base.tiles import make_grid
from onenet.calibration.bias import Inputs, LayerMeans, Value, averaged, run_with_means
from onenet.calibration.estimators import ESTIMATORS, Range
from onenet.calibration.histogram import Histogram
from onenet.calibration.inputs import UNNAMED, InputCheck, digest, sha256
from onenet.calibration.recipe import INT8
from onenet.calibration.samples import Sample
from onenet.calibration.scheme import Int8Quantizer, observed_tensors, origins
from onenet.errors import RequestError
from onenet.lowering.graph import copied
from onenet.lowering.threads import in_order
from onenet.model import Model

T = TypeVar("T")

HALVES = 2
COUNTED = 1 << 16
"""Values of a tensor that are counted for each run; its extremes are taken from all of them."""
CORRECTION_INPUTS = 8
"""Inputs, those with the smallest SHA-256, on which recipes are compared and biases corrected: their activations are held in
memory together."""

AnySample = Sample | Mapping[str, Array] | Array
"""A sample, its arrays by the names of the inputs, or the array of a model of one input; without the batch."""


@dataclass(frozen=True)
class Calibration:
    """What the samples showed."""

    model: Model
    program: GraphModule
    """The float network."""
    statistics: Statistics
    ids: tuple[str, ...]
    """Of all samples, in the order in which they came."""
    inputs: list[Inputs]
    """A few complete inputs, on which recipes are compared and biases corrected."""
    halves: list[int]
    """Which half of the samples each of them is of."""
    ranges: dict[tuple[str, tuple[str, ...], tuple[int, ...]], Range] = field(default_factory=dict)
    """What estimators gave: many recipes ask for the same."""

    @functools.cached_property
    def run(self) -> list[tuple[list[Tensor], LayerMeans]]:
        """The float network's outputs for each of ``inputs``, and its layers' means."""
        return run_with_means(self.program, self.inputs)

    @property
    def expected(self) -> list[list[Tensor]]:
        """The float network's outputs for each of ``inputs``."""
        return [outputs for outputs, _ in self.run]

    @property
    def means(self) -> LayerMeans:
        """The float network's mean of each channel of each layer over ``inputs``."""
        return averaged([means for _, means in self.run])

    def range_of(self, estimator: str, tensors: Iterable[str], halves: tuple[int, ...] = (0, 1)) -> Range:
        """What an estimator makes of all values of these tensors."""
        key = estimator, tuple(sorted(tensors)), halves
        if key not in self.ranges:
            self.ranges[key] = ESTIMATORS[estimator](self.statistics.of(key[1], halves))
        return self.ranges[key]


def observe(model: Model, samples: Iterable[AnySample], progress: Callable[[int], None] | None = None) -> Calibration:
    """Statistics of every tensor that a recipe could quantize. Arguments and errors as in ``calibrate``."""
    program = trace(model)
    prepared = prepare_pt2e(copied(program), Int8Quantizer(INT8))
    nodes = {node.name: node for node in program.graph.nodes}
    statistics = Statistics(set().union(*(origins(nodes[name]) for name in observed_tensors(prepared))))
    kept: Smallest[tuple[int, Inputs]] = Smallest(CORRECTION_INPUTS)

    def look_at(sample: Sample) -> str:
        half = int(sha256(sample.id.encode()), 16) % HALVES
        for piece in pieces(model, sample.inputs):
            inputs = batched(model, piece)
            Observer(program, statistics).observe(inputs, half)
            kept.offer(digest(piece), (half, inputs))
        return sample.id

    ids = in_order(look_at, checked(model, samples), progress)
    if not ids:
        raise RequestError("calibration needs at least one sample, found none; give --calibration DIR or FILE.npz")
    few = kept.values()
    return Calibration(model, program, statistics, tuple(ids), [each for _, each in few], [half for half, _ in few])


def trace(model: Model) -> GraphModule:
    """The training-level ATen graph that PT2E annotates."""
    program = torch.export.export(model.module, model.example(), strict=False)
    return program.module(check_guards=False)


def checked(model: Model, samples: Iterable[AnySample]) -> Iterator[Sample]:
    """Each sample in the model's own types, looked at. Errors as in ``InputCheck``."""
    check = InputCheck(model)
    for sample in samples:
        if isinstance(sample, Sample):
            yield replace(sample, inputs=check(sample.inputs))
        else:
            inputs = check(sample if isinstance(sample, Mapping) else {UNNAMED: sample})
            yield Sample(inputs, digest(inputs), "")


def pieces(model: Model, inputs: dict[str, Array]) -> Iterator[dict[str, Array]]:
    """The tiles (C, h, w) of a whole image (C, H, W); the inputs themselves where the model takes them as they are."""
    tile = model.spec.inputs[0]
    image = inputs[tile.name]
    if len(inputs) > 1 or image.shape == tile.shape[1:]:
        yield inputs
        return
    grid = make_grid(model.image_size, (tile.shape[2], tile.shape[3]), model.tiling)
    for place in grid:
        yield {tile.name: grid.cut(image.transpose(1, 2, 0), *place).transpose(2, 0, 1)}


def batched(model: Model, inputs: Mapping[str, Array]) -> Inputs:
    """One tensor for each input, in the model's order, the sample repeated over the batch."""
    shapes = {tensor.name: tensor.shape for tensor in model.spec.inputs}
    return tuple(torch.from_numpy(np.array(np.broadcast_to(inputs[name], shape))) for name, shape in shapes.items())


class Smallest(Generic[T]):
    """The few values with the smallest keys of a stream, whatever its order."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.held: dict[str, T] = {}
        self.lock = threading.Lock()

    def offer(self, key: str, value: T) -> None:
        """Keep a value if its key is among the smallest."""
        with self.lock:
            self.held[key] = value
            if len(self.held) > self.count:
                del self.held[max(self.held)]

    def values(self) -> list[T]:
        """What was kept, by ascending keys."""
        return [self.held[key] for key in sorted(self.held)]


class Statistics:
    """Histograms of chosen tensors, one for each half of the samples. Several threads may count at once."""

    def __init__(self, names: Iterable[str]) -> None:
        self.halves = {name: tuple(Histogram() for _ in range(HALVES)) for name in names}
        self.lock = threading.Lock()

    def count(self, name: str, half: int, values: Tensor) -> None:
        """Count a tensor's values, where it is one of the chosen ones.

        Raises:
            ValueError: a value is NaN or infinite.
        """
        if name not in self.halves:
            return
        low, high = float(values.amin()), float(values.amax())
        some = thinned(values).numpy()
        with self.lock:
            self.halves[name][half].grow(low, high)
            self.halves[name][half].add(some)

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
    def observe(self, inputs: Inputs, half: int) -> None:
        """Count the values that one run leads to, in its half.

        Args:
            inputs: one tensor for each input, batch included, in the order of the model's inputs.
            half: of the samples; 0 or 1.

        Raises:
            RequestError: a tensor holds NaN or infinity, or the network does not run on these values.
        """
        self.half = half
        try:
            self.run(*inputs)
        except (IndexError, RuntimeError) as error:  # an index beyond an embedding, for example
            raise RequestError(f"the network fails on a calibration sample: {one_line(error)}; look at its values") from error

    def run_node(self, n: Node) -> Value:
        """Run one node; count its values where a histogram asks for them. Raises RequestError for NaN or infinity."""
        result = super().run_node(n)
        try:
            self.statistics.count(n.name, self.half, result)
        except ValueError as error:
            raise RequestError(f"{n.name} holds {error} on a calibration image; look at the network's weights") from error
        return result


def thinned(values: Tensor) -> Tensor:
    """At most ``COUNTED`` values, evenly spaced; the step is prime, so all channels, rows and places in a block are met."""
    return values.flatten()[:: next_prime(values.numel() // COUNTED + 2)] if values.numel() > COUNTED else values
