"""The golden pair inside every manifest: one input and sampled outputs, small enough to embed, readable without torch.

Input: an image is a uint8 picture of at most 48 pixels a side, divided by 255, each pixel repeated ``factor`` times along both
axes and cut to the tensor's size; other floats, and images outside [0, 1], are uint8 * ``step`` + ``low`` in float32; integers
are as they are. Exact in any language. Output: the reference's values at every ``stride``-th pixel, all channels of it.
The stride is prime, so that the sampled pixels visit every position of a block, every row and every border.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onenet.base.arrays import Array, next_prime
from onenet.base.data import is_real, is_whole
from onenet.runtimes.tensors import STORED
from onenet.spec import TensorSpec

Entry = dict[str, Any]
"""One input or output of the pair, as the JSON has it."""
SIDE = 48
VALUES = 2048


LARGEST = 1e37
"""Of a value that an entry holds: what a manifest's numbers may be."""
UNIT = (0.0, 1.0)


def make_input(spec: TensorSpec, sample: Array | None, place: int = 0, calibrated: tuple[float, float] | None = None) -> Entry:
    """The golden entry of one input.

    Args:
        spec: the input, NCHW if it is an image.
        sample: what a model is fed, without the batch, to take the values from: an image (C, h, w) of any size. A fixed
            pattern where it is None or an image of other channels.
        place: of the input among the model's; inputs of one shape get different patterns, so that swapped ones show.
        calibrated: the range that int8 covers; the pattern spans it where the spec says nothing of the values.
    """
    factor = -(-max(spec.shape[2:]) // SIDE) if spec.layout == "NCHW" else 1
    if spec.layout == "NCHW" and sample is not None and sample.shape[0] != spec.shape[1]:
        sample = None
    if sample is None:
        shape = (1, *spec.shape[1:2], *small_size(spec, factor)) if spec.layout == "NCHW" else spec.shape
        coded, line = code_pattern(spec, pattern(shape, place), calibrated)
    else:
        coded, line = code(spec, shrunk(sample, small_size(spec, factor)) if spec.layout == "NCHW" else sample[None])
    entry = {"name": spec.name, "factor": factor, "shape": list(coded.shape), "dtype": str(coded.dtype), "data": encode(coded)}
    return entry if line is None else entry | {"low": line[0], "step": line[1]}


def small_size(spec: TensorSpec, factor: int) -> tuple[int, int]:
    """Height and width of the picture that an image is made of."""
    return -(-spec.shape[2] // factor), -(-spec.shape[3] // factor)


def shrunk(image: Array, size: tuple[int, int]) -> Array:
    """Every so many rows and columns of an image (C, h, w), the first and the last always: (1, C, *size)."""
    rows, columns = (np.linspace(0, side - 1, count).round().astype(int) for side, count in zip(image.shape[1:], size))
    return image[None][:, :, rows][:, :, :, columns]


def code(spec: TensorSpec, values: Array) -> tuple[Array, tuple[float, float] | None]:
    """Values as an entry stores them, and the least value and the step where uint8 does not stand for [0, 1]."""
    if not spec.dtype.startswith("float"):
        fits = values.dtype == bool or (values.min() >= 0 and values.max() <= 255)
        return values.astype(np.uint8 if fits else spec.dtype), None
    low, high = (float(np.clip(each, -LARGEST, LARGEST)) for each in (values.min(), values.max()))
    if spec.layout == "NCHW" and low >= 0 and high <= 1:
        return (values * 255).round().astype(np.uint8), None
    low, step = line_of(low, high)
    steps = (np.clip(values, -LARGEST, LARGEST).astype(np.float64) - low) / (step or 1.0)
    return np.clip(steps.round(), 0, 255).astype(np.uint8), (low, step)


def code_pattern(
    spec: TensorSpec, values: NDArray[np.uint8], calibrated: tuple[float, float] | None
) -> tuple[Array, tuple[float, float] | None]:
    """``code`` of values 0 to 255 that shall span what the input takes."""
    if spec.dtype.startswith("float"):
        limits = spec.value_range or (calibrated if spec.role != "image" else None) or UNIT
        return values, None if limits == UNIT else line_of(*limits)
    low, high = spec.value_range or (0, 1 if spec.dtype == "bool" else 127 if spec.dtype == "int8" else 255)
    return code(spec, int(low) + values.astype(np.int64) % (int(high) - int(low) + 1))


def line_of(low: float, high: float) -> tuple[float, float]:
    """The least of 256 values from ``low`` to ``high``, and the step between them, as float32 holds them."""
    low, step = (float(np.float32(each)) for each in (low, (high - low) / 255))
    return (low if abs(low) > 1 / LARGEST else 0.0), (step if step > 1 / LARGEST else 0.0)


def pattern(shape: tuple[int, ...], place: int = 0) -> NDArray[np.uint8]:
    """A fixed sequence without symmetry: the high byte of a linear congruential generator, another one for each place."""
    values, state = np.empty(int(np.prod(shape)), np.uint8), 1 + place
    for i in range(values.size):
        state = (state * 1103515245 + 12345) % 2**31
        values[i] = state >> 23
    return values.reshape(shape)


def read_input(entry: Entry, spec: TensorSpec) -> Array:
    """The full golden input: shape ``spec.shape`` (NCHW for images), float32 or the spec's integer type.

    Raises:
        KeyError, TypeError, ValueError: the entry is not what ``make_input`` makes for this input.
    """
    small, factor, floats = decode(entry), entry["factor"], spec.dtype.startswith("float")
    if small.dtype not in (np.uint8, *(() if floats else (np.dtype(spec.dtype),))) or not is_whole(factor, 1):
        raise ValueError(f"an input of {small.dtype}, each value {factor!r} times")
    if spec.layout == "NCHW" and small.shape[2:] != tuple(-(-side // factor) for side in spec.shape[2:]):
        raise ValueError(f"an input of {small.shape}, each pixel {factor} times, is not {spec.shape}")
    values: Array = small.astype(np.float32 if floats else spec.dtype)
    if floats and "low" in entry:
        if not (is_real(entry["low"]) and is_real(entry["step"])):
            raise ValueError(f"an input from {entry['low']!r} in steps of {entry['step']!r}")
        values = values * np.float32(entry["step"]) + np.float32(entry["low"])
    elif floats:
        values = values / np.float32(255)
    if spec.layout == "NCHW":
        values = values.repeat(factor, 2).repeat(factor, 3)[:, :, : spec.shape[2], : spec.shape[3]]
    return np.broadcast_to(values, spec.shape).copy()


def make_output(name: str, value: Array, channels: bool, quantization: tuple[float, int] | None) -> Entry:
    """The golden entry of one output (``channels``: axis 1 holds classes), in int8 where it has a scale and zero point."""
    pixels = as_pixels(value, channels)
    stride = next_prime(-(-len(pixels) // max(64, VALUES // pixels.shape[1])))
    sample = np.ascontiguousarray(pixels[::stride])
    entry: Entry = {"name": name, "stride": stride}
    if quantization is not None:
        scale, zero_point = quantization
        sample = (np.rint(sample / scale) + zero_point).astype(np.int8)
        entry |= {"scale": scale, "zero_point": zero_point}
    return entry | {"shape": list(sample.shape), "dtype": str(sample.dtype), "data": encode(sample)}


def read_output(entry: Entry) -> Array:
    """The sampled reference values, (pixels, channels).

    Raises:
        KeyError, TypeError, ValueError: the entry is not what ``make_output`` makes.
    """
    sample = decode(entry)
    if sample.ndim != 2 or not is_whole(entry["stride"], 1):
        raise ValueError(f"an output of shape {sample.shape}, every {entry['stride']!r}th pixel")
    if "scale" not in entry:
        return sample
    if not (is_real(entry["scale"]) and entry["scale"] > 0 and is_whole(entry["zero_point"], -(2**31))):
        raise ValueError(f"an output with the scale {entry['scale']!r} and zero point {entry['zero_point']!r}")
    values: Array = (sample.astype(np.float32) - np.float32(entry["zero_point"])) * np.float32(entry["scale"])
    return values


def with_floats(entry: Entry, floats: Array) -> Entry:
    """An output's entry that holds the float model's values too, (pixels, channels) as ``sample_like`` picks them.

    Of floats it keeps the difference to the reference, in 255 steps: what counts of it is its size.
    """
    if entry["dtype"] != "int8" and not entry["dtype"].startswith("float"):
        return entry | {"float": {"shape": list(floats.shape), "dtype": str(floats.dtype), "data": encode(floats)}}
    reference = read_output(entry)
    same = np.isinf(floats) & (floats == reference)
    gap = np.where(same, 0, floats) - np.where(same, 0, reference)
    largest = float(np.abs(gap).max())
    if not largest < LARGEST:
        return entry  # NaN or infinity: the reference alone fails every file
    step = line_of(0.0, largest * 255 / 127)[1]
    coded = np.rint(gap / (step or 1.0)).clip(-127, 127).astype(np.int8)
    return entry | {"float": {"shape": list(coded.shape), "dtype": "int8", "data": encode(coded), "step": step}}


def read_floats(entry: Entry, reference: Array) -> Array:
    """The float model's values, (pixels, channels); the reference's where the entry holds no others.

    Raises:
        KeyError, TypeError, ValueError: the entry is not what ``with_floats`` makes.
    """
    if "float" not in entry:
        return reference
    held = decode(entry["float"])
    if held.shape != reference.shape:
        raise ValueError(f"float values of shape {held.shape} beside {reference.shape}")
    if "step" not in entry["float"]:
        return held
    if not is_real(entry["float"]["step"]):
        raise ValueError(f"float values in steps of {entry['float']['step']!r}")
    values: Array = reference + held.astype(np.float32) * np.float32(entry["float"]["step"])
    return values


def sample_like(entry: Entry, value: Array, channels: bool) -> Array:
    """The same positions of another output; shape (pixels, channels)."""
    return as_pixels(value, channels)[:: entry["stride"]]


def as_pixels(value: Array, channels: bool) -> Array:
    """(N, C, ...) -> (N * ..., C); without a class axis (values, 1)."""
    return np.moveaxis(value, 1, -1).reshape(-1, value.shape[1]) if channels else value.reshape(-1, 1)


def encode(array: Array) -> str:
    """The values of an array, little-endian in C order, as base64."""
    little = array.astype(array.dtype.newbyteorder("<"))
    return base64.b64encode(little.tobytes()).decode()


def decode(entry: Entry) -> Array:
    """
    Raises:
        KeyError, TypeError, ValueError: the entry is damaged.
    """
    if entry["dtype"] not in STORED or not all(map(is_whole, entry["shape"])):
        raise ValueError(f"values of {entry['dtype']!r}, shape {entry['shape']!r}")
    dtype = np.dtype(entry["dtype"]).newbyteorder("<")
    return np.frombuffer(base64.b64decode(entry["data"]), dtype).reshape(entry["shape"])
