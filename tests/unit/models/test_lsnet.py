"""LSNet: its budget, that its convolutions are 1D, and that its flow alignment is grid sampling."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import onenet
from onenet.errors import RequestError
from onenet.models.lsnet import SYSTEM, FlowAlignment, LSNet, LSNetConfig, Shift

BUDGET = 620_000
"""Parameters that the paper's abstract gives."""


def test_it_keeps_the_budget() -> None:
    with torch.device("meta"):
        net = LSNet(LSNetConfig(classes=12))
    assert BUDGET * 0.9 < sum(p.numel() for p in net.parameters()) <= BUDGET


def test_every_kernel_lies_along_one_axis() -> None:
    with torch.device("meta"):
        convolutions = [layer for layer in LSNet(LSNetConfig()).modules() if isinstance(layer, nn.Conv2d)]
    assert convolutions and all(1 in layer.kernel_size for layer in convolutions)


@pytest.mark.parametrize("asked", [{"width": 2, "classes": 5}, {"width": 3}])
def test_any_width_and_classes(asked: dict[str, object]) -> None:
    torch.manual_seed(0)
    net = SYSTEM.create(SYSTEM.configure({}, None, None, asked)).eval()
    assert net.config.divisor == 32
    with torch.no_grad():
        assert net(torch.rand(2, 3, 32, 64)).shape == (2, asked.get("classes", 12), 32, 64)


def sampled(x: Tensor, flow: Tensor, axis: int) -> Tensor:
    """``x`` at every pixel's own place plus ``flow`` pixels along an axis, by ``grid_sample``."""
    n, _, height, width = x.shape
    y, across = torch.meshgrid(torch.arange(height, dtype=x.dtype), torch.arange(width, dtype=x.dtype), indexing="ij")
    places = torch.stack([across, y], -1).expand(n, height, width, 2).clone()
    places[..., 3 - axis] += flow[:, 0]
    grid = 2 * places / torch.tensor([width - 1, height - 1], dtype=x.dtype) - 1
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=True)


@pytest.mark.parametrize("axis", [2, 3])
def test_a_shift_is_grid_sampling(axis: int) -> None:
    torch.manual_seed(1)
    x, share = torch.randn(2, 5, 6, 9, dtype=torch.float64), torch.rand(2, 1, 6, 9, dtype=torch.float64)
    share[0, 0, :, 0], share[0, 0, 0] = 0.0, 1.0  # both ends, over the edge too
    found = Shift(axis, 5).double()(x, share)
    assert (found - sampled(x, 2 * share - 1, axis)).abs().max() < 1e-12
    assert (found - sampled(x, 2 * share - 1, 5 - axis)).abs().max() > 0.1


def test_flow_alignment_samples_along_rows_then_columns() -> None:
    torch.manual_seed(2)
    align = FlowAlignment(4).double().eval()
    coarse, fine = torch.randn(1, 4, 3, 5, dtype=torch.float64), torch.randn(1, 4, 6, 10, dtype=torch.float64)
    with torch.no_grad():
        larger = F.interpolate(coarse, scale_factor=2, mode="bilinear")
        both = F.relu(align.reduce(torch.cat([larger, fine], 1)))
        rows, columns = (2 * torch.sigmoid(layer(both)) - 1 for layer in (align.along_rows, align.along_columns))
        expected = sampled(sampled(larger, rows, 3), columns, 2)
        assert rows.std() > 1e-3 and columns.std() > 1e-3
        assert (align(coarse, fine) - expected).abs().max() < 1e-12


def test_a_checkpoint_of_its_own_loads(tmp_path: Path) -> None:
    torch.manual_seed(3)
    net, file = LSNet(LSNetConfig(width=2, classes=4)), tmp_path / "net.pth"
    torch.save(net.state_dict(), file)
    model = onenet.build("lsnet", weights=file, input_size=(32, 32))
    assert len(model.spec.classes) == 4
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in model.module.state_dict().items())


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--kernel shape OneNets; an LSNet has no"):
        SYSTEM.configure({}, None, None, {"kernel": 9})
    with pytest.raises(RequestError, match="leave --config out for an LSNet"):
        SYSTEM.configure({}, {"name": "ONENET"}, None, {})
    with pytest.raises(RequestError, match="LSNet width must be a whole number of at least 1, found 0"):
        SYSTEM.configure({}, None, None, {"width": 0})
    torch.save({"a.weight": torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(RequestError, match="not an LSNet's: it lacks encoder"):
        onenet.build("lsnet", weights=tmp_path / "a.pth", input_size=(32, 32))
