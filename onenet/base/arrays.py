"""Arrays, and what Python 3.9 lacks to walk through them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def paired(*sequences: Iterable[Any]) -> list[tuple[Any, ...]]:
    """``zip(..., strict=True)``, which Python 3.9, on the Raspberry Pis of 2021, does not have.

    Raises:
        ValueError: the lengths differ.
    """
    lists = [list(each) for each in sequences]
    if len({len(each) for each in lists}) > 1:
        raise ValueError(f"lengths differ: {', '.join(str(len(each)) for each in lists)}")
    return list(zip(*lists))


def next_prime(n: int) -> int:
    """The smallest prime that is at least ``n``; 2 or more is asked for."""
    while any(n % k == 0 for k in range(2, int(n**0.5) + 1)):
        n += 1
    return n


def run_all(run: Callable[[Array], Array], images: Array, batch: int) -> Array:
    """Run images (N, C, H, W) through a network of fixed batch size; the last batch is filled up with its last image."""
    results = []
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        filled = np.concatenate([part, np.repeat(part[-1:], batch - len(part), 0)]) if len(part) < batch else part
        results.append(run(filled)[: len(part)])
    return np.concatenate(results)
