"""The evaluator's operators against torch, or against their definition written out, on values without symmetry."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from onenet.base.quiet import quiet
from onenet.runtimes.backends.coreml import layout, program, spatial
from onenet.runtimes.backends.coreml.operators import BINARY, COMPUTE, OPERATORS, REDUCE, UNARY, unpacked

with quiet():
    import torchao.quantization.pt2e.quantize_pt2e  # noqa: F401  # registers the operators

Array = NDArray[Any]
REFERENCE = torch.ops.quantized_decomposed
"""The operators that int8 is calibrated and simulated with."""
SHAPES = [(2, 3, 5, 7), (1, 1, 4, 6), (2, 1, 1, 3)]


def random(*shape: int, seed: int = 0, low: float = -3, high: float = 3) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def compute(operator: str, **arguments: Any) -> Any:
    with np.errstate(all="ignore"):
        return OPERATORS[operator](**arguments)


def t(x: Array) -> torch.Tensor:
    return torch.from_numpy(np.array(x))


def assert_close(found: Array, expected: torch.Tensor | Array, tolerance: float = 2e-6) -> None:
    wanted = expected.numpy() if isinstance(expected, torch.Tensor) else expected
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    scale = np.abs(wanted, dtype=np.float64).max() if wanted.dtype.kind == "f" else 0
    assert np.abs(found.astype(np.float64) - wanted).max() <= tolerance * scale


# ---- one value at a time ------------------------------------------------------------------------------------------

FUNCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    **{
        name: getattr(torch, name) for name in ("abs", "ceil", "cos", "erf", "exp", "exp2", "floor", "round", "sigmoid", "sign")
    },
    **{name: getattr(torch, name) for name in ("sin", "square", "sqrt", "tanh", "maximum", "minimum", "mul", "sub", "add")},
    **{name: getattr(torch, name) for name in ("greater", "greater_equal", "less", "less_equal", "not_equal", "eq", "pow")},
    **{name: getattr(torch, name) for name in ("logical_and", "logical_or", "logical_xor", "logical_not")},
    **{name: getattr(F, name) for name in ("relu", "relu6", "silu", "softplus", "softsign")},
    **{"identity": torch.clone, "equal": torch.eq, "real_div": torch.div, "mod": torch.remainder},
    **{"floor_div": lambda x, y: torch.div(x, y, rounding_mode="floor")},
}
POSITIVE = ("sqrt", "pow")


def test_every_elementwise_operator_has_its_torch_function() -> None:
    assert set(UNARY) | set(BINARY) <= set(FUNCTIONS)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, shape: tuple[int, ...]) -> None:
    x = random(*shape, low=0.1 if name in POSITIVE else -7, high=8)
    x.flat[0] = 0.5 if name != "logical_not" else 0  # half: where round must go to even
    values = x > 0.2 if name == "logical_not" else x
    assert_close(compute(name, x=values), FUNCTIONS[name](t(values)))


@pytest.mark.parametrize("other", [(2, 3, 5, 7), (3, 1, 7), (1,), ()])
@pytest.mark.parametrize("name", BINARY)
def test_binary_operators_broadcast(name: str, other: tuple[int, ...]) -> None:
    x, y = random(2, 3, 5, 7, low=0.1, high=3), random(*other, seed=1, low=0.1)
    if name not in POSITIVE:
        x, y = x - 1.5, np.asarray(y - 1.4)
    if name.startswith("logical"):
        x, y = x > 0, np.asarray(y > 0)
    if name in ("equal", "not_equal", "greater", "less_equal"):
        x.flat[0] = np.broadcast_to(y, x.shape).flat[0]
    assert_close(compute(name, x=x, y=np.asarray(y)), FUNCTIONS[name](t(x), t(y)))


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("clip", dict(alpha=-1.5, beta=0.5), lambda x: x.clamp(-1.5, 0.5)),
        ("elu", dict(alpha=0.7), lambda x: F.elu(x, 0.7)),
        ("gelu", {}, F.gelu),
        ("gelu", dict(mode="TANH_APPROXIMATION"), lambda x: F.gelu(x, approximate="tanh")),
        ("gelu", dict(mode="SIGMOID_APPROXIMATION"), lambda x: x * torch.sigmoid(1.702 * x)),
        ("inverse", dict(epsilon=0.5), lambda x: 1 / (x + 0.5)),
        ("leaky_relu", dict(alpha=0.1), lambda x: F.leaky_relu(x, 0.1)),
        ("linear_activation", dict(alpha=-0.7, beta=0.2), lambda x: -0.7 * x + 0.2),
        ("log", dict(epsilon=4.0), lambda x: torch.log(x + 4)),
        ("prelu", dict(alpha=random(3, seed=5)), lambda x: F.prelu(x, t(random(3, seed=5)))),
        ("rsqrt", dict(epsilon=4.0), lambda x: torch.rsqrt(x + 4)),
        ("sigmoid_hard", dict(alpha=0.3, beta=0.4), lambda x: (0.3 * x + 0.4).clamp(0, 1)),
        ("threshold", dict(alpha=0.4), lambda x: x.clamp(min=0.4)),
        ("thresholded_relu", dict(alpha=-0.4), lambda x: F.threshold(x, -0.4, 0)),
        ("softmax", dict(axis=1), lambda x: x.softmax(1)),
        ("softmax", {}, lambda x: x.softmax(-1)),
        ("cast", dict(dtype="int32"), lambda x: x.to(torch.int32)),
        ("cast", dict(dtype="bool"), lambda x: x.to(torch.bool)),
        ("cast", dict(dtype="fp16"), lambda x: x.to(torch.float16)),
    ],
)
def test_elementwise_with_parameters(name: str, arguments: dict[str, Any], expected: Callable[..., torch.Tensor]) -> None:
    x = random(2, 3, 5, 7)
    assert_close(compute(name, x=x, **arguments), expected(t(x)), 1e-5)


def test_select_broadcasts() -> None:
    cond, a, b = random(2, 1, 5) > 0, random(2, 3, 5, seed=1), random(3, 1, seed=2)
    assert_close(compute("select", cond=cond, a=a, b=b), torch.where(t(cond), t(a), t(b)))


# ---- half precision -----------------------------------------------------------------------------------------------


def example(name: str) -> dict[str, Any]:
    """Arguments for each operator that computes, its tensors in float16."""
    image, three = random(2, 3, 6, 8), random(3, seed=1, low=0.1)
    arguments: dict[str, Any] = {
        "avg_pool": dict(kernel_sizes=(3, 2)),
        "batch_norm": dict(mean=three, variance=three + 1, gamma=three, beta=three),
        "clip": dict(alpha=-0.3, beta=0.7),
        "conv": dict(weight=random(4, 3, 3, 3, seed=2)),
        "conv_transpose": dict(weight=random(3, 4, 3, 3, seed=2)),
        "instance_norm": dict(gamma=three, beta=three),
        "linear": dict(weight=random(4, 8, seed=2)),
        "matmul": dict(y=random(8, 5, seed=2)),
        "max_pool": dict(kernel_sizes=(3, 2)),
        "prelu": dict(alpha=three),
        "resample": dict(coordinates=random(2, 4, 5, 2, seed=2)),
        "resize_bilinear": dict(target_size_height=9, target_size_width=5),
        "upsample_bilinear": dict(scale_factor_width=2.0),
        **{name: dict(alpha=0.3) for name in ("elu", "leaky_relu", "threshold", "thresholded_relu")},
        **{name: dict(alpha=0.3, beta=0.4) for name in ("linear_activation", "sigmoid_hard")},
        **{name: dict(y=random(3, 6, 8, seed=3, low=0.2)) for name in BINARY if not name.startswith("logical")},
    }.get(name, {})
    image = image[:1, :, :2, :2] if name == "reduce_prod" else image
    image = np.abs(image) + 0.2 if name in (*POSITIVE, "log", "rsqrt") else image
    found: dict[str, Any] = {"x": image, **arguments}
    if name == "scaled_dot_product_attention":
        found = dict(query=image, key=random(2, 3, 5, 8, seed=1), value=random(2, 3, 5, 4, seed=2))
    return {k: v.astype(np.float16) if isinstance(v, np.ndarray) else v for k, v in found.items()}


HALF = [*UNARY, *BINARY, *(f"reduce_{name}" for name in REDUCE), *(function.__name__ for function in COMPUTE)]


@pytest.mark.parametrize("name", [each for each in HALF if not each.startswith("logical")])
def test_float16_is_computed_in_float32_and_rounded_once(name: str) -> None:
    halves = example(name)
    found = compute(name, **halves)
    wide = compute(name, **{k: v.astype(np.float32) if isinstance(v, np.ndarray) else v for k, v in halves.items()})
    expected = wide if wide.dtype == bool else wide.astype(np.float16)
    assert np.isfinite(expected).all()
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


# ---- convolutions -------------------------------------------------------------------------------------------------


def direct_conv(x: Array, weight: Array, strides: tuple[int, ...], dilations: tuple[int, ...], groups: int) -> Array:
    """The definition: y[n, o, p] = sum over c, k of w[o, c, k] x[n, c, p stride + k dilation], in float64."""
    kernel = weight.shape[2:]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    out = [(n - span) // s + 1 for n, span, s in zip(x.shape[2:], spans, strides, strict=True)]
    result = np.zeros((len(x), len(weight), *out))
    share, each = x.shape[1] // groups, len(weight) // groups
    for place in itertools.product(*map(range, out)):
        starts = [p * s for p, s in zip(place, strides, strict=True)]
        window = tuple(slice(a, a + span, d) for a, span, d in zip(starts, spans, dilations, strict=True))
        for o in range(len(weight)):
            group = o // each
            seen = x[(slice(None), slice(group * share, (group + 1) * share), *window)].astype(np.float64)
            result[(slice(None), o, *place)] = (seen * weight[o]).reshape(len(x), -1).sum(1)
    return result.astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "weight", "options", "pads"),
    [
        ((2, 3, 5, 7), (4, 3, 1, 1), {}, [(0, 0), (0, 0)]),
        ((2, 3, 5, 7), (4, 3, 3, 2), dict(pad_type="custom", pad=(1, 0, 2, 3)), [(1, 0), (2, 3)]),
        ((1, 4, 9, 6), (6, 2, 3, 3), dict(groups=2, strides=(2, 1), dilations=(1, 2)), [(0, 0), (0, 0)]),
        ((2, 5, 6, 4), (5, 1, 3, 3), dict(groups=5, pad_type="custom", pad=(1, 1, 1, 1)), [(1, 1), (1, 1)]),
        ((1, 1, 8, 8), (3, 1, 2, 2), dict(strides=(2, 2)), [(0, 0), (0, 0)]),
        ((2, 1, 11), (1, 1, 4), dict(strides=(3,), pad_type="custom", pad=(2, 1)), [(2, 1)]),
        ((1, 2, 3, 4, 5), (3, 2, 2, 1, 3), dict(pad_type="custom", pad=(1, 0, 0, 0, 1, 1)), [(1, 0), (0, 0), (1, 1)]),
        ((1, 2, 5, 6), (2, 2, 2, 3), dict(pad_type="same"), [(0, 1), (1, 1)]),
        ((1, 2, 5, 6), (2, 2, 2, 3), dict(pad_type="same_lower"), [(1, 0), (1, 1)]),
        ((1, 2, 5, 6), (2, 2, 3, 3), dict(pad_type="same", strides=(2, 2)), [(1, 1), (0, 1)]),
        ((1, 2, 5, 6), (2, 2, 3, 3), dict(pad_type="same_lower", strides=(2, 2)), [(1, 1), (1, 0)]),
        ((1, 2, 5, 6), (2, 2, 1, 1), dict(pad_type="same", strides=(3, 3)), [(0, 0), (0, 0)]),
    ],
)
def test_conv(shape: tuple[int, ...], weight: tuple[int, ...], options: dict[str, Any], pads: list[tuple[int, int]]) -> None:
    x, w, bias = random(*shape), random(*weight, seed=1), random(weight[0], seed=2)
    ones = (1,) * (len(shape) - 2)
    around = np.pad(x, [(0, 0), (0, 0), *pads])
    geometry = options.get("strides", ones), options.get("dilations", ones), options.get("groups", 1)
    expected = direct_conv(around, w, *geometry)
    assert_close(compute("conv", x=x, weight=w, **options), expected)
    assert_close(compute("conv", x=x, weight=w, bias=bias, **options), expected + bias.reshape(-1, *ones))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        (dict(strides=(2, 3)), dict(stride=(2, 3))),
        (dict(strides=(2, 2), pad_type="custom", pad=(1, 1, 2, 2)), dict(stride=2, padding=(1, 2))),
        (
            dict(strides=(2, 2), pad_type="custom", pad=(1, 1, 1, 1), output_shape=(2, 6, 10, 14)),
            dict(padding=1, output_padding=1),
        ),
        (dict(dilations=(2, 1), groups=2), dict(dilation=(2, 1), groups=2)),
    ],
)
def test_conv_transpose(options: dict[str, Any], expected: dict[str, Any]) -> None:
    groups = options.get("groups", 1)
    x, w, bias = random(2, 4, 5, 7), random(4, 6 // groups, 3, 3, seed=1), random(6, seed=2)
    stride = options.get("strides", 1)
    wanted = F.conv_transpose2d(t(x), t(w), t(bias), **{"stride": stride, **expected})
    assert_close(compute("conv_transpose", x=x, weight=w, bias=bias, **options), wanted)


def test_conv_transpose_with_another_padding_at_each_end() -> None:
    x, w = random(1, 2, 4, 5), random(2, 3, 3, 2, seed=1)
    whole = F.conv_transpose2d(t(x), t(w), stride=2)
    found = compute("conv_transpose", x=x, weight=w, strides=(2, 2), pad_type="custom", pad=(0, 1, 2, 0))
    assert_close(found, whole[:, :, :-1, 2:])


@pytest.mark.parametrize("rank", [1, 3])
def test_conv_transpose_of_other_ranks(rank: int) -> None:
    x, w = random(2, 3, *(3, 4, 2)[:rank]), random(3, 2, *(2, 3, 2)[:rank], seed=1)
    function = F.conv_transpose1d if rank == 1 else F.conv_transpose3d
    assert_close(compute("conv_transpose", x=x, weight=w), function(t(x), t(w)))


# ---- windows and sizes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 7, 10), (1, 1, 8, 5)])
def test_pools_with_equal_padding(shape: tuple[int, ...], ceil_mode: bool) -> None:
    x = random(*shape) - 5  # below zero: padding must not win a maximum
    options: dict[str, Any] = dict(
        kernel_sizes=(3, 2), strides=(2, 3), pad_type="custom", pad=(1, 1, 1, 1), ceil_mode=ceil_mode
    )
    torch_options: dict[str, Any] = dict(kernel_size=(3, 2), stride=(2, 3), padding=1, ceil_mode=ceil_mode)
    assert_close(compute("max_pool", x=x, **options), F.max_pool2d(t(x), **torch_options))
    assert_close(compute("avg_pool", x=x, **options), F.avg_pool2d(t(x), **torch_options))
    found = compute("avg_pool", x=x, exclude_padding_from_average=True, **options)
    assert_close(found, F.avg_pool2d(t(x), count_include_pad=False, **torch_options))


@pytest.mark.parametrize(
    ("pad_type", "pad", "pads"),
    [("custom", (0, 1, 2, 0), [(0, 1), (2, 0)]), ("same", None, [(0, 1), (0, 1)]), ("same_lower", None, [(1, 0), (1, 0)])],
)
def test_pools_with_another_padding_at_each_end(pad_type: str, pad: Any, pads: list[tuple[int, int]]) -> None:
    x = random(2, 3, 6, 8) - 5
    options = dict(kernel_sizes=(3, 3), strides=(2, 2), pad_type=pad_type, pad=pad)
    around = [(0, 0), (0, 0), *pads]
    low, zero, ones = np.pad(x, around, constant_values=-np.inf), np.pad(x, around), np.pad(np.ones_like(x), around)
    average = F.avg_pool2d(t(zero), 3, 2)
    assert_close(compute("max_pool", x=x, **options), F.max_pool2d(t(low), 3, 2))
    assert_close(compute("avg_pool", x=x, **options), average)
    found = compute("avg_pool", x=x, exclude_padding_from_average=True, **options)
    assert_close(found, average / F.avg_pool2d(t(ones), 3, 2))


@pytest.mark.parametrize("rank", [1, 3])
def test_pools_of_other_ranks(rank: int) -> None:
    x, size = random(2, 3, *(6, 4, 5)[:rank]), (2, 3, 2)[:rank]
    for name in ("max_pool", "avg_pool"):
        assert_close(compute(name, x=x, kernel_sizes=size, strides=size), getattr(F, f"{name}{rank}d")(t(x), size))


def test_ceil_mode_needs_equal_padding() -> None:
    with pytest.raises(ValueError, match="equal padding at both ends"):
        compute("max_pool", x=random(1, 1, 5, 5), kernel_sizes=(2, 2), pad_type="custom", pad=(0, 1, 0, 0), ceil_mode=True)


@pytest.mark.parametrize(
    ("mode", "five"),
    [
        ("STRICT_ALIGN_CORNERS", [0, 0.25, 0.5, 0.75, 1]),
        ("ALIGN_CORNERS", [0, 0.25, 0.5, 0.75, 1]),
        ("DEFAULT", [0, 0.4, 0.8, 1, 1]),
        ("OFFSET_CORNERS", [0.1, 0.3, 0.5, 0.7, 0.9]),
        ("UNALIGN_CORNERS", [0, 0.1, 0.5, 0.9, 1]),
    ],
)
def test_two_values_sampled_at_five_points(mode: Any, five: list[float]) -> None:
    """The example of the operator's documentation."""
    assert spatial.sample_points(2, 5, mode) == pytest.approx(five)
    single = {"ALIGN_CORNERS": 0.5, "OFFSET_CORNERS": 0.5, "UNALIGN_CORNERS": 0.5}.get(mode, 0.0)
    assert spatial.sample_points(2, 1, mode) == pytest.approx([single])


@pytest.mark.parametrize("size", [(10, 21), (5, 7), (3, 4), (11, 2)])
def test_bilinear_sizes(size: tuple[int, int]) -> None:
    x = random(2, 3, 5, 7)
    target = dict(target_size_height=size[0], target_size_width=size[1])
    for mode, align in (("UNALIGN_CORNERS", False), ("STRICT_ALIGN_CORNERS", True)):
        wanted = F.interpolate(t(x), size=size, mode="bilinear", align_corners=align)
        assert_close(compute("resize_bilinear", x=x, sampling_mode=mode, **target), wanted)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_resampling_is_grid_sampling(padding: str, align: bool, mode: str) -> None:
    x, points = random(2, 3, 5, 7), random(2, 4, 6, 2, seed=1) * 1.5
    wanted = F.grid_sample(t(x), t(points), mode, padding, align)
    named = {"zeros": "constant", "border": "border", "reflection": "reflection" if align else "symmetric"}[padding]
    size = np.array([7, 5], np.float32)
    pixels = (points + 1) / 2 * (size - 1) if align else ((points + 1) * size - 1) / 2
    given = dict(x=x, sampling_mode=mode, padding_mode=named, align_corners=align)
    for coordinates_mode, coordinates in (
        ("normalized_minus_one_to_one", points),
        ("normalized_zero_to_one", (points + 1) / 2),
        ("unnormalized", pixels),
    ):
        assert_close(compute("resample", coordinates=coordinates, coordinates_mode=coordinates_mode, **given), wanted)


def test_resampling_beyond_the_image_gives_the_padding_value() -> None:
    points = np.full((1, 1, 1, 2), 5, np.float32)
    given = dict(padding_value=2.5, coordinates_mode="normalized_minus_one_to_one")
    assert compute("resample", x=random(1, 1, 3, 3), coordinates=points, **given) == 2.5


def test_a_reflection_of_the_other_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="reflection together with align_corners"):
        compute("resample", x=random(1, 1, 3, 3), coordinates=random(1, 2, 2, 2), padding_mode="reflection")


@pytest.mark.parametrize("factors", [(2.0, 3.0), (1.5, 2.1), (1.0, 0.5)])
def test_scales(factors: tuple[float, float]) -> None:
    x = random(2, 3, 4, 10)
    scales = dict(scale_factor_height=factors[0], scale_factor_width=factors[1])
    size = (int(4 * factors[0]), round(10 * factors[1]))
    for align in (False, True):
        wanted = F.interpolate(t(x), size=size, mode="bilinear", align_corners=align)
        assert_close(compute("upsample_bilinear", x=x, align_corners=align, **scales), wanted)
    assert_close(compute("upsample_nearest_neighbor", x=x, **scales), F.interpolate(t(x), size=size, mode="nearest"))


def test_corners_that_are_neither_aligned_nor_halved() -> None:
    x = random(1, 1, 2, 1)
    found = compute("upsample_bilinear", x=x, scale_factor_height=2.0, align_corners=False, half_pixel_centers=False)
    assert found[0, 0, :, 0] == pytest.approx([x.flat[0], (x.flat[0] + x.flat[1]) / 2, x.flat[1], x.flat[1]])
    with pytest.raises(ValueError, match="is not defined"):
        compute("upsample_bilinear", x=x, align_corners=True, half_pixel_centers=True)


# ---- sums and means -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 1, 4, 6), (2, 3, 9), (1, 3, 2, 3, 4)])
def test_normalisations(shape: tuple[int, ...]) -> None:
    x, channels = random(*shape), shape[1]
    gamma, beta, mean = (random(channels, seed=seed) for seed in (1, 2, 3))
    variance = random(channels, seed=4, low=0.1)
    affine = dict(gamma=gamma, beta=beta, epsilon=1e-3)
    wanted = F.batch_norm(t(x), t(mean), t(variance), t(gamma), t(beta), eps=1e-3)
    assert_close(compute("batch_norm", x=x, mean=mean, variance=variance, **affine), wanted)
    assert_close(compute("batch_norm", x=x, mean=mean, variance=variance), F.batch_norm(t(x), t(mean), t(variance)))
    assert_close(compute("instance_norm", x=x, **affine), F.instance_norm(t(x), weight=t(gamma), bias=t(beta), eps=1e-3))
    assert_close(compute("instance_norm", x=x), F.instance_norm(t(x)))
    last = random(*shape[-2:], seed=5), random(*shape[-2:], seed=6)
    found = compute("layer_norm", x=x, axes=(-2, -1), gamma=last[0], beta=last[1], epsilon=1e-3)
    assert_close(found, F.layer_norm(t(x), shape[-2:], t(last[0]), t(last[1]), eps=1e-3))
    assert_close(compute("layer_norm", x=x), F.layer_norm(t(x), shape))


def test_layer_norm_over_an_axis_in_the_middle() -> None:
    x, gamma, beta = random(2, 3, 5), random(3, seed=1), random(3, seed=2)
    wanted = F.layer_norm(t(x).transpose(1, 2), (3,), t(gamma), t(beta)).transpose(1, 2)
    assert_close(compute("layer_norm", x=x, axes=(1,), gamma=gamma, beta=beta), wanted)


def test_products() -> None:
    x, weight, bias = random(2, 3, 5), random(4, 5, seed=1), random(4, seed=2)
    assert_close(compute("linear", x=x, weight=weight), F.linear(t(x), t(weight)))
    assert_close(compute("linear", x=x, weight=weight, bias=bias), F.linear(t(x), t(weight), t(bias)))
    y = random(3, 5, 6, seed=3)
    x = random(2, 1, 4, 5)
    assert_close(compute("matmul", x=x, y=y), t(x) @ t(y))
    across = dict(x=x.swapaxes(-1, -2), y=y.swapaxes(-1, -2), transpose_x=True, transpose_y=True)
    assert_close(compute("matmul", **across), t(x) @ t(y))


@pytest.mark.parametrize("mask", [None, random(4, 6, seed=3), random(4, 6, seed=3) > -1])
def test_attention(mask: Array | None) -> None:
    query, key, value = random(2, 3, 4, 5), random(2, 3, 6, 5, seed=1), random(2, 3, 6, 7, seed=2)
    found = compute("scaled_dot_product_attention", query=query, key=key, value=value, attn_mask=mask)
    assert_close(found, F.scaled_dot_product_attention(t(query), t(key), t(value), None if mask is None else t(mask)))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("axes", [(1,), (0, -1), None])
def test_reductions(axes: tuple[int, ...] | None, keep: bool) -> None:
    x = random(2, 3, 5)
    dims = tuple(range(3)) if axes is None else axes
    for name, function in (("max", torch.amax), ("min", torch.amin), ("mean", torch.mean), ("sum", torch.sum)):
        assert_close(compute(f"reduce_{name}", x=x, axes=axes, keep_dims=keep), function(t(x), dims, keep))
    norm = torch.linalg.vector_norm(t(x), dim=dims, keepdim=keep)
    assert_close(compute("reduce_l2_norm", x=x, axes=axes, keep_dims=keep), norm)
    assert_close(compute("reduce_prod", x=x, axes=axes, keep_dims=keep), np.asarray(np.prod(x, axes, keepdims=keep)))


def test_the_place_of_the_largest_and_the_smallest() -> None:
    x = random(2, 3, 5)
    assert_close(compute("reduce_argmax", x=x, axis=1), t(x).argmax(1).int())
    assert_close(compute("reduce_argmin", x=x, keep_dims=True), t(x).argmin(-1, keepdim=True).int())
    assert compute("reduce_argmax", x=x.astype(np.float16), output_dtype="uint16").dtype == np.uint16
    assert compute("reduce_argmax", x=np.array([1, 5, 5, 2]), axis=0) == 1  # torch's tie


# ---- the same values elsewhere ------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_between_channels_and_rows(channels: int) -> None:
    x = random(2, channels * 4, 3, 5)
    large = F.pixel_shuffle(t(x), 2)
    assert_close(compute("pixel_shuffle", x=x, upscale_factor=2), large)
    assert_close(compute("pixel_unshuffle", x=large.numpy(), downscale_factor=2), x)
    depth_first = t(x).reshape(2, 4, channels, 3, 5).transpose(1, 2).reshape(x.shape)
    large = F.pixel_shuffle(depth_first, 2)
    assert_close(compute("depth_to_space", x=x, block_size=2), large)
    assert_close(compute("space_to_depth", x=large.numpy(), block_size=2), x)


@pytest.mark.parametrize(
    ("shape", "target", "expected"),
    [
        ((2, 50), (1, 0, -1, 0), (1, 1, 2, 50)),  # the example of the operator's documentation
        ((2, 3, 4), (0, -1), (3, 8)),
        ((2, 3, 4), (0, 6, 1), None),  # 3 * 6 * 1 from the right; 2 * 6 * 1 from the left would not be 24 either
        ((2, 3, 4), (2, 0, 0), (2, 3, 4)),
        ((2, 3, 4), (0, 0, 0), (2, 3, 4)),
        ((2, 3, 4), (-1,), (24,)),
        ((2, 3, 4), (5, -1), None),
        ((1, 1), (), ()),
    ],
)
def test_reshape(shape: tuple[int, ...], target: tuple[int, ...], expected: tuple[int, ...] | None) -> None:
    x = random(*shape)
    if expected is None:
        with pytest.raises(ValueError, match="reshape"):
            compute("reshape", x=x, shape=target)
    else:
        assert_close(compute("reshape", x=x, shape=target), x.reshape(expected))


X = random(2, 3, 5, 7)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("transpose", dict(perm=(0, 3, -3, 2)), X.transpose(0, 3, 1, 2)),
        ("crop", dict(crop_height=(1, 0), crop_width=(2, 3)), X[:, :, 1:, 2:-3]),
        ("expand_dims", dict(axes=(0, -1)), X[None, ..., None]),
        ("reverse", dict(axes=(1, -1)), X[:, ::-1, :, ::-1]),
        ("reverse", {}, X[::-1, ::-1, ::-1, ::-1]),
        ("tile", dict(reps=(1, 2, 1, 3)), np.concatenate([np.concatenate([X] * 2, 1)] * 3, 3)),
        ("gather", dict(indices=np.array([[2, 0], [-1, 1]], np.int32), axis=1), X[:, [[2, 0], [-1, 1]]]),
        ("slice_by_size", dict(begin=(0, -2, 1, 0), size=(1, 1, -1, 7)), X[:1, 1:2, 1:]),
        ("slice_by_index", dict(begin=(0, 1, 4, 0), end=(2, 3, 0, 7), stride=(1, 1, -2, 3)), X[:, 1:3, 4:0:-2, ::3]),
        (
            "slice_by_index",
            dict(begin=(1, 9, 9, -3), end=(9, 9, 2, 9), begin_mask=(0, 1, 1, 0), end_mask=(1, 1, 0, 1)),
            X[1:, :, :2, -3:],
        ),
        ("slice_by_index", dict(begin=(1, 0, -1, 2), end=(0, 3, 0, 5), squeeze_mask=(1, 0, 1, 0)), X[1, :, -1, 2:5]),
        (
            "slice_by_index",
            dict(begin=(0,) * 4, end=(2, 3, 5, 0), stride=(1, 1, 1, -1), begin_mask=(0, 0, 0, 1), end_mask=(0, 0, 0, 1)),
            X[..., ::-1],
        ),
        ("pad", dict(pad=(1, 0, 2, 3), constant_val=0.5), np.pad(X, [(0, 0), (0, 0), (1, 0), (2, 3)], constant_values=0.5)),
        ("pad", dict(pad=(1, 0, 0, 2, 0, 0, 0, 0)), np.pad(X, [(1, 0), (0, 2), (0, 0), (0, 0)])),
    ],
)  # fmt: skip
def test_values_only_move(name: str, arguments: dict[str, Any], expected: Array) -> None:
    assert np.array_equal(compute(name, x=X, **arguments), expected)
    halves = X.astype(np.float16)
    assert np.array_equal(compute(name, x=halves, **arguments), expected.astype(np.float16))


def test_padding_with_the_tensor_s_own_values() -> None:
    for mode in ("reflect", "replicate"):
        assert_close(compute("pad", x=X, pad=(2, 1, 0, 3), mode=mode), F.pad(t(X), (0, 3, 2, 1), mode))


def test_several_tensors() -> None:
    parts = [X, random(2, 2, 5, 7, seed=1), random(2, 1, 5, 7, seed=2)]
    whole = np.concatenate(parts, 1)
    assert np.array_equal(compute("concat", values=parts, axis=-3), whole)
    woven = compute("concat", values=[X, -X], axis=-3, interleave=True)
    assert np.array_equal(woven[:, ::2], X) and np.array_equal(woven[:, 1::2], -X) and woven.shape[1] == 2 * X.shape[1]
    assert all(map(np.array_equal, compute("split", x=whole, axis=1, split_sizes=(3, 2, 1)), parts))
    assert all(map(np.array_equal, compute("split", x=whole, axis=1, num_splits=2), np.split(whole, 2, 1)))
    assert np.array_equal(compute("stack", values=[X, -X], axis=1), np.stack([X, -X], 1))
    assert compute("squeeze", x=X[:1, :1]).shape == (5, 7)
    assert compute("squeeze", x=X[:1, :1], axes=(-3,)).shape == (1, 5, 7)
    assert np.array_equal(compute("fill", shape=(2, 3), value=np.array(7, np.int32)), np.full((2, 3), 7, np.int32))
    assert compute("fill", shape=(2,)).dtype == np.float32


# ---- integers for reals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "kind"), [("int8", torch.int8), ("uint8", torch.uint8)])
def test_quantize_is_the_reference_s_to_the_bit(dtype: str, kind: torch.dtype) -> None:
    x, zero, limits = random(2, 3, 50, 70, low=-9, high=9), 3 if dtype == "int8" else 130, np.iinfo(dtype)
    scale = float(np.float32(0.031))  # +-9 saturates at both ends
    range_of = (scale, zero, int(limits.min), int(limits.max), kind)
    wanted = REFERENCE.quantize_per_tensor(t(x), *range_of)
    parameters: dict[str, Any] = dict(scale=np.array(scale, np.float32), zero_point=np.array(zero, dtype))
    found = compute("quantize", input=x, output_dtype=dtype, **parameters)
    assert np.array_equal(found, wanted)
    assert {found.min(), found.max()} == {limits.min, limits.max}
    assert np.array_equal(compute("dequantize", input=found, **parameters), REFERENCE.dequantize_per_tensor(wanted, *range_of))


def test_a_scale_for_each_channel() -> None:
    x, scales, zeros = random(2, 3, 5), np.array([0.02, 0.05, 0.031], np.float32), np.array([3, -7, 0], np.int8)
    range_of = (t(scales), t(zeros).long(), 1, -128, 127, torch.int8)
    wanted = REFERENCE.quantize_per_channel(t(x), *range_of)
    found = compute("quantize", input=x, output_dtype="int8", scale=scales, zero_point=zeros, axis=-2)
    assert np.array_equal(found, wanted)
    for name, data in (("dequantize", "input"), ("constexpr_affine_dequantize", "quantized_data")):
        values = compute(name, **{data: found}, scale=scales, zero_point=zeros, axis=1)
        assert_close(values, REFERENCE.dequantize_per_channel(wanted, *range_of))
    halves = compute("dequantize", input=found, scale=scales.astype(np.float16), axis=1)
    assert_close(halves, (found * scales.astype(np.float16).astype(np.float32)[:, None]).astype(np.float16))


def test_halves_are_quantized_in_float32() -> None:
    x = np.array([100.1, -3.3], np.float16)
    found = compute("quantize", input=x, output_dtype="int8", scale=np.array(0.9, np.float16), zero_point=np.array(-5, np.int8))
    assert found.tolist() == [106, -9]


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8])
def test_integers_that_share_bytes(bits: int) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, 37)
    packed = sum(int(value) << (bits * place) for place, value in enumerate(values)).to_bytes(-(-37 * bits // 8), "little")
    assert unpacked(np.frombuffer(packed, np.uint8), bits, 37).tolist() == values.tolist()


def test_blocks_with_their_own_scale() -> None:
    data = np.random.default_rng(0).integers(-128, 128, (4, 6)).astype(np.int8)
    scale, offset = random(2, 3, low=0.1), random(2, 3, seed=1)
    found = compute("constexpr_blockwise_shift_scale", data=data, scale=scale, offset=offset)
    expected = np.array([[(data[i, j] - offset[i // 2, j // 2]) * scale[i // 2, j // 2] for j in range(6)] for i in range(4)])
    assert_close(found, expected.astype(np.float32))
    with pytest.raises(ValueError, match="do not divide"):
        compute("constexpr_blockwise_shift_scale", data=data, scale=random(3, 3))


def test_a_table_for_each_block_and_a_vector_for_each_index() -> None:
    """The examples of the operator's documentation."""
    indices = np.array([2, 3, 3, 0, 1, 0, 3, 0, 2, 1, 0, 3], np.uint8).reshape(6, 2)
    lut = np.array([1, 5, 9, 13, 2, 10, 18, 26], np.float16).reshape(2, 1, 4, 1)
    found = compute("constexpr_lut_to_dense", indices=indices, lut=lut)
    assert found.tolist() == [[9, 13], [13, 1], [5, 1], [26, 2], [18, 10], [2, 26]]
    indices = np.array([0, 0, 1, 0, 1, 1, 0, 0], np.uint8).reshape(2, 2, 2)
    lut = np.array([10, 11, 12, 20, 21, 22], np.int8).reshape(1, 1, 1, 2, 3)
    first = [[10, 10], [11, 11], [12, 12], [20, 10], [21, 11], [22, 12]]
    assert compute("constexpr_lut_to_dense", indices=indices, lut=lut, vector_axis=1)[0].tolist() == first
    last = [[10, 11, 12, 10, 11, 12], [20, 21, 22, 10, 11, 12]]
    assert compute("constexpr_lut_to_dense", indices=indices, lut=lut, vector_axis=-1)[0].tolist() == last
    with pytest.raises(ValueError, match="needs vector_axis"):
        compute("constexpr_lut_to_dense", indices=indices, lut=lut)


def test_a_packed_table() -> None:
    packed = np.array([0b01101100, 0b11], np.uint8)  # the example of the operator's documentation
    found = compute("constexpr_lut_to_dense", indices=packed, lut=random(4), shape=(5,))
    assert np.array_equal(found, random(4)[[0, 3, 2, 1, 3]])


# ---- limits -------------------------------------------------------------------------------------------------------

HUGE = 2**40


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("add", dict(x=random(2**15, 1), y=random(1, 2**15))),
        ("select", dict(cond=random(2**15, 1) > 0, a=random(1, 2**15), b=random(1))),
        ("matmul", dict(x=random(2**15, 1), y=random(1, 2**15))),
        ("conv", dict(x=random(1, 1, 2, 2), weight=random(1, 1, 1, 1), pad_type="custom", pad=(HUGE, 0, 0, 0))),
        ("conv_transpose", dict(x=random(1, 1, 2, 2), weight=random(1, 1, 1, 1), strides=(HUGE, 1))),
        ("max_pool", dict(x=random(1, 1, 2, 2), kernel_sizes=(1, 1), pad_type="custom", pad=(HUGE, 0, 0, 0))),
        ("resize_bilinear", dict(x=random(1, 1, 2, 2), target_size_height=HUGE, target_size_width=1)),
        ("upsample_nearest_neighbor", dict(x=random(1, 1, 2, 2), scale_factor_height=1e12)),
        ("pad", dict(x=random(2, 2), pad=(0, 0, 0, HUGE))),
        ("tile", dict(x=random(2, 2), reps=(1, HUGE))),
        ("fill", dict(shape=(HUGE,))),
        ("gather", dict(x=random(1, 2**15), indices=np.zeros(2**15, np.int32))),
        ("concat", dict(values=[random(2**14, 2**9)] * 64, axis=0)),
        ("constexpr_lut_to_dense", dict(indices=np.zeros(2, np.uint8), lut=random(4), shape=(HUGE,))),
    ],
)  # fmt: skip
def test_an_absurd_result_is_refused_before_it_is_allocated(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"at most {layout.LARGEST} are supported"):
        compute(name, **arguments)


def test_every_operator_says_what_its_parameters_are() -> None:
    """The walker converts a program's constants by these annotations."""
    kinds = {int, float, bool, str, program.Ints, program.Array, list[program.Array]}
    for name, function in OPERATORS.items():
        parameters = program.parameters(function)
        assert parameters
        for hint in parameters.values():
            assert hint in kinds or getattr(hint, "__origin__", None) is program.Literal, (name, hint)
