"""A network in another arithmetic than its own, without a change to it: its operators run one by one.

This says what a network's arithmetic costs: float64 what float32 loses, float32 with sums in another order what kernels lose
that PyTorch does not, half precision what fp16 files lose, and other roundings at ties how far two right int8 kernels may be
apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._decomp import decomposition_table
from torch.fx import GraphModule, Interpreter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from onenet.lowering.double import wide
from onenet.lowering.operators import QUANTIZE, QUANTIZERS, aten

Operator = Callable[..., Any]
TIE = 1 / 16
"""In int8 steps, how near to the middle between two steps a value must lie to go either way. Another 3 % of values then go to
their other neighbour, which is how far XNNPACK's and the reference kernels were seen apart. With 1/64 more faults are found,
and right files of chaotic networks are refused."""


MOVES = 1_000_003
"""How many moves are drawn; they repeat, and a prime number of them fits no row."""


Axes = int | list[int] | None
Arithmetic = Callable[[Operator, tuple[Any, ...], dict[str, Any]], Any]
"""From an operator and its arguments to its results."""


class Computed(Interpreter):
    """Runs a traced module with every operator in an arithmetic."""

    def __init__(self, module: GraphModule, arithmetic: Arithmetic) -> None:
        super().__init__(module)
        self.arithmetic = arithmetic

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One operator."""
        return self.arithmetic(target, args, kwargs)


def double(operator: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """float64 throughout: in values, in constants and where an operator names a narrower type. Quantizers keep their types."""
    taken = narrowed if operator in QUANTIZERS else wide
    return tree_map(wide, operator(*tree_map(taken, args), **tree_map(taken, kwargs)))


def half(operator: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Half precision: weights, and what is between two operators, are rounded to it; sums inside an operator are float32."""
    return tree_map(halved, operator(*tree_map(halved, args), **kwargs))


def in_sequence(operator: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """float32 in which sums over axes are made one value after the other, as TFLite's kernels do.

    PyTorch adds pairs of sums, which loses far less over thousands of values: 3e-7 where TFLite's variance of 64x64 loses 2e-5.
    """
    with InSequence():  # type: ignore[no-untyped-call]  # it inherits its constructor
        return operator(*args, **kwargs)


class InSequence(TorchDispatchMode):
    """Computes means, sums and variances in sequence, also those inside norms."""

    def __torch_dispatch__(
        self, func: Operator, types: object, args: tuple[Any, ...] = (), kwargs: Mapping[str, object] | None = None
    ) -> object:
        """One operator, below whatever else PyTorch takes apart."""
        del types
        if func in BATCH_NORMS:  # instance norm is one of its own statistics
            with self:
                return decomposition_table[func](*args, **(kwargs or {}))
        reduce = REDUCTIONS.get(func)
        if reduce is None or args[0].dtype != torch.float32:
            return func(*args, **(kwargs or {}))
        return reduce(*args, **(kwargs or {}))


def sum_in_sequence(values: Tensor, axes: Axes = None, keepdim: bool = False, **_: object) -> Tensor:
    """``aten.sum.dim_IntList``."""
    every = range(values.dim())
    gone = [axis % values.dim() for axis in ([axes] if isinstance(axes, int) else axes or every)]
    kept = [axis for axis in every if axis not in gone]
    rows = values.permute(*kept, *gone).reshape([*(values.shape[axis] for axis in kept), -1])
    found = torch.from_numpy(np.cumsum(rows.numpy(), -1, dtype=np.float32)[..., -1].copy())
    return found.reshape([1 if axis in gone else values.shape[axis] for axis in every]) if keepdim else found


def mean_in_sequence(values: Tensor, axes: Axes = None, keepdim: bool = False, **_: object) -> Tensor:
    """``aten.mean.dim``."""
    found = sum_in_sequence(values, axes, keepdim)
    return found / (values.numel() // max(found.numel(), 1))


def variance_in_sequence(
    values: Tensor, axes: Axes = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    """``aten.var_mean.correction``."""
    mean = mean_in_sequence(values, axes, keepdim=True)
    count = values.numel() // max(mean.numel(), 1)
    squares = sum_in_sequence((values - mean).square(), axes, keepdim)
    return squares / max(count - (1 if correction is None else correction), 0), mean.reshape(squares.shape)


def layer_norm_in_sequence(
    values: Tensor, shape: list[int], weight: Tensor | None, bias: Tensor | None, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """``aten.native_layer_norm``."""
    variance, mean = variance_in_sequence(values, list(range(-len(shape), 0)), correction=0, keepdim=True)
    scale = torch.rsqrt(variance + epsilon)
    found = (values - mean) * scale
    found = found if weight is None else found * weight
    return found if bias is None else found + bias, mean, scale


def group_norm_in_sequence(
    values: Tensor, weight: Tensor | None, bias: Tensor | None, n: int, c: int, size: int, groups: int, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """``aten.native_group_norm``."""
    rows = values.reshape(n, groups, -1)
    found, mean, scale = layer_norm_in_sequence(rows, [rows.shape[-1]], None, None, epsilon)
    found = found.reshape(n, c, size)
    found = found if weight is None else found * weight[:, None]
    found = found if bias is None else found + bias[:, None]
    return found.reshape(values.shape), mean[..., 0], scale[..., 0]


BATCH_NORMS = (
    aten.native_batch_norm.default,
    aten._native_batch_norm_legit.no_stats,
    aten._native_batch_norm_legit.default,
)
REDUCTIONS: dict[object, Operator] = {
    aten.sum.dim_IntList: sum_in_sequence,
    aten.sum.default: sum_in_sequence,
    aten.mean.dim: mean_in_sequence,
    aten.mean.default: mean_in_sequence,
    aten.var_mean.correction: variance_in_sequence,
    aten.var.correction: lambda *args, **kwargs: variance_in_sequence(*args, **kwargs)[0],
    aten.std.correction: lambda *args, **kwargs: variance_in_sequence(*args, **kwargs)[0].sqrt(),
    aten.native_layer_norm.default: layer_norm_in_sequence,
    aten.native_group_norm.default: group_norm_in_sequence,
}


class OtherTies:
    """int8 in which values that lie nearly between two steps go either way: at random, for one seed always the same."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.moves, self.used = (2 * torch.rand(MOVES, generator=generator) - 1) * TIE, 0

    def __call__(self, operator: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Before values are quantized they move by up to ``TIE`` steps."""
        if operator is QUANTIZE:
            value, scale, *rest = args
            args = (value + self.next(value.numel()).reshape(value.shape) * scale, scale, *rest)
        return operator(*args, **kwargs)

    def next(self, count: int) -> Tensor:
        """So many moves, from where the last ones ended."""
        start = self.used % len(self.moves)
        self.used += count
        return self.moves.repeat(-(-(start + count) // len(self.moves)))[start : start + count]


def narrowed(value: Any) -> Any:
    """A float64 tensor in float32."""
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.float64 else value


def halved(value: Any) -> Any:
    """A float32 tensor rounded to half precision; beyond 65504 it is infinite."""
    return value.half().float() if isinstance(value, Tensor) and value.dtype == torch.float32 else value


def outputs_in(arithmetic: Arithmetic, module: GraphModule, inputs: Sequence[Tensor]) -> list[Tensor]:
    """What a module returns where its operators run in another arithmetic.

    Args:
        arithmetic: ``double``, ``half`` or a new ``OtherTies``.
        module: any traced one; it is not changed.
        inputs: of its shapes and types.

    Raises:
        RuntimeError, TypeError: an operator does not exist in this arithmetic.
    """
    with torch.no_grad():
        result = Computed(module, arithmetic).run(*inputs)
    return list(result) if isinstance(result, (tuple, list)) else [result]
