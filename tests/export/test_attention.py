"""Attention written by hand: the operators that the files hold, and that they compute what the network does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

import onenet
from onenet.base.quiet import quiet
from onenet.exporters.results import ExportedArtifact
from onenet.runtimes.backends.litert import operators

FACTORIES = ("divided", "one_layer", "separate")


class Attention(nn.Module):
    """Tokens of 8 x 8 pixels, four heads; queries, keys and values of one layer or of three."""

    def __init__(self, layers: int, divided: bool) -> None:
        super().__init__()
        self.stem, self.divided = nn.Conv2d(3, 32, 8, 8), divided
        self.qkv = nn.ModuleList(nn.Linear(32, 96 // layers) for _ in range(layers))
        self.out = nn.Linear(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        wide = torch.cat([layer(tokens) for layer in self.qkv], -1) if len(self.qkv) < 3 else None
        parts = wide.chunk(3, -1) if wide is not None else [layer(tokens) for layer in self.qkv]
        q, k, v = (each.reshape(1, -1, 4, 8).transpose(1, 2) for each in parts)
        scores = q @ k.transpose(-2, -1)
        scores = scores / 2.8284 if self.divided else scores * 0.35355
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(1, -1, 32))  # type: ignore[no-any-return]


def one_layer() -> nn.Module:
    torch.manual_seed(0)
    return Attention(1, False).eval()


def divided() -> nn.Module:
    torch.manual_seed(0)
    return Attention(1, True).eval()


def separate() -> nn.Module:
    torch.manual_seed(0)
    return Attention(3, False).eval()


def exported(name: str, target: str, folder: Path) -> ExportedArtifact:
    """Checked against the float network, or there would be none."""
    with quiet():
        model = onenet.build(f"{__file__}:{name}", input_size=(32, 48))
        return onenet.export(model, target=target, out=folder)


@pytest.mark.parametrize("name", FACTORIES)
def test_tflite_has_the_fused_softmax_and_no_convolution_for_the_scale(name: str, tmp_path: Path) -> None:
    found = Counter(operator for operator, _ in operators(exported(name, "tflite", tmp_path).path))
    assert (found["SOFTMAX"], found["EXP"], found["BATCH_MATMUL"]) == (1, 0, 2)
    assert (found["CONV_2D"], found["DEPTHWISE_CONV_2D"]) == (1, 0)
    assert found["MUL"] == (0 if name == "separate" else 1)


@pytest.mark.parametrize("name", FACTORIES)
def test_onnx_scales_the_queries_at_most(name: str, tmp_path: Path) -> None:
    graph = onnx.shape_inference.infer_shapes(onnx.load(exported(name, "onnx", tmp_path).path)).graph
    found = Counter(node.op_type for node in graph.node)
    assert (found["Conv"], found["Softmax"]) == (1, 1)
    shapes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in graph.value_info}
    assert [shapes[node.output[0]] for node in graph.node if node.op_type in ("Mul", "Div")] == (
        [] if name == "separate" else [[1, 4, 24, 8]]
    )
