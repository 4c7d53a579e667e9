"""Outputs of a lower resolution, enlarged as PyTorch does it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from onenet.base.enlarge import enlarge, nearest


@pytest.mark.parametrize("size", [(12, 20), (13, 7), (3, 5), (6, 5), (1, 1)])
def test_values_are_pytorchs(size: tuple[int, int]) -> None:
    values = np.random.default_rng(0).normal(size=(2, 4, 3, 5)).astype(np.float32)
    expected = functional.interpolate(torch.from_numpy(values), size, mode="bilinear", align_corners=False)
    found = enlarge(values, size)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected.numpy(), abs=2e-6)


def test_labels_take_the_pixel_that_their_centre_lies_in() -> None:
    labels = np.array([[1, 2], [3, 4]])
    assert nearest(labels, (4, 2)).tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]
    assert nearest(labels[None], (1, 1)).tolist() == [[[4]]]
    assert nearest(labels, (2, 2)).tolist() == labels.tolist()
