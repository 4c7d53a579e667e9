"""Runs float32 programs and modules in float64, whatever types they name.

A network that writes ``.float()``, ``arange(dtype=torch.float32)`` or ``zeros_like(x, dtype=x.dtype)`` computes in float64 here
without a change to it: each operator is handed float64 wherever it would get or make a narrower floating type. Whole numbers
and truth values stay what they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

WIDER = {
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float32: torch.float64,
    torch.complex64: torch.complex128,
}
"""Floating type -> the one computed in."""


@contextlib.contextmanager
def in_float64() -> Iterator[None]:
    """Inside the block every operator computes in float64."""
    default = torch.get_default_dtype()
    widened: Callable[[], contextlib.AbstractContextManager[object]] = Widened  # torch's class has no types
    torch.set_default_dtype(torch.float64)  # what operators make of whole numbers, and new tensors without a type
    try:
        with widened():
            yield
    finally:
        torch.set_default_dtype(default)


class Widened(TorchDispatchMode):
    """Hands every operator float64."""

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call an operator with every tensor and every named type widened."""
        del types
        return func(*tree_map(wide, tuple(args)), **tree_map(wide, dict(kwargs or {})))


def wide(argument: Any) -> Any:
    """A tensor or type in the wider type; anything else as it is."""
    if isinstance(argument, Tensor) and argument.dtype in WIDER:
        return argument.to(WIDER[argument.dtype])
    return WIDER.get(argument, argument) if isinstance(argument, torch.dtype) else argument
