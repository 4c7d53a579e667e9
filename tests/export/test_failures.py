"""Operators that a converter or a runtime really cannot take: one line that names operator and layer, and the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import onenet
from onenet.base.quiet import last_lines
from onenet.cli.app import app
from onenet.errors import ConversionError, ToolError
from onenet.exporters.exporter import exporter_of
from onenet.exporters.job import Job
from onenet.exporters.options import ExportOptions
from onenet.model import Model
from tests.conftest import smooth_images

NET = """
import torch
from torch import nn


class Act(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def net(function):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Sequential(nn.ReLU(), Act(function)), nn.Conv2d(4, 2, 1)).eval()


def asinh():
    return net(torch.asinh)


def erfinv():
    return net(lambda x: torch.erfinv(x.tanh()))
"""
SIZE = (16, 16)


class Act(nn.Module):
    """An operator in a module of its own."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def lowered(function: Callable[[Tensor], Tensor]) -> Model:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, padding=1), nn.Sequential(nn.ReLU(), Act(function)), nn.Conv2d(4, 2, 1)
    return onenet.lower(onenet.build(lambda: nn.Sequential(*layers).eval(), input_size=SIZE))


def folded(x: Tensor) -> Tensor:
    """Windows summed where they overlap: a scatter that LiteRT does not run."""
    return nn.functional.fold(nn.functional.unfold(x, 3, padding=1), SIZE, 3, padding=1)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "asinh": torch.asinh,
    "erfinv": torch.erfinv,
    "fft_fft2": lambda x: torch.fft.fft2(x).real,
    "col2im": folded,
    "cumprod": lambda x: x.cumprod(1),
}
REFUSED = [
    *[("erfinv", target) for target in ("tflite", "onnx", "coreml")],
    *[("asinh", "coreml"), ("fft_fft2", "tflite"), ("fft_fft2", "coreml"), ("col2im", "tflite"), ("cumprod", "onnx")],
]
"""Operator and a target that has nothing for it."""


@pytest.mark.filterwarnings("ignore:model is exported as it is")  # complex numbers: there is no proof for the FFT
@pytest.mark.parametrize(("operator", "target"), REFUSED)
def test_operator_layer_target_and_what_to_try_are_named(operator: str, target: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError) as caught:
        onenet.export(lowered(FUNCTIONS[operator]), target=target, out=tmp_path)
    text = str(caught.value)
    assert (caught.value.operator, caught.value.layer) == (operator, "1.1")
    assert f" for {target} fp32 failed at {operator} in layer 1.1: " in text
    others = " or ".join(f"-t {each}" for each in ("tflite", "onnx", "coreml") if each != target)
    assert text.endswith(f"; try another target ({others}), other operators in place of {operator}")
    assert "\x1b" not in text and "\\x1b" not in text and "\n" not in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("float_works", [True, False])
def test_another_precision_is_proposed_where_float_can_be_converted(
    float_works: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def convert(job: Job, path: Path) -> None:
        if job.precision == "int8" or not float_works:
            raise RuntimeError("no such operator")
        path.write_bytes(b"a file")

    monkeypatch.setattr(exporter_of("onnx"), "convert", convert)
    quantized = onenet.calibrate(lowered(torch.relu), list(smooth_images(4, 3, *SIZE)))
    with pytest.raises(ConversionError, match="no such operator; try ") as caught:
        onenet.export(quantized, target="onnx", out=tmp_path)
    assert ("; try -p w8 or -p fp16, " in str(caught.value)) is float_works
    assert "another target (-t tflite or -t coreml)" in str(caught.value)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    return tmp_path / "net.py"


def asked(net: Path) -> list[str]:
    """Core ML, which fails, before ONNX, which does not."""
    form = ["--target", "coreml", "--target", "onnx", "--input-size", *map(str, SIZE)]
    return ["--model", f"{net}:asinh", *form, "--out", str(net.parent / "out")]


def test_the_others_are_written_and_the_command_says_what_failed(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = CliRunner().invoke(app, ["export", *asked(net), "--verbose"])
    assert result.exit_code == 3, result.output
    lines = result.stdout.splitlines()
    (row,) = [line for line in lines if line.startswith("coreml fp32 ")]
    assert row.split()[-1] == "failed"
    place = next(number for number, line in enumerate(lines) if line.startswith("coreml fp32:"))
    assert max(map(len, lines[place:])) <= 80
    assert "failed at asinh in layer 1.1: AttributeError" in " ".join(" ".join(lines[place:]).split())
    assert "ERROR - converting 'asinh' op" in result.stderr
    assert sorted(path.name for path in (net.parent / "out").iterdir()) == ["asinh_fp32.onnx", "asinh_fp32.onnx.json"]


def test_json_has_a_row_for_what_failed(net: Path) -> None:
    result = CliRunner().invoke(app, ["export", *asked(net), "--json"])
    assert (result.exit_code, result.stderr) == (3, "")
    made, failed = json.loads(result.stdout)
    assert (made["target"], made["failed"], made["verification"]["passed"]) == ("onnx", None, True)
    assert (failed["target"], failed["precision"]) == ("coreml", "fp32")
    assert (failed["failed"]["operator"], failed["failed"]["layer"]) == ("asinh", "1.1")
    assert any("asinh" in line for line in failed["failed"]["printed"])


def test_where_no_target_has_the_operator_every_reason_is_in_the_error(net: Path) -> None:
    options = ExportOptions(model=f"{net}:erfinv", input_size=SIZE, target=("onnx", "coreml"), out=net.parent / "out")
    with pytest.raises(ToolError) as caught:
        onenet.export_all(options)
    text = str(caught.value)
    assert text.startswith(
        "nothing could be exported: onnx fp32: converting erfinv for onnx fp32 failed at erfinv in layer 1.1: "
    )
    assert "; coreml fp32: converting erfinv for coreml fp32 failed at erfinv in layer 1.1: " in text
    assert last_lines(caught.value)
