"""The one calibration: which scales it fixes, that nothing but the images decides them, and what it refuses."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import GraphModule, Node

import onenet
from onenet.base.images import PREPROCESSING
from onenet.base.metrics import label_agreement, sqnr_db
from onenet.calibration.outputs import float_outputs
from onenet.calibration.quantized import QuantizedModel, in_float_text
from onenet.calibration.recipe import INT8
from onenet.calibration.samples import Sample, Samples
from onenet.calibration.scheme import EPSILON, SMALLEST_WEIGHT
from onenet.errors import RequestError
from onenet.lowering.operators import SAME_SCALE
from onenet.model import Model
from onenet.models.build import build
from onenet.spec import ModelSpec, TensorSpec
from tests.conftest import awkward_onenet, smooth_images
from tests.unit.calibration.programs import float_operators

Images = NDArray[np.float32]
SIZE = (16, 24)
CASES = [("ed", None), ("e", None), ("ed", 9), ("e", 3)]
ops = torch.ops.quantized_decomposed
QUANTIZE, DEQUANTIZE = ops.quantize_per_tensor.default, ops.dequantize_per_tensor.default
PER_CHANNEL = ops.dequantize_per_channel.default


def images(count: int = 8) -> Images:
    return smooth_images(count, 3, *SIZE)


@functools.cache
def lowered(variant: str, kernel: int | None) -> Model:
    return onenet.lower(build(awkward_onenet(variant, kernel=kernel, layers=2), input_size=SIZE))


@functools.cache
def quantized(variant: str, kernel: int | None) -> QuantizedModel:
    return onenet.calibrate(lowered(variant, kernel), list(images()))


def of(module: nn.Module, inputs: Images) -> NDArray[Any]:
    with torch.no_grad():
        result: NDArray[Any] = torch.cat([module(torch.from_numpy(each[None])) for each in inputs]).numpy()
    return result


def graph(model: QuantizedModel) -> list[Node]:
    assert isinstance(model.reference, GraphModule)
    return list(model.reference.graph.nodes)


def scale_of(node: Node) -> tuple[float, int]:
    """Scale and zero point of a quantize or dequantize operator."""
    assert node.target in (QUANTIZE, DEQUANTIZE), node.target
    return float(node.args[1]), int(node.args[2])  # type: ignore[arg-type]  # constants


# --- what is decided ----------------------------------------------------


@pytest.mark.parametrize(("variant", "kernel"), CASES)
def test_everything_computes_in_int8(variant: str, kernel: int | None) -> None:
    model = quantized(variant, kernel)
    assert not float_operators(model.reference)
    assert model.outputs[0] is not None
    assert all(site.scale >= EPSILON and -128 <= site.zero_point <= 127 for site in model.record.sites.values())


@pytest.mark.parametrize(("variant", "kernel"), CASES)
def test_the_int8_reference_stays_near_the_float_model(variant: str, kernel: int | None) -> None:
    # These nets of random weights measure 24 to 37 dB and 98 to 100 %; half of one scale in their middle costs up to 20 dB.
    model = quantized(variant, kernel)
    expected, found = of(lowered(variant, kernel).module, images()), of(model.reference, images())
    assert sqnr_db(expected, found) > 22
    assert label_agreement(expected.argmax(1), found.argmax(1)) > 0.97


@pytest.mark.parametrize(("variant", "kernel"), CASES)
def test_the_two_forms_are_one_program(variant: str, kernel: int | None) -> None:
    model = quantized(variant, kernel)
    assert np.array_equal(of(model.reference, images(2)), of(model.open_form, images(2)))


@pytest.mark.parametrize("variant", ["e", "ed"])
def test_outputs_lie_on_the_grid_of_their_scale(variant: str) -> None:
    model = quantized(variant, None)
    (quantization,) = model.outputs
    assert quantization is not None
    steps = of(model.reference, images(2)) / np.float32(quantization[0])
    assert np.abs(steps - np.rint(steps)).max() < 1e-3
    assert (np.rint(steps) + quantization[1]).min() >= -128
    assert (np.rint(steps) + quantization[1]).max() <= 127


@pytest.mark.parametrize(("variant", "kernel"), CASES)
def test_weights_are_symmetric_and_per_channel(variant: str, kernel: int | None) -> None:
    model = quantized(variant, kernel)
    found = [node for node in graph(model) if node.target is PER_CHANNEL]
    state = dict(model.reference.named_buffers()) | dict(model.reference.named_parameters())
    for node in found:
        weight, scales, zero_points = (state[str(argument.target)] for argument in node.args[:3])  # type: ignore[union-attr]
        assert weight.dtype == torch.int8
        assert int(weight.min()) >= -127
        assert scales.shape == (weight.shape[0],)
        assert not zero_points.any()
        layer = next(iter(node.users))
        bias = state[str(layer.args[2].target)].abs() / (layer.args[0].args[1] * scales)  # type: ignore[union-attr, operator]
        used = weight.flatten(1).abs().amax(1)[(scales > SMALLEST_WEIGHT) & (bias < 2**29)]
        assert (used == 127).all()  # the largest weight of a channel sets its scale, unless the bias needs a larger one
        assert len(used) > 0
    convolutions = [node for node in graph(model) if str(node.target).startswith("aten.conv")]
    assert len(convolutions) == len(found) > 5


def test_the_range_of_the_images_is_the_input_s_scale() -> None:
    model = onenet.calibrate(lowered("ed", None), list(images()), recipe=replace(INT8, estimator="min-max"))
    first = next(node for node in graph(model) if node.target is QUANTIZE)
    scale, zero_point = scale_of(first)
    low, high = min(0.0, float(images().min())), float(images().max())
    assert scale == pytest.approx((high - low) / 255, rel=1e-6)
    assert zero_point == -128


@pytest.mark.parametrize(("variant", "kernel"), CASES)
def test_concat_and_operators_that_move_pixels_keep_one_scale(variant: str, kernel: int | None) -> None:
    moved, joined = 0, 0
    for node in graph(quantized(variant, kernel)):
        if node.target is torch.ops.aten.cat.default:
            sources = [scale_of(each) for each in node.all_input_nodes]
            assert {*sources, *map(scale_of, node.users)} == {sources[0]}
            joined += 1
        elif node.target in SAME_SCALE and isinstance(node.args[0], Node) and node.args[0].target is DEQUANTIZE:
            assert {scale_of(user) for user in node.users} == {scale_of(node.args[0])}
            moved += 1
    assert joined >= 1
    assert moved >= 2


def test_softmax_and_sigmoid_have_the_specification_s_scale() -> None:
    for layer in (nn.Softmax(1), nn.Sigmoid()):
        module = nn.Sequential(nn.Conv2d(3, 4, 1), layer)
        model = onenet.calibrate(onenet.lower(build(module, input_size=SIZE)), list(images(2)))
        assert model.outputs == ((1 / 256, -128),)


def test_labels_have_no_scale() -> None:
    model = onenet.lower(build(nn.Conv2d(3, 4, 1), input_size=SIZE, output="labels"))
    found = onenet.calibrate(model, list(images(2)))
    assert found.outputs == (None,)
    assert of(found.reference, images(1)).dtype == np.int32


class Outside(nn.Module):
    """Two operators that the scheme does not know, and one that it does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.erf(torch.nn.functional.gelu(self.conv(x)))


def test_operators_outside_the_scheme_are_listed() -> None:
    model = onenet.calibrate(onenet.lower(build(Outside(), input_size=SIZE)), list(images(2)))
    assert float_operators(model.reference) == {"erf": 1, "gelu": 1}
    assert in_float_text(model.in_float) == "1 gelu, 1 erf (int8 has no form for it)"
    assert model.outputs == (None,)


# --- what decides it ----------------------------------------------------


def test_the_order_of_the_images_does_not_matter() -> None:
    one = quantized("ed", None)
    two = onenet.calibrate(lowered("ed", None), list(images()[[3, 7, 0, 5, 1, 6, 2, 4]]))
    assert one.record == two.record
    assert json.dumps(one.record.as_dict()) == json.dumps(two.record.as_dict())
    assert one.record.biases
    assert one.outputs == two.outputs
    assert np.array_equal(of(one.reference, images()), of(two.reference, images()))


def test_calibrating_twice_gives_the_same_and_leaves_the_model_alone() -> None:
    model = lowered("e", None)
    before = of(model.module, images(2))
    again = onenet.calibrate(model, list(images()))
    assert again.record == quantized("e", None).record
    assert np.array_equal(of(model.module, images(2)), before)


def test_other_images_are_another_calibration() -> None:
    record = quantized("ed", None).record
    fewer = onenet.calibrate(lowered("ed", None), list(images(3))).record
    assert fewer.id != record.id
    assert (fewer.samples, record.samples) == (3, 8)
    assert fewer.sites.keys() == record.sites.keys()
    assert fewer.sites != record.sites
    other = list(images())
    other[0] = other[0].copy()
    other[0][0, 0, 0] = 0.5  # changes no range, and is still another image
    changed = onenet.calibrate(lowered("ed", None), other).record
    assert changed.id != record.id


def test_samples_bring_their_files_digests() -> None:
    samples = Samples("photos", {"": images(2)}, ("digest a", "digest b"), ("a.jpg", "b.jpg"))
    calls: list[int] = []
    record = onenet.calibrate(lowered("ed", None), samples, progress=calls.append).record
    assert record.sample_ids == ("digest a", "digest b")
    assert calls == [1, 1]
    assert (record.preprocessing, record.recipe) == (PREPROCESSING, replace(INT8, estimator=record.recipe.estimator))
    assert record.seed is None
    assert record.as_dict()["id"] == record.id


def test_a_batch_larger_than_one() -> None:
    from onenet.spec import ModelSpec, TensorSpec

    image = TensorSpec("image", "image", (2, 3, 8, 8), "NCHW")
    spec = ModelSpec("pair", "segmentation", (image,), (TensorSpec("logits", "logits", (2, 4, 8, 8), "NCHW"),))
    model = onenet.lower(build(lambda: (nn.Conv2d(3, 4, 1), spec)))
    assert onenet.calibrate(model, list(smooth_images(3, 3, 8, 8))).record.samples == 3


# --- what is refused ----------------------------------------------------

ONE = images(1)[0]


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        ([], "needs at least one sample, found none; give --calibration"),
        (images(2)[:0], "needs at least one sample"),
        ([ONE[:, :8]], r"are float32 \(3, 8, 24\), the model takes floats \(3, 16, 24\)"),
        ([ONE, ONE[:, :8]], r"are float32 \(3, 8, 24\)"),
        ([ONE[:1]], r"are float32 \(1, 16, 24\)"),
        ([ONE[None]], r"are float32 \(1, 3, 16, 24\)"),
        ([ONE.transpose(1, 2, 0)], r"are float32 \(16, 24, 3\)"),
        ([(ONE * 255).astype(np.uint8)], "are uint8"),
        ([ONE, ONE * 255], "expected 0 to 1"),
        ([ONE - 0.5], "expected 0 to 1"),
        ([ONE, np.full_like(ONE, np.nan)], "goes from nan to nan"),
    ],
)
def test_samples_that_would_spoil_every_scale(samples: Any, says: str) -> None:
    with pytest.raises(RequestError, match=says) as caught:
        onenet.calibrate(lowered("ed", None), samples)
    assert "\n" not in str(caught.value)


def test_double_precision_and_black_images_are_fine() -> None:
    double = onenet.calibrate(lowered("ed", None), [each.astype(np.float64) for each in images()])
    assert double.record == quantized("ed", None).record
    named = [Sample({"": each.astype(np.float64)}, f"{place}", "") for place, each in enumerate(images(2))]
    assert onenet.calibrate(lowered("ed", None), named).record.sample_ids == ("0", "1")
    black = onenet.calibrate(lowered("ed", None), [np.zeros_like(ONE)])
    assert np.isfinite(of(black.reference, images(1))).all()


class Words(nn.Module):
    """An embedding of 8 words beside an image."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.conv = nn.Embedding(8, 4), nn.Conv2d(3, 4, 1)

    def forward(self, image: torch.Tensor, word: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(image)) + self.words(word)[:, :, None, None]


def test_a_sample_on_which_the_network_fails_is_one_line() -> None:
    image = TensorSpec("image", "image", (1, 3, 8, 8), "NCHW", value_range=(0.0, 1.0))
    word = TensorSpec("word", "scalar", (1,), "other", dtype="int32")
    logits = TensorSpec("logits", "logits", (1, 4, 8, 8), "NCHW")
    spec = ModelSpec("words", "other", (image, word), (logits,))
    model = onenet.lower(Model(spec, Words().eval()))
    sample = {"image": np.zeros((3, 8, 8), np.float32), "word": np.array(9, np.int32)}
    with pytest.raises(RequestError, match=r"the network fails on a calibration sample: .*; look at its values"):
        onenet.calibrate(model, [sample])


class Heads(nn.Module):
    """Wide enough, on 64x96, that torch shares a convolution out over threads and rounds its sums differently."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 3, stride=2, padding=1), nn.BatchNorm2d(24), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(24, 40, 3, padding=1), nn.ReLU())
        self.mask, self.score = nn.Conv2d(40, 3, 1), nn.Linear(40, 5)
        rng = np.random.default_rng(0)  # torch's own random numbers depend on the CPU's instructions
        for value in self.parameters():
            value.data = torch.from_numpy(rng.uniform(-0.2, 0.2, value.shape).astype(np.float32))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.body(self.stem(x))
        return self.mask(x), self.score(x.mean((2, 3)))


def heads() -> Model:
    return onenet.lower(build(Heads(), input_size=(64, 96)))


def test_the_number_of_threads_does_not_show() -> None:
    pictures = smooth_images(5, 3, 64, 96)
    before = torch.get_num_threads()

    def record_and_outputs(threads: int) -> tuple[object, bytes]:
        torch.set_num_threads(threads)
        model = heads()
        found = onenet.calibrate(model, list(pictures))
        outputs = [float_outputs(model, pictures, module).tobytes() for module in (model.module, found.reference)]
        return found.record.as_dict(), b"".join(outputs)

    try:
        first, *others = [record_and_outputs(threads) for threads in (1, 2, 4)]
    finally:
        torch.set_num_threads(before)
    for other in others:
        assert other == first


AGAIN = """
import sys, pathlib
import onenet
from onenet.calibration.record import CalibrationRecord
from tests.unit.calibration.test_calibrate import heads, program_sha256

record = CalibrationRecord.load(pathlib.Path(sys.argv[1]))
print(program_sha256(onenet.calibrate(heads(), record)))
"""


def program_sha256(model: QuantizedModel) -> str:
    found = hashlib.sha256(str(model.reference.graph).encode())
    for name, value in sorted(model.reference.state_dict().items()):
        found.update(name.encode() + value.numpy().tobytes())
    return found.hexdigest()


def test_a_record_gives_the_same_program_with_other_instructions_of_the_cpu(tmp_path: Path) -> None:
    own = onenet.calibrate(heads(), list(smooth_images(2, 3, 64, 96)))
    own.record.save(tmp_path / "record.json")
    less = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
    command = [sys.executable, "-W", "ignore", "-c", AGAIN, str(tmp_path / "record.json")]
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **less}, cwd=Path(__file__).parents[3])
    assert found.stdout.split()[-1:] == [program_sha256(own)], found.stderr[-2000:]
