"""Size and work of a network, from shapes alone: on PyTorch's meta device, where nothing is computed and no weights are needed.

Two ways to count stand side by side. The plain one is the field's usual one. The other is table 2's of arXiv 2411.09838, whose
figures are those of torchinfo (its ``total_mult_adds``, twice, and ``total_output_bytes``).
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from onenet.models import ModelCard, Published
from onenet.models.system import System

BYTES = 4
"""Of a float32."""
TABLE_SIZE = (256, 256)
"""Height and width of table 2's image."""
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Counts:
    """What a network of one size takes for one inference."""

    parameters: int
    parameter_bytes: int
    """float32 bytes of the parameters that the inference reads: heads and classifiers that never run are left out."""
    flops: int
    """Two for each multiplication of convolutions and linear layers."""
    activation_bytes: int
    """float32 bytes that all layers with parameters write, together: no runtime holds them all at once."""
    table_flops: int
    """As table 2 counts: a transposed convolution has a multiplication for each weight and each value of its result's
    plane, which is stride x stride times as many as it does; biases and BatchNorm count too."""
    table_bytes: int
    """As table 2 counts memory: ``activation_bytes`` twice, once for a backward pass."""

    def beside(self, published: Published | None) -> tuple[str, ...]:
        """Parameters, GFLOPs plainly and as table 2 counts, memory as it counts: ours, and what was published, as text."""
        own = (self.parameters / 1e6, self.flops / 1e9, self.table_flops / 1e9, self.table_bytes / 1e6)
        theirs = (published.parameters, published.gflops, published.memory_mb) if published else (None, None, None)
        parameters, plain, flops, memory = (f"{value:.2f}" for value in own)
        first, second, third = ("-" if value is None else f"{value:.2f}" for value in theirs)
        return parameters, first, plain, flops, second, memory, third


class Counter:
    """Adds up what the layers of a network do while it runs."""

    def __init__(self) -> None:
        self.parameter_bytes = self.flops = self.table_flops = self.values = 0

    def look_at(self, layer: nn.Module, _: Any, result: Tensor) -> None:
        """Count one run of a layer that has parameters of its own."""
        weights = sum(value.numel() for value in layer.parameters(recurse=False))
        self.parameter_bytes += BYTES * weights
        self.values += result.numel()
        weight = getattr(layer, "weight", None)
        if weight is None or weight.dim() < 2:  # BatchNorm
            self.table_flops += 2 * weights
            return
        self.flops += round(2 * products_of(layer, weight) * result.numel())
        self.table_flops += 2 * weights * result[0, 0].numel()


def products_of(layer: nn.Module, weight: Tensor) -> float:
    """Multiplications for each value of a layer's result; of a transposed convolution on average."""
    if not isinstance(layer, TRANSPOSED):
        return weight[0].numel()
    return weight[:, 0].numel() / math.prod(layer.stride) / layer.groups


@contextmanager
def watched(module: nn.Module, counter: Counter) -> Iterator[None]:
    """A network whose layers are counted while it runs."""
    layers = [each for each in module.modules() if next(each.parameters(recurse=False), None) is not None]
    hooks = [each.register_forward_hook(counter.look_at) for each in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def count(module: nn.Module, *inputs: Tensor) -> Counts:
    """Run a network once and count. On the meta device that costs nothing.

    Args:
        module: in evaluation mode.
        inputs: what it takes, batch included.
    """
    counter = Counter()
    with watched(module, counter), torch.no_grad():
        module(*inputs)
    parameters = sum(value.numel() for value in module.parameters())
    written = BYTES * counter.values
    return Counts(parameters, counter.parameter_bytes, counter.flops, written, counter.table_flops, 2 * written)


def count_registered(card: ModelCard, size: tuple[int, int] = TABLE_SIZE) -> Counts:
    """``count`` of a registry entry as published, on one image of so many pixels (height, width)."""
    system: System[Any] = importlib.import_module(card.builder).SYSTEM
    with torch.device("meta"):
        config = system.configure(card.options, None, None, {})
        return count(system.create(config).eval(), *(torch.empty(each.shape) for each in system.inputs(config, size)))
