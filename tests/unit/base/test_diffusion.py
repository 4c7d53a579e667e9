"""Noise levels and their embedding: ends, order, and what tells two levels apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from onenet.base.diffusion import level_embedding, levels_of, signal_of


def test_the_schedule_goes_from_all_signal_to_nearly_none() -> None:
    shares = [signal_of(k / 20) for k in range(21)]
    assert shares[0] == 1.0 and 0 < shares[-1] <= 1e-4
    assert all(a > b for a, b in itertools.pairwise(shares))
    assert signal_of(0.5) == pytest.approx(0.4939, abs=1e-3)  # half way, as the paper's figure 5 has it


def test_levels_end_at_the_clean_mask() -> None:
    assert levels_of(1) == [1.0, 0.0]
    assert levels_of(4) == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_embeddings_tell_levels_apart() -> None:
    found = np.stack([level_embedding(k / 50, 32) for k in range(51)])
    assert found.shape == (51, 32) and found.dtype == np.float32 and np.abs(found).max() <= 1
    distances = np.linalg.norm(found[:, None] - found[None], axis=2) + 9 * np.eye(51)
    assert distances.min() > 0.5
    np.testing.assert_allclose(level_embedding(0.25, 4), [np.sin(250), np.sin(2.5), np.cos(250), np.cos(2.5)], atol=1e-5)
