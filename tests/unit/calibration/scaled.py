"""One function written with weights of different size, and networks whose int8 form asks much of integer kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE = (16, 24)


class Net(nn.Module):
    """A function over convolutions of 8 channels, ``a``, ``b`` and ``c``, and one to 3 channels, ``head``."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.a, self.b, self.c = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


@torch.no_grad()
def scaled(layer: nn.Conv2d, factor: float, *, bias: bool = True) -> None:
    layer.weight.mul_(factor)
    if bias and layer.bias is not None:
        layer.bias.mul_(factor)


def chain(size: float) -> nn.Module:
    """``b`` gives small values, ``head`` makes them large again."""
    net = Net(lambda net, x: net.head(F.relu(net.b(F.relu(net.a(x))))))
    scaled(net.b, size)
    scaled(net.head, 1 / size, bias=False)
    return net


def residual(size: float) -> nn.Module:
    """A sum of two small values."""
    net = Net(lambda net, x: net.head(net.b(y := F.relu(net.a(x))) + net.c(y)))
    scaled(net.b, size)
    scaled(net.c, size)
    scaled(net.head, 1 / size, bias=False)
    return net


def gated(size: float) -> nn.Module:
    """A product of a small value and a sigmoid, and its mean."""
    net = Net(lambda net, x: net.head((net.b(y := F.relu(net.a(x))) * torch.sigmoid(net.c(y))).mean([2, 3], keepdim=True)))
    scaled(net.b, size)
    scaled(net.head, 1 / size, bias=False)
    return net


def numbered(size: float) -> nn.Module:
    """A value made small by a number."""
    net = Net(lambda net, x: net.head(F.relu(net.c(torch.sigmoid(net.b(F.relu(net.a(x)))) * size))))
    scaled(net.c, 1 / size, bias=False)
    return net


FORMS: dict[str, Callable[[float], nn.Module]] = {"chain": chain, "residual": residual, "gated": gated, "numbered": numbered}


def gammas(*sizes: float) -> nn.Module:
    """Filters that a BatchNorm's scale drove to nothing beside a shift of 0.7."""
    net = Net(lambda net, x: net.head(F.relu(net.b(F.relu(net.a(x))))))
    with torch.no_grad():
        for layer in (net.a, net.b):
            for channel, size in enumerate(sizes):
                layer.weight[channel] *= size
                layer.bias[channel] = 0.7
    return net


def faint_branch() -> nn.Module:
    """A sum whose one operand is nearly nothing, as a residual block has it whose last scale began at zero."""
    net = Net(lambda net, x: net.head(F.relu(net.b(y := F.relu(net.a(x))) + y)))
    scaled(net.b, 1e-6)
    return net


def nothing() -> nn.Module:
    """ReLU of negative values: what a layer gives, and the next one reads, is zero."""
    net = Net(lambda net, x: net.head(F.relu(net.a(x)) + net.c(F.relu(net.b(F.relu(net.a(x)))))))
    with torch.no_grad():
        net.b.bias.fill_(-50)
    return net


def cancelled() -> nn.Module:
    """Layers that leave next to nothing of what they add up."""
    net = Net(lambda net, x: net.head(F.relu(net.c(F.relu(net.a(x))))))
    with torch.no_grad():
        net.a.weight[4:], net.a.bias[4:] = net.a.weight[:4], net.a.bias[:4]
        net.c.weight[:, 4:] = -net.c.weight[:, :4]
        net.c.bias.zero_()
        net.c.weight[:, :4] *= 1 + 1e-7
    return net


def silent_branches() -> nn.Module:
    """Residual branches that give nothing but zeros, as those begin whose last scale is drawn as zero."""
    net = Net(lambda net, x: net.head((z := (y := F.relu(net.a(x))) + net.b(y)) + net.c(z)))
    with torch.no_grad():
        for layer in (net.b, net.c):
            layer.weight.zero_()
            layer.bias.zero_()  # type: ignore[union-attr]  # it has one
    return net


HARD: dict[str, Callable[[], nn.Module]] = {
    "small filters": lambda: gammas(1e-3, 1e-4),
    "smaller filters": lambda: gammas(1e-5, 1e-6, 1e-8),
    "dead filters": lambda: gammas(1e-10, 1e-12, 1e-20, 0.0),
    "faint branch": faint_branch,
    "nothing": nothing,
    "cancelled": cancelled,
    "silent branches": silent_branches,
}
