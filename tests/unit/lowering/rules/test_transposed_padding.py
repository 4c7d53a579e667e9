from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from onenet.lowering.graph import Graph
from onenet.lowering.operators import DEQUANTIZE, QUANTIZE, aten
from tests.unit.lowering.graphs import Function, alone, calls, run_on, stack

SHAPE = (2, 4, 5, 7)
REFUSED = {
    "k3 s2 p1 o1": nn.ConvTranspose2d(4, 6, 3, 2, 1, 1),
    "k3 s2 p1": nn.ConvTranspose2d(4, 6, 3, 2, 1, bias=False),
    "k4 s3 p1, groups": nn.ConvTranspose2d(4, 6, 4, 3, 1, groups=2),
    "each axis its own": nn.ConvTranspose2d(4, 6, (3, 5), 2, (1, 2), (0, 1)),
    "one axis": nn.ConvTranspose2d(4, 6, (3, 2), 2, (1, 0)),
    "zeros where values are asked for": nn.ConvTranspose2d(4, 6, 4, 2, 1, 1),
    "a smaller kernel than stride": nn.ConvTranspose2d(4, 6, 2, 3, 1, 1),
}


@pytest.mark.parametrize("layer", REFUSED.values(), ids=REFUSED)
def test_the_whole_result_is_cut(layer: nn.ConvTranspose2d) -> None:
    trial = alone("transposed_padding", layer, SHAPE)
    first, *slices = calls(trial.module)
    node = next(node for node in trial.module.graph.nodes if node.target is aten.conv_transpose2d.input)
    assert (trial.result.applied, first, set(slices)) == (1, "conv_transpose2d", {"slice"})
    assert node.args[4:6] == ([0, 0], [0, 0])
    assert len(slices) == sum(p > 0 for p in layer.padding)


@pytest.mark.parametrize(
    "layer",
    [
        nn.ConvTranspose2d(4, 4, 4, 2, 1),
        nn.ConvTranspose2d(4, 4, 3, 2),
        nn.ConvTranspose2d(4, 4, 2, 2, 0, 1),
        nn.ConvTranspose2d(4, 4, 3, 1, 1),
    ],
)
def test_what_tflite_knows_stays(layer: nn.Module) -> None:
    assert alone("transposed_padding", layer, SHAPE).left()


def test_the_kernel_keeps_its_relu() -> None:
    trial = alone("transposed_padding", stack(nn.ConvTranspose2d(4, 6, 3, 2, 1, 1), nn.ReLU()), SHAPE)
    assert calls(trial.module) == ["conv_transpose2d", "relu", "slice", "slice"]


def test_what_is_quantized_is_cut_quantized() -> None:
    quantization = (0.01, 3, -128, 127, torch.int8)

    def forward(layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
        value = QUANTIZE(torch.relu(layers[0](x)), *quantization)
        return DEQUANTIZE(value, *quantization) + DEQUANTIZE(value, *quantization)

    layer = nn.ConvTranspose2d(4, 6, 3, 2, 1, 1)
    module = Function(functools.partial(forward, nn.ModuleList([layer])))
    module.layer = layer
    inputs = [torch.zeros(SHAPE)]
    program = torch.export.export(module.eval(), tuple(inputs)).module(check_guards=False)
    trial = run_on(Graph.of(program), "transposed_padding", inputs)
    pair = ["quantize_per_tensor", "dequantize_per_tensor"]
    assert calls(trial.module)[:7] == ["conv_transpose2d", "relu", *pair, "slice", "slice", "quantize_per_tensor"]
