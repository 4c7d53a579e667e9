"""What torch computes does not depend on the number of threads, and what it is set to is left as it was."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from onenet.lowering.threads import MOST, in_order, one_thread

THREADS = (1, 2, 4)


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", THREADS)
def test_one_thread_is_for_the_block_alone(threads: int) -> None:
    torch.set_num_threads(threads)
    found: list[int] = []

    @one_thread()
    def fails() -> None:
        found.append(torch.get_num_threads())
        raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert found == [1]
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("threads", THREADS)
def test_each_item_is_computed_on_one_thread_without_gradients(threads: int) -> None:
    torch.set_num_threads(threads)
    assert set(in_order(lambda _: (torch.get_num_threads(), torch.is_grad_enabled()), range(9))) == {(1, False)}
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()


def test_results_come_in_the_order_of_the_items() -> None:
    torch.set_num_threads(2)
    second_is_done = threading.Event()

    def function(item: int) -> int:
        if item == 0:
            assert second_is_done.wait(60)
        second_is_done.set() if item == 1 else None
        return item * item

    assert in_order(function, range(5)) == [0, 1, 4, 9, 16]


def test_sums_are_those_of_one_thread() -> None:
    values = [torch.rand(1 << 20, generator=torch.Generator().manual_seed(seed)) - 0.3 for seed in range(3)]

    def sums(threads: int) -> tuple[list[float], list[float]]:
        torch.set_num_threads(threads)
        return [float(each.sum()) for each in values], in_order(lambda each: float(each.sum()), values)

    (one, expected), *others = [sums(threads) for threads in THREADS]
    assert one == expected
    assert any(plain != one for plain, _ in others), "torch's own sums do depend on the threads"
    assert all(found == expected for _, found in others)


def test_items_are_taken_when_they_are_needed() -> None:
    torch.set_num_threads(2)
    taken: list[int] = []
    done: list[int] = []

    def items() -> Iterator[int]:
        for item in range(20):
            assert item <= len(done) + 3  # two are computed, one waits
            taken.append(item)
            yield item

    in_order(lambda item: item, items(), done.append)
    assert len(taken) == sum(done) == 20


def test_no_more_than_a_few_at_once() -> None:
    torch.set_num_threads(4 * MOST)
    names = in_order(lambda _: threading.current_thread().name, range(8 * MOST))
    assert len(set(names)) <= MOST


@pytest.mark.parametrize("threads", THREADS)
def test_the_first_items_error_is_raised(threads: int) -> None:
    torch.set_num_threads(threads)
    calls: list[int] = []

    def function(item: int) -> None:
        calls.append(item)
        if item >= 1:
            raise ValueError(item)

    with pytest.raises(ValueError, match=r"^1$"):
        in_order(function, range(50))
    assert len(calls) < 20
    assert torch.get_num_threads() == threads
