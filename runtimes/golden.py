"""The golden pair inside every manifest: one input and sampled outputs, small enough to embed, readable without torch.

Input: a uint8 picture of at most 48 pixels a side, divided by 255, each pixel repeated ``factor`` times along both axes and cut
to the tensor's size; exact in any language. Output: the reference's values at every ``stride``-th pixel, all channels of it.
The stride is prime, so that the sampled pixels visit every position of a block, every row and every border.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onenet.base.arrays import next_prime
from onenet.base.data import is_real, is_whole
from onenet.runtimes.tensors import STORED
from onenet.spec import TensorSpec

Array = NDArray[Any]
SIDE = 48
VALUES = 2048


def make_input(spec: TensorSpec, picture: NDArray[np.float32] | None) -> dict[str, Any]:
    """The golden entry of one input.

    Args:
        spec: the input, NCHW if it is an image.
        picture: (3, h, w) in [0, 1] to take the values from; a fixed pattern where it is None or has other channels.
    """
    if spec.layout != "NCHW":
        small, factor = pattern(spec.shape), 1
    else:
        _, channels, height, width = spec.shape
        factor = -(-max(height, width) // SIDE)
        size = (-(-height // factor), -(-width // factor))
        if picture is None or picture.shape[0] != channels:
            small = pattern((1, channels, *size))
        else:
            rows = np.linspace(0, picture.shape[1] - 1, size[0]).round().astype(int)
            columns = np.linspace(0, picture.shape[2] - 1, size[1]).round().astype(int)
            small = (picture[None][:, :, rows][:, :, :, columns] * 255).round().astype(np.uint8)
    return {"name": spec.name, "factor": factor, "shape": list(small.shape), "dtype": "uint8", "data": encode(small)}


def pattern(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A fixed sequence without symmetry: the high byte of a linear congruential generator."""
    values, state = np.empty(int(np.prod(shape)), np.uint8), 1
    for i in range(values.size):
        state = (state * 1103515245 + 12345) % 2**31
        values[i] = state >> 23
    return values.reshape(shape)


def read_input(entry: dict[str, Any], spec: TensorSpec) -> Array:
    """The full golden input: shape ``spec.shape`` (NCHW for images), float32 in [0, 1] or the spec's integer type.

    Raises:
        KeyError, TypeError, ValueError: the entry is not what ``make_input`` makes for this input.
    """
    small, factor = decode(entry), entry["factor"]
    if small.dtype != np.uint8 or not is_whole(factor, 1):
        raise ValueError(f"an input of {small.dtype}, each value {factor!r} times")
    if spec.layout == "NCHW" and small.shape[2:] != tuple(-(-side // factor) for side in spec.shape[2:]):
        raise ValueError(f"an input of {small.shape}, each pixel {factor} times, is not {spec.shape}")
    if not spec.dtype.startswith("float"):
        return np.broadcast_to(small, spec.shape).astype(spec.dtype)
    values = small.astype(np.float32) / np.float32(255)
    if spec.layout == "NCHW":
        values = values.repeat(factor, 2).repeat(factor, 3)[:, :, : spec.shape[2], : spec.shape[3]]
    return np.broadcast_to(values, spec.shape).copy()


def make_output(name: str, value: Array, channels: bool, quantization: tuple[float, int] | None) -> dict[str, Any]:
    """The golden entry of one output (``channels``: axis 1 holds classes), in int8 where it has a scale and zero point."""
    pixels = as_pixels(value, channels)
    stride = next_prime(-(-len(pixels) // max(64, VALUES // pixels.shape[1])))
    sample = np.ascontiguousarray(pixels[::stride])
    entry: dict[str, Any] = {"name": name, "stride": stride}
    if quantization is not None:
        scale, zero_point = quantization
        sample = (np.rint(sample / scale) + zero_point).astype(np.int8)
        entry |= {"scale": scale, "zero_point": zero_point}
    return entry | {"shape": list(sample.shape), "dtype": str(sample.dtype), "data": encode(sample)}


def read_output(entry: dict[str, Any]) -> Array:
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


def sample_like(entry: dict[str, Any], value: Array, channels: bool) -> Array:
    """The same positions of another output; shape (pixels, channels)."""
    return as_pixels(value, channels)[:: entry["stride"]]


def as_pixels(value: Array, channels: bool) -> Array:
    """(N, C, ...) -> (N * ..., C); without a class axis (values, 1)."""
    return np.moveaxis(value, 1, -1).reshape(-1, value.shape[1]) if channels else value.reshape(-1, 1)


def encode(array: Array) -> str:
    little = array.astype(array.dtype.newbyteorder("<"))
    return base64.b64encode(little.tobytes()).decode()


def decode(entry: dict[str, Any]) -> Array:
    """
    Raises:
        KeyError, TypeError, ValueError: the entry is damaged.
    """
    if entry["dtype"] not in STORED or not all(map(is_whole, entry["shape"])):
        raise ValueError(f"values of {entry['dtype']!r}, shape {entry['shape']!r}")
    dtype = np.dtype(entry["dtype"]).newbyteorder("<")
    return np.frombuffer(base64.b64decode(entry["data"]), dtype).reshape(entry["shape"])
