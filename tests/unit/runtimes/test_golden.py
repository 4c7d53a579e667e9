"""The golden pair: exact through base64 and back, small, and samples that visit every kind of pixel."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from onenet.runtimes import golden
from onenet.spec import TensorSpec

SIZES = [(256, 256), (320, 240), (7, 5), (48, 48), (49, 1), (250, 33), (512, 16)]


def image(height: int, width: int, channels: int = 3, batch: int = 1) -> TensorSpec:
    return TensorSpec("image", "image", (batch, channels, height, width), "NCHW", value_range=(0.0, 1.0))


def stored(entry: dict[str, Any]) -> dict[str, Any]:
    """As it comes out of a manifest."""
    loaded: dict[str, Any] = json.loads(json.dumps(entry))
    return loaded


def picture(height: int = 90, width: int = 70, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).random((channels, height, width), np.float32)


# --- inputs -------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("with_picture", [True, False])
def test_an_input_is_a_small_picture_repeated_and_cut(size: tuple[int, int], with_picture: bool) -> None:
    spec = image(*size)
    entry = stored(golden.make_input(spec, picture() if with_picture else None))
    values = golden.read_input(entry, spec)
    assert values.shape == spec.shape
    assert values.dtype == np.float32
    assert max(entry["shape"]) <= golden.SIDE
    small = golden.decode(entry).astype(np.float32) / np.float32(255)
    y, x = np.indices(size)
    assert (values[0] == small[0][:, y // entry["factor"], x // entry["factor"]]).all()
    assert values.min() >= 0
    assert values.max() <= 1


def test_a_picture_of_the_right_size_is_kept_to_a_255th() -> None:
    source = picture(40, 24)
    values = golden.read_input(golden.make_input(image(40, 24), source), image(40, 24))
    assert np.abs(values[0] - source).max() <= 0.5 / 255 + 1e-6


def test_the_corners_of_a_picture_stay_in_the_corners() -> None:
    source = picture(90, 70)
    values = golden.read_input(golden.make_input(image(256, 256), source), image(256, 256))[0]
    for y in (0, -1):
        for x in (0, -1):
            assert np.abs(values[:, y, x] - source[:, y, x]).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_and_no_picture_get_the_pattern(channels: int) -> None:
    spec = image(20, 30, channels)
    with_picture, without = golden.make_input(spec, picture()), golden.make_input(spec, None)
    assert with_picture == without
    assert golden.decode(without).shape == (1, channels, 20, 30)
    assert (golden.decode(without) == golden.pattern((1, channels, 20, 30))).all()


def test_the_pattern_has_no_symmetry_and_does_not_change() -> None:
    values = golden.pattern((1, 1, 48, 48))[0, 0]
    for other in (values[::-1], values[:, ::-1], values.T, np.roll(values, 1, 0), np.roll(values, 16, 1)):
        assert (values == other).mean() < 0.05
    assert len(np.unique(values)) > 200
    assert golden.pattern((6,)).tolist() == [131, 44, 79, 136, 242, 43]  # another one would change every artifact


def test_a_batch_gets_the_same_picture_throughout() -> None:
    spec = image(8, 8, batch=3)
    values = golden.read_input(stored(golden.make_input(spec, picture())), spec)
    assert values.shape == (3, 3, 8, 8)
    assert (values == values[:1]).all()


def test_inputs_that_are_no_images_get_the_pattern() -> None:
    step, embedding = TensorSpec("step", "scalar", (2,), dtype="int32"), TensorSpec("text", "embedding", (1, 7))
    for spec in (step, embedding):
        values = golden.read_input(stored(golden.make_input(spec, None)), spec)
        assert values.shape == spec.shape
        assert values.dtype == spec.dtype
    assert (golden.read_input(golden.make_input(step, None), step) == golden.pattern((2,))).all()
    assert "low" not in golden.make_input(embedding, None)


@pytest.mark.parametrize("low", [-7.5, 0.0, 3.0])
@pytest.mark.parametrize("shape", [(7,), (), (77, 3)])
def test_a_sample_s_own_values(shape: tuple[int, ...], low: float) -> None:
    spec = TensorSpec("text", "embedding", (2, *shape))
    values = (np.random.default_rng(0).random(shape) * 20 + low).astype(np.float32)
    result = golden.read_input(stored(golden.make_input(spec, values)), spec)
    assert result.shape == spec.shape
    assert (result.dtype, result.flags.writeable) == (np.float32, True)
    assert np.abs(result - values).max() <= 0.51 * np.ptp(values) / 255 + 1e-6


@pytest.mark.parametrize("value", [0.0, -0.001, 12345.678, -3.4e38, 1e-44])
def test_a_number_is_kept(value: float) -> None:
    spec = TensorSpec("step", "scalar", (1, 1))
    (result,) = golden.read_input(stored(golden.make_input(spec, np.float32([value]))), spec).ravel()
    assert result == pytest.approx(np.float32(np.clip(value, -golden.LARGEST, golden.LARGEST)), rel=1e-6, abs=1e-37)


def test_an_image_outside_zero_to_one() -> None:
    spec = TensorSpec("depth", "mask", (1, 2, 60, 50), "NCHW")
    values = (np.random.default_rng(0).random((2, 60, 50)) * 30 - 20).astype(np.float32)
    entry = stored(golden.make_input(spec, values))
    result = golden.read_input(entry, spec)[0]
    assert entry["shape"] == [1, 2, 30, 25]
    assert (result.min(), result.max()) == (pytest.approx(-20, abs=0.3), pytest.approx(10, abs=0.3))
    assert np.abs(result[:, 0, 0] - values[:, 0, 0]).max() <= 0.51 * 30 / 255


@pytest.mark.parametrize(
    ("dtype", "values"),
    [("int32", [-5, 70000]), ("int64", [0, 255]), ("uint8", [0, 255]), ("int8", [-128, 127]), ("bool", [0, 1])],
)
def test_whole_numbers_are_exact(dtype: str, values: list[int]) -> None:
    spec = TensorSpec("token", "scalar", (1, 2), dtype=dtype)
    result = golden.read_input(stored(golden.make_input(spec, np.array(values, dtype))), spec)
    assert (result.dtype, result.tolist()) == (np.dtype(dtype), [values])


def test_a_mask_of_whole_numbers_is_repeated_like_an_image() -> None:
    spec = TensorSpec("classes", "mask", (1, 1, 96, 60), "NCHW", "int32")
    values = np.random.default_rng(0).integers(-3, 900, (1, 96, 60)).astype(np.int32)
    result = golden.read_input(stored(golden.make_input(spec, values)), spec)
    assert result.shape == spec.shape
    assert {*result.ravel()} <= {*values.ravel()}


def test_patterns_differ_by_place_and_span_what_the_input_takes() -> None:
    first, second = (golden.pattern((48, 48), place).astype(float) for place in (0, 1))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05
    spec = TensorSpec("text", "embedding", (1, 400))
    values = golden.read_input(stored(golden.make_input(spec, None, 2, (-3.0, 1.5))), spec)
    assert (values.min(), values.max()) == (pytest.approx(-3, abs=0.05), pytest.approx(1.5, abs=0.05))
    stated = replace(spec, value_range=(2.0, 4.0))
    assert golden.read_input(golden.make_input(stated, None, 2, (-3.0, 1.5)), stated).min() >= 2
    picture = image(24, 24)
    assert golden.make_input(picture, None, 0, (-3.0, 1.5)) == golden.make_input(picture, None)
    tokens = TensorSpec("token", "scalar", (1, 50), dtype="int64", value_range=(5, 9))
    assert {*golden.read_input(golden.make_input(tokens, None), tokens).ravel()} == {5, 6, 7, 8, 9}
    flags = TensorSpec("flag", "scalar", (1, 50), dtype="bool")
    assert 10 < golden.read_input(golden.make_input(flags, None), flags).sum() < 40


@pytest.mark.parametrize(
    "change", [{"low": None}, {"step": "1"}, {"step": 1e300}, {"low": True}, {"dtype": "int64"}, {"shape": [8, 1]}]
)
def test_entries_that_nobody_made(change: dict[str, Any]) -> None:
    spec = TensorSpec("text", "embedding", (1, 8))
    entry = golden.make_input(spec, np.linspace(-1, 1, 8, dtype=np.float32)) | change
    with pytest.raises((KeyError, TypeError, ValueError)):
        golden.read_input(entry, spec)


# --- outputs ------------------------------------------------------------


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 2, 256, 256), (2, 3, 7, 5), (1, 1, 1, 1), (1, 21, 64, 64)])
def test_outputs_come_back_exactly(shape: tuple[int, ...]) -> None:
    value = numbers(*shape)
    entry = stored(golden.make_output("logits", value, True, None))
    found = golden.read_output(entry)
    assert found.dtype == np.float32
    assert (found == golden.sample_like(entry, value, True)).all()
    assert found.shape[1] == shape[1]
    assert np.array_equal(found[0], value[0, :, 0, 0])


def test_labels_have_no_channels() -> None:
    value = np.random.default_rng(2).integers(0, 5, (1, 30, 40)).astype(np.int32)
    entry = stored(golden.make_output("labels", value, False, None))
    found = golden.read_output(entry)
    assert found.dtype == np.int32
    assert (found[:, 0] == value.ravel()[:: entry["stride"]]).all()


@pytest.mark.parametrize("scale", [0.0390625, 1 / 256, 0.1, 3.7e-4])
@pytest.mark.parametrize("zero_point", [-128, -3, 127])
def test_int8_coding_is_exact(scale: float, zero_point: int) -> None:
    steps = np.arange(-128, 128, dtype=np.int8).reshape(1, 1, 16, 16)
    value = (steps.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
    entry = stored(golden.make_output("logits", value, True, (scale, zero_point)))
    assert entry["dtype"] == "int8"
    assert (golden.decode(entry).ravel() == golden.sample_like(entry, steps, True).ravel()).all()
    assert (golden.read_output(entry) == golden.sample_like(entry, value, True)).all()


@pytest.mark.parametrize("size", [(256, 256), (320, 240), (512, 512), (1024, 768), (250, 330)])
@pytest.mark.parametrize("channels", [1, 2, 21])
def test_the_sampled_pixels_visit_every_place_of_a_16_block(size: tuple[int, int], channels: int) -> None:
    height, width = size
    entry = golden.make_output("logits", np.zeros((1, channels, height, width), np.float32), True, None)
    stride, places = entry["stride"], np.arange(height * width)[:: entry["stride"]]
    assert all(stride % k for k in range(2, stride))
    assert {*(places // width % 16)} == set(range(16))
    assert {*(places % width % 16)} == set(range(16))
    assert len(places) >= 64
    assert entry["shape"][0] * channels <= golden.VALUES + channels


@pytest.mark.parametrize(("n", "prime"), [(1, 1), (2, 2), (4, 5), (24, 29), (31, 31), (1024, 1031), (1025, 1031)])
def test_the_next_prime(n: int, prime: int) -> None:
    assert golden.next_prime(n) == prime


def test_pixels_are_in_row_order_with_the_class_axis_last() -> None:
    value = np.arange(24).reshape(1, 2, 3, 4)
    pixels = golden.as_pixels(value, True)
    assert pixels.shape == (12, 2)
    assert pixels[5].tolist() == [value[0, 0, 1, 1], value[0, 1, 1, 1]]


@pytest.mark.parametrize("quantization", [None, (0.05, 3)])
def test_the_float_model_s_values_travel_as_their_difference(quantization: tuple[float, int] | None) -> None:
    floats = np.random.default_rng(0).normal(1, 1, (1, 3, 20, 20)).astype(np.float32)
    program = np.rint(floats / 0.05) * np.float32(0.05)
    entry = golden.make_output("logits", program, True, quantization)
    picked = golden.sample_like(entry, floats, True)
    reference = golden.read_output(entry)
    held = json.loads(json.dumps(golden.with_floats(entry, picked)))
    found = golden.read_floats(held, reference)
    assert np.abs(found - picked).max() <= 0.51 * held["float"]["step"]
    assert np.square(found - reference).mean() == pytest.approx(np.square(picked - reference).mean(), rel=1e-3)
    assert np.array_equal(golden.read_floats(entry, reference), reference)  # where no others are held


def test_the_float_model_s_labels_travel_as_they_are() -> None:
    labels = np.random.default_rng(0).integers(0, 300, (1, 20, 20)).astype(np.int32)
    entry = golden.make_output("labels", labels, False, None)
    other = golden.sample_like(entry, labels + 1, False)
    assert np.array_equal(golden.read_floats(golden.with_floats(entry, other), golden.read_output(entry)), other)


def test_the_infinities_of_a_mask_travel() -> None:
    values = np.random.default_rng(0).normal(0, 1, (1, 2, 8, 8)).astype(np.float32)
    values[:, :, ::2] = -np.inf
    entry = golden.make_output("logits", values, True, None)
    picked = golden.sample_like(entry, np.where(np.isinf(values), values, values + 0.01), True)
    found = golden.read_floats(golden.with_floats(entry, picked), golden.read_output(entry))
    assert np.array_equal(np.isinf(found), np.isinf(picked))
    assert np.allclose(found, picked, atol=1e-3)


def test_values_that_are_no_numbers_are_left_out() -> None:
    entry = golden.make_output("logits", np.full((1, 2, 4, 4), np.nan, np.float32), True, None)
    assert "float" not in golden.with_floats(entry, golden.read_output(entry))
