from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onenet.errors import CheckError
from onenet.lowering import arrange, lower_module
from onenet.lowering.rules import pixel_order
from tests.conftest import shake
from tests.unit.lowering.graphs import PIXEL_OPERATORS, alone, arranged, operators, stack


class Head(nn.Module):
    """A super-resolution head of somebody else's: conv -> ReLU -> BatchNorm -> depth to space."""

    def __init__(self, factor: int, *, read_twice: bool = False) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3 * factor * factor, 3, padding=1), nn.BatchNorm2d(3 * factor * factor)
        self.factor, self.read_twice = factor, read_twice

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(F.relu(self.conv(x)))
        up = F.pixel_shuffle(y, self.factor)
        return up + y.mean() if self.read_twice else up


@pytest.mark.parametrize("factor", [2, 3])
def test_a_shuffle_behind_a_convolution_is_one_move_of_rows(factor: int) -> None:
    count = operators(arranged(shake(Head(factor)), (2, 3, 6, 10)))
    assert count["permute"] == 3  # one of rows; those to NHWC and back meet the converter's own
    assert count["conv2d"] == 2  # the convolution, and the affine behind the ReLU


def test_channels_that_somebody_else_reads_keep_their_order() -> None:
    assert operators(arranged(shake(Head(2, read_twice=True)), (1, 3, 6, 10)))["permute"] == 4


@pytest.mark.parametrize("factor", [2, 3])
def test_of_an_image_without_a_convolution(factor: int) -> None:
    down = arranged(nn.Sequential(nn.PixelUnshuffle(factor), nn.ReLU()), (2, 3, 4 * factor, 5 * factor))
    up = arranged(nn.Sequential(nn.PixelShuffle(factor), nn.ReLU()), (2, 3 * factor * factor, 4, 5))
    for module in (down, up):
        assert not PIXEL_OPERATORS & set(operators(module))


@pytest.mark.parametrize(
    ("module", "permutes"),
    [
        (nn.PixelUnshuffle(2), 4),
        (nn.PixelShuffle(2), 4),
        (stack(nn.Conv2d(4, 16, 1), nn.ReLU(), nn.PixelShuffle(2)), 3),
        (stack(nn.Conv2d(4, 16, 1), nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.PixelShuffle(2)), 3),
        (stack(nn.Conv2d(4, 16, 1, groups=2), nn.PixelShuffle(2)), 4),
        (stack(nn.Conv2d(4, 16, 1), nn.Sigmoid(), nn.PixelShuffle(2)), 4),
    ],
    ids=["unshuffle", "shuffle", "of a convolution", "of a depthwise one", "of a grouped one", "of a sigmoid"],
)
def test_becomes_transposes(module: nn.Module, permutes: int) -> None:
    trial = alone("pixel_order", module)
    assert trial.result.applied == 1
    assert trial.operators["permute"] == permutes
    assert not PIXEL_OPERATORS & set(trial.operators)
    assert max(node.meta["val"].dim() for node in trial.module.graph.nodes if "val" in node.meta) == 4


@pytest.mark.parametrize(("shape", "reason"), [((4, 8, 12), "0 batch axes"), ((1, 2, 4, 8, 12), "2 batch axes")])
def test_another_number_of_batch_axes_is_left(shape: tuple[int, ...], reason: str) -> None:
    assert alone("pixel_order", nn.PixelUnshuffle(2), shape).left(reason)


def test_a_wrong_order_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_order, "reordered", lambda *arguments: arguments[1])  # the node as it is
    image = torch.rand(1, 3, 8, 8)
    with pytest.raises(CheckError, match=r"the form for onnx is not exact .*: its results differ by \d\.\de(-01|\+00)"):
        arrange(lower_module(Head(2), (image,)).module, (image,), "onnx")
