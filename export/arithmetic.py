"""A network in another arithmetic than its own, without a change to it: its operators run one by one.

This says what a network's arithmetic costs: float64 what float32 loses, half precision what fp16 files lose, and other
roundings at ties how far two right int8 kernels may be apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter
from torch.utils._pytree import tree_map

from onenet.lowering.double import wide
from onenet.lowering.operators import QUANTIZE, QUANTIZERS

Operator = Callable[..., Any]
TIE = 1 / 16
"""In int8 steps, how near to the middle between two steps a value must lie to go either way. Another 3 % of values then go to
their other neighbour, which is how far XNNPACK's and the reference kernels were seen apart. With 1/64 more faults are found,
and right files of chaotic networks are refused."""


MOVES = 1_000_003
"""How many moves are drawn; they repeat, and a prime number of them fits no row."""


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
