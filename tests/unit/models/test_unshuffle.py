"""Algorithm 1 is pixel unshuffle, and a network in its form has the deploy form of one with ``PixelUnshuffle``."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onenet.models.onenet import channel_wise, flatten, pointwise
from onenet.models.unshuffle import patch_order, pixel_unshuffle_1d
from tests.unit.lowering.graphs import calls, lowered


@pytest.mark.parametrize(("height", "width"), [(2, 2), (6, 4), (4, 10)])
def test_it_equals_pixel_unshuffle(height: int, width: int) -> None:
    x = torch.arange(2 * 3 * height * width).reshape(2, 3, height, width)
    found = pixel_unshuffle_1d(x.flatten(2), height, width)
    assert found.shape == (2, height * width * 3)
    assert torch.equal(found, flatten(F.pixel_unshuffle(x, 2))[:, 0])


def test_the_order_of_a_small_image() -> None:
    assert patch_order(4, 4) == [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]


class Levels(nn.Module):
    """Two levels of the encoder behind one convolution, in either form."""

    def __init__(self, *, in_1d: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.in_1d = in_1d
        self.first, self.last = channel_wise(4, 4), pointwise(16, 3, head=True)
        self.levels = nn.ModuleList([nn.ModuleList([channel_wise(4 * c, 2 * c), pointwise(2 * c, 2 * c)]) for c in (4, 8)])

    def forward(self, image: Tensor) -> Tensor:
        """(N, 4, H, W) -> (N, 3, H/4, W/4)."""
        n, _, height, width = image.shape
        planes = self.first(flatten(image))
        for unshuffled, second in self.levels:
            if self.in_1d:
                sequence = pixel_unshuffle_1d(planes, height, width)[:, None]
            else:
                sequence = flatten(F.pixel_unshuffle(planes.reshape(n, -1, height, width), 2))
            height, width = height // 2, width // 2
            planes = second(unshuffled(sequence))
        result: Tensor = self.last(planes).reshape(n, 3, height, width)
        return result


def test_both_forms_have_one_deploy_form() -> None:
    ours, theirs = (lowered(Levels(in_1d=in_1d), (1, 4, 8, 12)).module for in_1d in (True, False))
    assert calls(ours) == calls(theirs)
    assert "index" not in calls(ours) and calls(ours).count("conv2d") >= 6
    image = torch.rand(1, 4, 8, 12)
    with torch.no_grad():
        assert torch.equal(ours(image), theirs(image))
