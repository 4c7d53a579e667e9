"""What networks hold beside layers, in ONNX files that onnxruntime runs: numbers, conditions, constants, shared outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto
from torch import Tensor

from tests.export.written import SIZE, Behind, check
from tests.shared import few

Operator = Callable[[Behind, Tensor], object]
NUMBERS: dict[str, Operator] = {
    "3 - y": lambda _, y: 3 - y,
    "y - 2 z": lambda _, y: torch.sub(y, y.abs(), alpha=2),
    "1 / (y^2 + 1)": lambda _, y: 1 / (y * y + 1),
    "where": lambda _, y: torch.where(y < 0, y * 0.25, y),
    "where, of a constant": lambda net, y: torch.where(net.place < 0.1, y, 0.5),
    "masked_fill": lambda net, y: y.masked_fill(net.place < 0.1, 1.0),
    "threshold": lambda _, y: F.threshold(y, 0.0, 0.0),
    "gates": lambda _, y: (1 - y.sigmoid()) * y + y.sigmoid() * (2 - y),
    "uneven adaptive average": lambda _, y: F.adaptive_avg_pool2d(y, (3, 5)),
    "addcmul": lambda _, y: torch.addcmul(y, y, y, value=0.5),
    "lerp": lambda _, y: torch.lerp(y, -y, 0.3),
    "logical": lambda net, y: y * ((net.place > 0) & (net.place < 0.2)),
}
"""Torch writes numbers and conditions as several operators, with constants between them. None jumps where a value rounds."""

CONSTANTS: dict[str, Operator] = {
    "added": lambda net, y: net.head(y + net.place),
    "taken from": lambda net, y: net.head(net.place - y),
    "multiplied, on one image": lambda net, y: net.head(y * net.place),
    "per channel": lambda net, y: net.head(y * net.levels),
    "joined": lambda net, y: torch.cat([y, net.place], 1),
    "joined first": lambda net, y: torch.cat([net.place, y], 1),
    "in two places": lambda net, y: net.head((y + net.place) * net.place),
    "moved": lambda net, y: net.head(y + net.place.flip(3)),
    "made in forward": lambda net, y: net.head(y + torch.ones(1, 8, *SIZE)),
    "tokens": lambda net, y: y.flatten(2).transpose(1, 2) + net.place.flatten(2).transpose(1, 2),
    "expanded": lambda net, y: torch.cat([y, net.levels.expand(1, 8, *SIZE)], 1),
}
"""Position embeddings, anchors, scales of layers: constants that operators between layers read."""

TYPES: dict[str, Operator] = {
    "ones": lambda net, y: net.head(y + torch.ones(1, 8, *SIZE)),
    "full": lambda net, y: net.head(y * torch.full((8, 1, 1), 0.5)),
    "positions": lambda net, y: net.head(y + torch.arange(SIZE[1], dtype=torch.float32) / 100),
}
"""Types that ``forward`` names."""

MASKS: dict[str, Operator] = {
    "added": lambda net, y: net.head((y + net.off).softmax(1)),
    "added, huge": lambda net, y: net.head((y + net.off.clamp(min=-1e9)).softmax(1)),
    "subtracted": lambda net, y: net.head((y - 1e9 * torch.relu(net.place)).softmax(3)),
    "filled": lambda net, y: net.head(y.masked_fill(net.place > 0.3, float("-inf")).softmax(2)),
    "chosen": lambda net, y: net.head(torch.where(net.place > 0.3, y, torch.finfo(torch.float32).min).softmax(3)),
    "before a maximum": lambda net, y: y.masked_fill(net.place > 0.3, float("-inf")).amax((2, 3)),
    "moved": lambda net, y: net.head((y + net.off).permute(0, 2, 3, 1).softmax(-1).permute(0, 3, 1, 2)),
    "causal": lambda _, y: causal_attention(y.flatten(2).transpose(1, 2)),
}
"""Constants that switch values off, which no int8 scale has room for."""

POOLS: dict[str, Operator] = {
    f"{name}, {sizes}": lambda net, y, pool=pool, sizes=sizes: net.head(pool(y, *sizes, ceil_mode=True))  # type: ignore[misc]
    for name, pool in (("average", F.avg_pool2d), ("maximum", F.max_pool2d))
    for sizes in ((3, 2, 0), (3, 2, 1), ((2, 3), (2, 3), 0), ((5, 3), (3, 4), (2, 1)))
}
"""Of 20x28 pixels: windows that reach beyond the picture, on one axis or on both."""
POOLS |= {
    "adaptive maximum": lambda net, y: net.head(F.adaptive_max_pool2d(y, (3, 5))),
    "adaptive maximum of a sequence": lambda _, y: F.adaptive_max_pool1d(y.flatten(2), 9),
    "adaptive maximum of a volume": lambda _, y: F.adaptive_max_pool3d(y[:, None], (3, 5, 6)),
    "adaptive average": lambda net, y: net.head(F.adaptive_avg_pool2d(y, (6, 9))),
    "own divisor": lambda net, y: net.head(F.avg_pool2d(y, 3, 2, 1, divisor_override=5)),
}

ENDS: dict[str, Operator] = {
    "one three times": lambda net, y: (net.head(y),) * 3,
    "one and what is made of it": lambda net, y: (y, net.head(y), y),
    "a reshaped one": lambda net, y: (net.head(y), net.head(y).flatten(2)),
}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "w8", "int8"])
@pytest.mark.parametrize("operators", [NUMBERS, CONSTANTS], ids=["numbers", "constants"])
def test_all_of_a_kind_in_one_network(operators: dict[str, Operator], precision: str, tmp_path: Path) -> None:
    check(Behind(lambda net, y: tuple(each(net, y) for each in operators.values())), precision, tmp_path)


def causal_attention(x: Tensor) -> Tensor:
    """Attention of each of the tokens (N, L, C) to those before it."""
    later = torch.triu(torch.full((x.shape[1], x.shape[1]), float("-inf")), 1)
    return (x @ x.transpose(1, 2) + later).softmax(-1) @ x


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("operators", [MASKS, POOLS], ids=["masks", "pools"])
def test_all_of_a_kind_in_int8(operators: dict[str, Operator], precision: str, tmp_path: Path) -> None:
    check(Behind(lambda net, y: tuple(each(net, y) for each in operators.values())), precision, tmp_path)


def test_small_numbers(tmp_path: Path) -> None:
    def divide(_: Behind, y: Tensor) -> tuple[Tensor, ...]:
        positive, nothing = F.relu(y - 0.3), F.relu(-y.abs())
        return positive / (positive.norm(dim=1, keepdim=True) + 1e-12), (nothing / (nothing.norm() + 1e-12)) + y

    check(Behind(divide), "fp32", tmp_path)


def test_types_in_float16(tmp_path: Path) -> None:
    check(Behind(lambda net, y: tuple(each(net, y) for each in TYPES.values())), "fp16", tmp_path)


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_are_stored_in_integers(name: str, tmp_path: Path) -> None:
    model = check(Behind(CONSTANTS[name]), "int8", tmp_path)
    assert not [each.name for each in model.graph.initializer if each.data_type == TensorProto.FLOAT and len(each.dims) > 1]


@pytest.mark.parametrize(
    ("name", "precision", "io"),
    few(((name, *pair) for name in ENDS for pair in (("fp32", "float"), ("int8", "float"), ("int8", "int8"))), 4),
)
def test_shared_outputs(name: str, precision: str, io: str, tmp_path: Path) -> None:
    check(Behind(ENDS[name]), precision, tmp_path, io=io)
