"""Computing so that the number of threads does not show: torch splits a sum over its threads, and rounds it differently."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

MOST = 8
"""Items computed at once, at most: each holds a network's activations in memory."""


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread inside the ``with`` block, or in the decorated function."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_order(function: Callable[[T], R], items: Iterable[T], progress: Callable[[int], None] | None = None) -> list[R]:
    """``function`` of each item, in the order of the items: several at once, each on one thread alone.

    Args:
        function: looks at nothing that another call changes. Gradients are off in it.
        items: are taken when they are needed, so a generator of any length serves.
        progress: called with 1 after each item, from the calling thread.
    """
    workers = min(torch.get_num_threads(), MOST)
    results: list[R] = []
    with one_thread(), torch.no_grad(), contextlib.closing(computed(function, items, workers)) as found:
        for result in found:
            results.append(result)
            if progress:
                progress(1)
    return results


def computed(function: Callable[[T], R], items: Iterable[T], workers: int) -> Generator[R, None, None]:
    """The results one after the other. One worker alone is the calling thread: to start another and wait for it takes longer
    than a small item does."""
    if workers == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(workers, initializer=prepare_worker) as pool:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def prepare_worker() -> None:
    """What torch keeps for each thread: their number, and whether gradients are on."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
