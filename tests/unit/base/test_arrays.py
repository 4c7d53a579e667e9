"""Pairs, primes, and batches that are filled up."""

from __future__ import annotations

import numpy as np
import pytest

from onenet.base.arrays import next_prime, paired, run_all


def test_pairs_of_one_length() -> None:
    assert paired([1, 2], "ab") == [(1, "a"), (2, "b")]
    with pytest.raises(ValueError, match="lengths differ: 2, 3"):
        paired([1, 2], "abc")


@pytest.mark.parametrize(("n", "prime"), [(2, 2), (8, 11), (11, 11), (90, 97)])
def test_the_next_prime(n: int, prime: int) -> None:
    assert next_prime(n) == prime


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_network_of_batch_two_takes_any_number(count: int) -> None:
    sizes = []

    def run(part: np.ndarray) -> np.ndarray:
        sizes.append(len(part))
        return part * 2

    images = np.arange(count * 4.0).reshape(count, 1, 2, 2)
    assert np.array_equal(run_all(run, images, 2), images * 2)
    assert set(sizes) == {2}
