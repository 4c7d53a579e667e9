"""The Core ML evaluator on packages that coremltools wrote: ours, other people's, and damaged ones."""

from __future__ import annotations

import gc
import itertools
import shutil
import struct
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import onenet
from onenet.base.metrics import sqnr_db
from onenet.base.quiet import quiet
from onenet.errors import CheckError, OneNetError, ToolError
from onenet.runtimes import open_session
from onenet.runtimes.backends.coreml import package as coreml
from onenet.runtimes.backends.coreml.operators import OPERATORS
from onenet.runtimes.backends.coreml.package import CoreMLPackage
from tests.export.conftest import Artifacts, images_of, quantized_of

with quiet():
    import coremltools as ct
    import coremltools.optimize.coreml as cto
    import torch
    import torch.nn.functional as F
    from coremltools.converters.mil import Builder as mb
    from torch import Tensor, nn

Array = NDArray[Any]
ON_LINUX = pytest.mark.skipif(sys.platform == "darwin", reason="values are Core ML's own here")


def random(*shape: int, seed: int = 0, low: float = -3, high: float = 3) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def convert(module: nn.Module, path: Path, example: Tensor, target: Any = ct.target.iOS17, half: bool = False) -> CoreMLPackage:
    """A package of a network that takes ``image`` and gives ``logits``, both float32 tensors."""
    with quiet():
        program = torch.export.export(module.eval(), (example,)).run_decompositions({})
    save(program, path, tuple(example.shape), target, half)
    return CoreMLPackage(path, native=False)


def save(program: Any, path: Path, shape: tuple[int, ...], target: Any = ct.target.iOS17, half: bool = False) -> None:
    image = ct.TensorType("image", shape, dtype=np.float32)
    save_with(program, path, image, target, half)


def save_with(program: Any, path: Path, image: Any, target: Any, half: bool = False) -> None:
    with quiet():
        model = ct.convert(
            program,
            inputs=[image],
            outputs=[ct.TensorType("logits", dtype=np.float32)],
            minimum_deployment_target=target,
            compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
            skip_model_load=True,
        )
        model.save(str(path))
        del model
        gc.collect()  # its temporary folder goes now, not with a warning in some later test


def run(package: CoreMLPackage, image: Array) -> Array:
    return package.evaluate({"image": image})["logits"]


# ---- operators against coremltools' own ---------------------------------------------------------------------------

X, Y = random(2, 3, 4, 5), random(3, 4, 1, seed=1, low=0.1)
SIGNS, MASKS = X > 0, ([False, True, True, False], [True, True, False, True])
INFERRED: list[tuple[str, dict[str, Any]]] = [
    *((name, dict(x=X)) for name in ("abs", "ceil", "cos", "erf", "exp", "exp2", "floor", "round", "sigmoid", "sign", "sin")),
    *((name, dict(x=X)) for name in ("identity", "relu", "relu6", "softplus", "softsign", "square", "tanh", "softmax")),
    *((name, dict(x=X, y=Y)) for name in ("add", "floor_div", "maximum", "minimum", "mod", "mul", "real_div", "sub")),
    *((name, dict(x=X, y=Y)) for name in ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal")),
    *((name, dict(x=SIGNS, y=X > 1)) for name in ("logical_and", "logical_or", "logical_xor")),
    *((f"reduce_{name}", dict(x=X, axes=[1, -1], keep_dims=True)) for name in ("max", "mean", "min", "prod", "sum", "l2_norm")),
    *((f"reduce_{name}", dict(x=X, axis=1, keep_dims=keep)) for name in ("argmax", "argmin") for keep in (True, False)),
    ("logical_not", dict(x=SIGNS)),
    ("sqrt", dict(x=np.abs(X))),
    ("pow", dict(x=np.abs(X), y=Y)),
    ("rsqrt", dict(x=np.abs(X), epsilon=0.25)),
    ("log", dict(x=np.abs(X), epsilon=0.25)),
    ("inverse", dict(x=np.abs(X), epsilon=0.25)),
    ("clip", dict(x=X, alpha=-0.5, beta=1.25)),
    ("elu", dict(x=X, alpha=0.5)),
    ("leaky_relu", dict(x=X, alpha=0.25)),
    ("linear_activation", dict(x=X, alpha=0.5, beta=0.25)),
    ("prelu", dict(x=X, alpha=random(3, seed=2))),
    ("sigmoid_hard", dict(x=X, alpha=0.25, beta=0.5)),
    ("threshold", dict(x=X, alpha=0.25)),
    ("thresholded_relu", dict(x=X, alpha=0.25)),
    *(("gelu", dict(x=X, mode=mode)) for mode in ("EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION")),
    *(("cast", dict(x=X, dtype=dtype)) for dtype in ("int32", "fp16", "bool")),
    ("layer_norm", dict(x=X, axes=[2, 3], gamma=random(4, 5, seed=3), beta=random(4, 5, seed=4), epsilon=0.25)),
    ("linear", dict(x=X, weight=random(6, 5, seed=5), bias=random(6, seed=6))),
    ("matmul", dict(x=X, y=random(6, 5, seed=7), transpose_y=True)),
    ("select", dict(cond=SIGNS, a=X, b=-X)),
    ("concat", dict(values=[X, -X, X], axis=-2)),
    ("stack", dict(values=[X, -X], axis=1)),
    ("expand_dims", dict(x=X, axes=[0, -2])),
    ("squeeze", dict(x=X[:1], axes=[0])),
    ("fill", dict(shape=[2, 3], value=1.5)),
    ("gather", dict(x=X, indices=np.array([2, 0], np.int32), axis=1)),
    ("reshape", dict(x=X, shape=[6, -1])),
    ("reshape", dict(x=X, shape=[1, 0, 0, -1, 0])),
    ("reverse", dict(x=X, axes=[1, -1])),
    ("slice_by_index", dict(x=X, begin=[0, 2, 1, 0], end=[2, 0, 4, 5], stride=[1, -1, 2, 3])),
    ("slice_by_index", dict(x=X, begin=[1, 2, 3, -3], end=[1, 1, 2, 9], begin_mask=MASKS[0], end_mask=MASKS[1])),
    ("slice_by_size", dict(x=X, begin=[0, -2, 1, 0], size=[1, 1, -1, 5])),
    ("split", dict(x=X, axis=1, split_sizes=[1, 2])),
    ("tile", dict(x=X, reps=[1, 2, 1, 3])),
    ("transpose", dict(x=X, perm=[0, 3, 1, 2])),
    *(("pad", dict(x=X, pad=[1, 0, 2, 3], mode=mode, constant_val=0.5)) for mode in ("constant", "reflect", "replicate")),
    ("quantize", dict(input=X, scale=np.float32(0.02), zero_point=np.int8(4), output_dtype="int8")),
    ("quantize", dict(input=X, scale=random(3, seed=8, low=0.01, high=0.03), output_dtype="int8", axis=1)),
]  # fmt: skip
SCALE, LEVELS = random(3, seed=8), np.int8(X * 40)
CONSTANT: dict[str, tuple[dict[str, Any], Any]] = {
    "dequantize": (dict(input=LEVELS, scale=SCALE, zero_point=np.array([3, -9, 0], np.int8), axis=1), ct.target.iOS17),
    "constexpr_affine_dequantize": (
        dict(quantized_data=np.uint8(X * 40 + 128), zero_point=np.uint8(9), scale=SCALE, axis=1),
        ct.target.iOS16,
    ),
    "constexpr_cast": (dict(source_val=X.astype(np.float16), output_dtype="fp32"), ct.target.iOS16),
    "constexpr_lut_to_dense": (
        dict(indices=np.arange(9, dtype=np.uint8) * 28, lut=random(16), shape=np.array([3, 6], np.uint32)),
        ct.target.iOS16,
    ),
    "constexpr_blockwise_shift_scale": (
        dict(data=LEVELS, scale=random(1, 3, 2, 1, seed=8), offset=np.int8(random(1, 3, 2, 1, seed=9))),
        ct.target.iOS18,
    ),
}


def built(name: str, arguments: dict[str, Any], target: Any) -> list[Any]:
    """The operator's results in a program of coremltools whose inputs are all constants."""
    found = []

    @mb.program(input_specs=[mb.TensorSpec(shape=(1,))], opset_version=target)
    def program(x: Any) -> Any:
        result = getattr(mb, name)(**arguments)
        found.extend(result if isinstance(result, (list, tuple)) else [result])
        return x

    return found


def as_ours(arguments: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) and not isinstance(v[0], np.ndarray) else v for k, v in arguments.items()}


def assert_same(found: Any, expected: list[Any]) -> None:
    results = found if isinstance(found, list) else [found]
    for own, theirs in zip(results, map(np.asarray, expected), strict=True):
        assert own.shape == theirs.shape
        scale = np.abs(theirs.astype(np.float64)).max()
        assert np.abs(own.astype(np.float64) - theirs).max() <= 1e-6 * scale


@pytest.mark.parametrize(("name", "arguments"), INFERRED, ids=[f"{i} {name}" for i, (name, _) in enumerate(INFERRED)])
def test_an_operator_gives_what_coremltools_infers(name: str, arguments: dict[str, Any]) -> None:
    with quiet():
        expected = [each.val for each in built(name, arguments, ct.target.iOS17)]
    ours = as_ours(arguments)
    ours = {k: np.asarray(v) if k in ("scale", "zero_point", "value") else v for k, v in ours.items()}
    with np.errstate(all="ignore"):
        assert_same(OPERATORS[name](**ours), expected)


@pytest.mark.parametrize("name", CONSTANT)
def test_a_constant_operator_gives_what_coremltools_decompresses(name: str) -> None:
    arguments, target = CONSTANT[name]
    with quiet():
        (result,) = built(name, arguments, target)
        expected = result.op.materialized_val_inference()
    ours = as_ours(arguments)
    ours = {k: np.asarray(v) if k in ("scale", "zero_point") else v for k, v in ours.items()}
    ours["shape"] = tuple(map(int, ours["shape"])) if "shape" in ours else None
    assert_same(OPERATORS[name](**{k: v for k, v in ours.items() if v is not None}), [expected])


GEOMETRY: list[tuple[str, dict[str, Any]]] = [
    *(
        (name, dict(kernel_sizes=[3, 2], strides=[2, 3], pad_type=pad_type, **pad))
        for name in ("max_pool", "avg_pool")
        for pad_type, pad in (
            ("valid", {}),
            ("same", {}),
            ("same_lower", {}),
            ("custom", dict(pad=[1, 1, 1, 0])),
            ("custom", dict(pad=[1, 1, 1, 1], ceil_mode=True)),
        )
    ),
    *(
        ("conv", dict(weight=random(4, 3, *kernel, seed=1), strides=strides, dilations=dilations, pad_type=pad_type, **pad))
        for kernel, strides, dilations in (((3, 2), [2, 1], [1, 1]), ((2, 4), [1, 1], [2, 1]), ((1, 1), [3, 2], [1, 1]))
        for pad_type, pad in (("valid", {}), ("same", {}), ("same_lower", {}), ("custom", dict(pad=[3, 1, 0, 2])))
    ),
    ("conv_transpose", dict(weight=random(3, 4, 3, 2, seed=1), strides=[2, 3], pad_type="custom", pad=[1, 0, 2, 1])),
    ("conv_transpose", dict(weight=random(3, 4, 3, 2, seed=1), strides=[2, 3], dilations=[2, 1])),
    (
        "conv_transpose",
        dict(weight=random(3, 4, 3, 3, seed=1), strides=[2] * 2, pad_type="custom", pad=[1] * 4, output_shape=[2, 4, 14, 18]),
    ),
    ("upsample_bilinear", dict(scale_factor_height=2.1, scale_factor_width=1.5, align_corners=False)),
    ("upsample_nearest_neighbor", dict(scale_factor_height=2, scale_factor_width=3)),
    ("resize_bilinear", dict(target_size_height=10, target_size_width=4, sampling_mode="UNALIGN_CORNERS")),
    (
        "resample",
        dict(
            coordinates=random(2, 4, 5, 2, seed=4),
            sampling_mode="bilinear",
            padding_mode="border",
            padding_value=0.0,
            coordinates_mode="normalized_minus_one_to_one",
            align_corners=True,
        ),
    ),
    ("resize_nearest_neighbor", dict(target_size_height=10, target_size_width=4)),
    ("crop", dict(crop_height=[1, 2], crop_width=[0, 3])),
    ("instance_norm", dict(gamma=random(3, seed=1), beta=random(3, seed=2), epsilon=0.25)),
    ("batch_norm", dict(mean=random(3, seed=1), variance=random(3, seed=2, low=0.1), epsilon=0.25)),
    ("silu", {}),
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("coreml")


def test_shapes_are_those_that_coremltools_infers(made: Path) -> None:
    """Of the operators whose values it does not infer, in one program; the evaluator compares each with its declaration."""
    shape = (2, 3, 7, 9)

    @mb.program(input_specs=[mb.TensorSpec(shape=shape)], opset_version=ct.target.iOS17)
    def program(image: Any) -> Any:
        results = [getattr(mb, name)(x=image, **options) for name, options in GEOMETRY]
        small = mb.slice_by_size(x=image, begin=[0, 0, 0, 0], size=[2, 3, 6, 8])
        blocks = mb.space_to_depth(x=small, block_size=2)
        results += [blocks, mb.depth_to_space(x=blocks, block_size=2, name="restored")]
        results += [mb.pixel_unshuffle(x=small, downscale_factor=np.uint32(2), name="unshuffled")]
        results += [mb.pixel_shuffle(x=blocks, upscale_factor=2), mb.concat(values=[image, image], axis=3)]
        rows = [mb.reshape(x=each, shape=[1, -1]) for each in results]
        return mb.concat(values=rows, axis=1, name="logits")

    path = made / "geometry.mlpackage"
    save(program, path, shape)
    seen: dict[str, Array] = {}
    image, package = random(*shape), CoreMLPackage(path, native=False)
    found = package.evaluate({"image": image}, lambda _kind, name, value: seen.update({name: value}))["logits"]
    kinds = package.operations
    for name in {name for name, _ in GEOMETRY}:
        assert kinds.count(name) >= sum(name == each for each, _ in GEOMETRY)
    assert np.isfinite(found).all()
    small = image[:, :, :6, :8]
    assert np.array_equal(seen["restored"], small)
    assert np.array_equal(seen["unshuffled"], F.pixel_unshuffle(torch.from_numpy(small), 2))


# ---- whole networks -----------------------------------------------------------------------------------------------


class Zoo(nn.Module):
    """Most of what networks are made of, from (1, 3, 16, 24)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.normal = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8, bias=False)
        self.up, self.last = nn.ConvTranspose2d(8, 6, 2, 2), nn.ConvTranspose2d(6, 4, 3, 2, padding=1, output_padding=1)
        self.group, self.instance, self.layer = nn.GroupNorm(2, 8), nn.InstanceNorm2d(8, affine=True), nn.LayerNorm(12)
        self.prelu, self.linear = nn.PReLU(8), nn.Linear(12, 10)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        for value in (self.normal.running_mean, self.normal.weight.data, self.prelu.weight.data):
            assert value is not None
            value.uniform_(-1, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.normal(self.first((image - 0.45) / 0.225))
        y = self.prelu(x) + F.hardswish(x) + F.silu(x) + F.gelu(x) + F.leaky_relu(x, 0.2) + F.elu(x) + F.mish(x)
        y = y + F.softplus(x) + F.relu6(x) + torch.tanh(x) * torch.sigmoid(x) - F.hardsigmoid(x) + F.hardtanh(x)
        y = self.group(y) + self.instance(y) + x.clamp(-0.3, 0.8)
        y = y + self.depthwise(F.pad(y, (1, 1, 1, 1), "reflect"))[:, :, 1:-1, 1:-1]
        y = y + F.pad(y, (0, 1, 2, 0), "replicate")[:, :, 2:, :-1] + F.pad(y, (0, 1, 2, 0))[:, :, 2:, :-1]
        p = F.max_pool2d(y, 3, 2, 1) + F.avg_pool2d(y, 3, 2, 1) + F.avg_pool2d(y, 3, 2, 1, count_include_pad=False)
        p = p + F.max_pool2d(y, 2, ceil_mode=True) + F.adaptive_avg_pool2d(y, 1)
        y = y + F.interpolate(p, scale_factor=2, mode="bilinear", align_corners=True) + F.interpolate(p, scale_factor=2)
        y = self.group(y + F.interpolate(p, size=(8, 12), mode="bilinear"))  # float16 ends at 65504
        a, b = y.chunk(2, 1)
        y = torch.cat([b, a], 1)
        y = y + torch.flip(y, [2, 3]) * 0.1 + torch.roll(y, 1, 3) * 0.1
        pixels = y.flatten(2).transpose(1, 2)
        pixels = pixels + self.attention(pixels, pixels, pixels, need_weights=False)[0]
        y = pixels.transpose(1, 2).reshape(y.shape)
        y = y + self.linear(self.layer(y))[..., :1] + y.mean((2, 3), keepdim=True) + y.amax(1, keepdim=True)
        y = y + y.std(1, keepdim=True) + torch.linalg.vector_norm(y, dim=1, keepdim=True)
        y = torch.where(y > 0, y, y * 0.5) + torch.stack([y, y * 2], 1).sum(1) + torch.exp(-y.abs())
        y = y + torch.log(y.abs() + 1) + torch.rsqrt(y.abs() + 1) + torch.sin(y) + torch.cos(y) + torch.erf(y)
        y = F.pixel_unshuffle(F.pixel_shuffle(y, 2), 2)
        result: Tensor = F.interpolate(self.last(self.up(y))[:, :, ::2, ::2], size=(16, 24), mode="nearest")
        return result


@pytest.mark.parametrize(("target", "half"), [("iOS16", False), ("iOS17", True), ("iOS18", False)])
def test_a_network_of_many_operators(made: Path, target: str, half: bool) -> None:
    network, image = Zoo(), random(1, 3, 16, 24, low=0, high=1)
    package = convert(
        network, made / f"zoo {target} {half}.mlpackage", torch.from_numpy(image), getattr(ct.target, target), half
    )
    kinds = set(package.operations) - {"const"}
    assert len(kinds) >= 50
    assert package.runs_here, package.runtime
    with torch.no_grad():
        expected = network(torch.from_numpy(image)).numpy()
    found = run(package, image)
    if half:
        assert sqnr_db(expected, found) >= 50
    else:
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


# ---- compressed weights -------------------------------------------------------------------------------------------


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, (2, 3)))

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.layers(image)
        return result


@dataclass(frozen=True)
class Compression:
    target: Any
    operator: str
    compress: Callable[[Any], Any]
    count: int = 3
    """Weights that it applies to: blocks of two do not divide three channels."""
    least_db: float = 35


IOS16, IOS18 = ct.target.iOS16, ct.target.iOS18
COMPRESSIONS = {
    "w8": Compression(IOS16, "constexpr_affine_dequantize", lambda model: linear(model)),
    "w8 unsigned": Compression(IOS16, "constexpr_affine_dequantize", lambda model: linear(model, "linear", "uint8")),
    "w8 of iOS 18": Compression(IOS18, "constexpr_blockwise_shift_scale", lambda model: linear(model)),
    "w4 in blocks": Compression(
        IOS18,
        "constexpr_blockwise_shift_scale",
        lambda model: linear(model, "linear", "int4", granularity="per_block", block_size=2),
        count=2,
        least_db=10,
    ),
    "tables": Compression(IOS16, "constexpr_lut_to_dense", lambda model: tables(model, 4), least_db=10),
    "tables of iOS 18": Compression(IOS18, "constexpr_lut_to_dense", lambda model: tables(model, 6), least_db=10),
}


def linear(model: Any, mode: str = "linear_symmetric", dtype: str = "int8", **options: Any) -> Any:
    config = cto.OpLinearQuantizerConfig(mode=mode, dtype=dtype, weight_threshold=0, **options)
    return cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config=config))


def tables(model: Any, bits: int) -> Any:
    config = cto.OpPalettizerConfig(mode="uniform", nbits=bits, weight_threshold=0)
    return cto.palettize_weights(model, cto.OptimizationConfig(global_config=config))


@pytest.mark.parametrize(
    ("name", "half"), [*((name, False) for name in COMPRESSIONS), ("w8", True), ("tables of iOS 18", True)]
)
def test_compressed_weights_are_what_coremltools_decompresses(name: str, half: bool, made: Path) -> None:
    case = COMPRESSIONS[name]
    network, image = Small(), random(2, 3, 9, 11)
    plain = convert(network, made / f"small {name} {half}.mlpackage", torch.from_numpy(image), case.target, half)
    path = made / f"{name} {half}.mlpackage"
    dense = path.with_suffix(".dense.mlpackage")
    with quiet():
        model = case.compress(ct.models.MLModel(str(plain.path), skip_model_load=True))
        model.save(str(path))
        model = cto.decompress_weights(model)
        model.save(str(dense))
        del model
        gc.collect()
    package = CoreMLPackage(path, native=False)
    assert package.operations.count(case.operator) == case.count
    found = run(package, image)
    assert np.array_equal(found, run(CoreMLPackage(dense, native=False), image))
    with torch.no_grad():
        expected = network(torch.from_numpy(image)).numpy()
    assert case.least_db <= sqnr_db(expected, found) < 80  # the weights are near the network's, and not those


# ---- images -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["RGB", "BGR", "GRAYSCALE"])
def test_an_image_is_rounded_to_8_bits_as_core_ml_rounds_it(layout: str, made: Path) -> None:
    channels = 1 if layout == "GRAYSCALE" else 3

    class Weighted(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image * torch.tensor([1.0, 10.0, 100.0])[:channels].reshape(1, -1, 1, 1)

    path, example = made / f"{layout}.mlpackage", torch.zeros(1, channels, 4, 6)
    with quiet():
        program = torch.export.export(Weighted(), (example,)).run_decompositions({})
    image_type = ct.ImageType("image", example.shape, scale=1 / 255, color_layout=getattr(ct.colorlayout, layout))
    save_with(program, path, image_type, ct.target.iOS16)
    package = CoreMLPackage(path, native=False)
    image = random(1, channels, 4, 6, low=-0.1, high=1.1)
    eight_bits = np.clip(np.rint(image * 255), 0, 255) / 255
    ordered = eight_bits[:, ::-1] if layout == "BGR" else eight_bits
    expected = ordered * np.array([1, 10, 100])[:channels].reshape(1, -1, 1, 1)
    assert run(package, image) == pytest.approx(expected, rel=1e-5)
    pixels = np.asarray(coreml.to_image(image)).reshape(4, 6, channels).transpose(2, 0, 1)
    assert np.array_equal(pixels, eight_bits[0] * 255)  # what ``predict`` hands over


def test_an_image_of_half_floats_is_not_evaluated(whole: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(whole, tmp_path / "half.mlpackage"))
    model = coreml.read_model(path)
    model.description.input[0].type.imageType.colorSpace = 40
    (path / coreml.MODEL).write_bytes(model.SerializeToString())
    package = CoreMLPackage(path, native=False)
    assert not package.runs_here
    assert "does not know images of colour space GRAYSCALE_FLOAT16" in package.runtime.kernels


# ---- what is not known --------------------------------------------------------------------------------------------


class Foreign(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return torch.relu(torch.topk(torch.cumsum(image, 1).tril(), 4).values)


@pytest.fixture(scope="module")
def unknown(made: Path) -> Path:
    path = made / "foreign.mlpackage"
    convert(Foreign(), path, torch.zeros(1, 5, 6))
    return path


def test_all_unknown_operators_are_listed_in_one_line(unknown: Path) -> None:
    package = CoreMLPackage(unknown, native=False)
    assert not package.runs_here
    assert package.runtime.kernels == "the evaluator does not know band_part, cumsum, topk; Core ML runs on macOS"
    package.check()  # nothing is wrong with it
    with pytest.raises(ToolError, match=r"^foreign\.mlpackage cannot be evaluated: .* band_part, cumsum, topk; [^\n]*$"):
        package.evaluate({"image": np.zeros((1, 5, 6), np.float32)})


def test_an_unknown_argument_and_its_unknown_value_are_listed(made: Path) -> None:
    path = made / "batched.mlpackage"

    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 2, 3, 4))], opset_version=ct.target.iOS17)
    def program(image: Any) -> Any:
        return mb.gather(x=image, indices=np.zeros((1, 2), np.int32), axis=1, batch_dims=1, name="logits")

    save(program, path, (1, 2, 3, 4))
    model = coreml.read_model(path)
    (block,) = coreml.main_blocks(model, path)
    block.operations[-1].inputs["moonphase"].arguments.add().name = "image"
    (path / coreml.MODEL).write_bytes(model.SerializeToString())
    package = CoreMLPackage(path, native=False)
    assert "does not know gather with batch_dims=1, gather with moonphase;" in package.runtime.kernels


class Woven(torch.nn.Module):
    """Channels of two tensors in turn: coremltools makes one ``concat`` of it, with interleave."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(8, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found = self.first(image)
        result: torch.Tensor = self.last(torch.stack([found, 2 * found], 2).flatten(1, 2))
        return result


def test_channels_in_turn_are_evaluated(tmp_path: Path) -> None:
    made = onenet.export(onenet.build(Woven, input_size=(8, 12)), target="coreml", precision="fp32", out=tmp_path)
    assert made.verification is not None and made.verification.passed
    (block,) = coreml.main_blocks(coreml.read_model(made.path), made.path)
    assert any(each.type == "concat" and "interleave" in each.inputs for each in block.operations)


@ON_LINUX
def test_a_manifest_is_read_from_a_package_that_cannot_be_evaluated(unknown: Path) -> None:
    assert onenet.runtimes.read_manifest(unknown) is None
    assert not open_session(unknown).runs_here


@ON_LINUX
def test_core_ml_is_refused_where_it_is_not(unknown: Path) -> None:
    with pytest.raises(ToolError, match=r"foreign\.mlpackage was to be run by Core ML, which macOS and iOS have"):
        CoreMLPackage(unknown, native=True)


@ON_LINUX
def test_without_torch_the_reason_is_given(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    session = open_session(whole)
    assert not session.runs_here
    assert session.runtime.kernels == 'the evaluator needs torch; pip install "onenet-export[export]"'


# ---- how it runs --------------------------------------------------------------------------------------------------


def test_every_operation_but_constants_is_shown_in_order(artifacts: Artifacts) -> None:
    package, image = CoreMLPackage(artifacts("ed", "coreml", "int8").path, native=False), images_of("ed")[:1]
    seen: list[tuple[str, str, tuple[int, ...]]] = []
    for _ in range(2):
        seen.clear()
        result = package.evaluate({"image": image}, lambda kind, name, value: seen.append((kind, name, value.shape)))
        assert [kind for kind, _, _ in seen] == [kind for kind in package.operations if kind != "const"]
    assert seen[-1][1:] == ("logits", result["logits"].shape)
    nodes = {node.name for node in quantized_of("ed").reference.graph.nodes}
    named = [name for kind, name, _ in seen if kind in ("conv", "relu", "concat")]
    assert len(named) >= 10
    assert set(named) <= nodes


def test_values_are_dropped_once_nothing_reads_them(made: Path) -> None:
    chain = nn.Sequential(*(layer for _ in range(20) for layer in (nn.Conv2d(3, 3, 1), nn.ReLU())))
    package = convert(chain, made / "chain.mlpackage", torch.zeros(1, 3, 8, 8))
    alive: list[weakref.ref[Array]] = []
    most = 0

    def watch(_kind: str, _name: str, value: Array) -> None:
        nonlocal most
        alive.append(weakref.ref(value))
        most = max(most, sum(each() is not None for each in alive))

    package.evaluate({"image": random(1, 3, 8, 8)}, watch)
    assert len(alive) == 40
    assert most <= 3


def test_constants_are_read_once(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    package, image = CoreMLPackage(artifacts("ed", "coreml", "int8").path, native=False), images_of("ed")[:1]
    reads: list[int] = []
    read_blob = package.read_blob
    monkeypatch.setattr(package, "read_blob", lambda name, offset: reads.append(offset) or read_blob(name, offset))
    first = run(package, image)
    count = len(reads)
    assert count == len(set(reads)) > 10
    assert np.array_equal(run(package, image), first)
    assert len(reads) == count
    assert not any(each.flags.owndata for each in package.files.values())  # mapped, not copied


@ON_LINUX
def test_verify_checks_the_values_and_says_by_what(artifacts: Artifacts) -> None:
    artifact = artifacts("ed", "coreml", "int8")
    result = onenet.verify(artifact.path)
    assert result.passed
    assert result.runtime.name == "coreml evaluator"
    (values,) = [check for check in result.checks if check.name == "values of logits"]
    assert values.passed
    assert values.detail.endswith("(evaluator parity)")
    assert artifact.checked == "evaluator"
    assert artifact.quality is not None
    assert artifact.quality.label_agreement is not None
    assert artifact.quality.label_agreement >= 0.99


def test_neither_coremltools_nor_a_second_protobuf_is_imported(artifacts: Artifacts) -> None:
    code = (
        "import sys; import numpy as np; from pathlib import Path;"
        "from onenet.runtimes.backends.coreml.package import CoreMLPackage;"
        "package = CoreMLPackage(Path(sys.argv[1]), native=False); assert 'torch' not in sys.modules;"
        "spec = package.inputs[0]; package.evaluate({spec.name: np.zeros(spec.shape, np.float32)});"
        "assert 'coremltools' not in sys.modules"
    )
    path = artifacts("ed", "coreml", "int8").path
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(path)], check=True)


# ---- damage -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(made: Path) -> Path:
    path = made / "whole.mlpackage"
    convert(Small(), path, torch.zeros(1, 3, 9, 11))
    return path


def block_of(model: Any) -> Any:
    return coreml.main_blocks(model, Path("x"))[0]


def operation_of(model: Any, kind: str) -> Any:
    return next(each for each in block_of(model).operations if each.type == kind)


def constant_of(model: Any, suffix: str) -> Any:
    found = next(each for each in block_of(model).operations if each.type == "const" and suffix in each.outputs[0].name)
    return found.attributes["val"]


def declare(model: Any, kind: str, axis: int, length: int) -> None:
    operation_of(model, kind).outputs[0].type.tensorType.dimensions[axis].constant.size = length


def weight_of(model: Any) -> Any:
    return next(each for each in coreml.values_of(block_of(model)) if each.WhichOneof("value") == "blobFileValue")


def grow_weight(model: Any) -> None:
    weight_of(model).type.tensorType.dimensions[0].constant.size = 2**40


def other_offset(model: Any) -> None:
    offsets = [each for each in coreml.values_of(block_of(model)) if each.WhichOneof("value") == "blobFileValue"]
    offsets[0].blobFileValue.offset = offsets[1].blobFileValue.offset


def pad_absurdly(model: Any) -> None:
    constant_of(model, "pad_type").immediateValue.tensor.strings.values[0] = "custom"
    constant_of(model, "pad_0").immediateValue.tensor.ints.values[0] = 2**31 - 1


def unknown_pad_type(model: Any) -> None:
    constant_of(model, "pad_type").immediateValue.tensor.strings.values[0] = "sideways"


def lose_weight(model: Any) -> None:
    operation_of(model, "conv").inputs["weight"].arguments[0].name = "nowhere"


def lose_argument(model: Any) -> None:
    del operation_of(model, "conv").inputs["weight"]


def no_stride(model: Any) -> None:
    constant_of(model, "strides").immediateValue.tensor.ints.values[0] = 0


def other_type(model: Any) -> None:
    operation_of(model, "relu").outputs[0].type.tensorType.dataType = 10


def lose_output(model: Any) -> None:
    del operation_of(model, "relu").outputs[:]


def same_name(model: Any) -> None:
    for each in block_of(model).operations:
        if each.type == "relu":
            each.outputs[0].name = "relu"


def one_more_input(model: Any) -> None:
    inputs = model.mlProgram.functions["main"].inputs
    inputs.add().CopyFrom(inputs[0])
    inputs[1].name = "picture"


def lose_constant(model: Any) -> None:
    constant_of(model, "strides").immediateValue.tensor.ints.values.pop()


def become_a_list(model: Any) -> None:
    operation_of(model, "relu").outputs[0].type.listType.length.constant.size = 3


DAMAGES: list[tuple[Callable[[Any], None], str]] = [
    (lambda model: declare(model, "conv", 1, 17), "conv conv2d gives float32 1x16x7x9; the program declares float32 1x17x7x9"),
    (lambda model: declare(model, "relu", 3, 2**40), "relu is declared as 1x16x7x1099511627776; tensors of at most"),
    (grow_weight, "values of FLOAT32 do not take 1728 bytes"),
    (other_offset, "is damaged: 432 values of FLOAT32 do not take"),
    (pad_absurdly, "conv conv2d cannot be computed: a tensor of .* values was asked for; at most"),
    (lose_weight, "conv conv2d reads nowhere, which no operator before it gives"),
    (lose_argument, "conv conv2d cannot be computed: .*weight"),
    (no_stride, "conv conv2d cannot be computed: "),
    (other_type, "relu relu gives float32 1x16x7x9; the program declares float16 1x16x7x9"),
    (lose_output, "an operator relu gives nothing"),
    (same_name, "two operators give relu"),
    (one_more_input, r"describes the inputs \['image'\]; its program has \['image', 'picture'\]"),
    (lose_constant, "the constant .*strides.* is damaged: cannot reshape"),
    (become_a_list, "relu is of type listType; supported: tensors"),
]


@pytest.mark.parametrize(("damage", "text"), DAMAGES, ids=range(len(DAMAGES)))
def test_a_damaged_program_is_one_line(whole: Path, tmp_path: Path, damage: Callable[[Any], None], text: str) -> None:
    path = Path(shutil.copytree(whole, tmp_path / "damaged.mlpackage"))
    model = coreml.read_model(path)
    damage(model)
    (path / coreml.MODEL).write_bytes(model.SerializeToString())
    with pytest.raises(CheckError, match=rf"^damaged\.mlpackage.*{text}") as caught:
        run(CoreMLPackage(path, native=False), random(1, 3, 9, 11))
    assert "\n" not in str(caught.value)


def test_an_argument_that_is_not_supported_is_found_before_it_runs(whole: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(whole, tmp_path / "sideways.mlpackage"))
    model = coreml.read_model(path)
    unknown_pad_type(model)
    (path / coreml.MODEL).write_bytes(model.SerializeToString())
    assert "does not know conv with pad_type='sideways';" in CoreMLPackage(path, native=False).runtime.kernels


def test_deep_nesting_is_one_line(whole: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(whole, tmp_path / "deep.mlpackage"))
    model = coreml.read_model(path)
    block = block_of(model)
    for _ in range(200):
        block = block.operations.add(type="cond").blocks.add()
    (path / coreml.MODEL).write_bytes(model.SerializeToString())
    with pytest.raises(OneNetError, match=r"^deep\.mlpackage[^\n]*$"):
        run(CoreMLPackage(path, native=False), random(1, 3, 9, 11))


def truncate(content: bytes, at: int) -> bytes:
    return content[:at]


def flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1 << (at % 8)]) + content[at + 1 :]


def overwrite(content: bytes, at: int) -> bytes:
    return content[:at] + struct.pack("<Q", 2**63 - 1) + content[at + 8 :]


@pytest.mark.parametrize("file", [coreml.MODEL, coreml.ROOT / "weights" / "weight.bin"], ids=["model", "weights"])
def test_any_damage_ends_in_one_line_or_in_a_result(whole: Path, tmp_path: Path, file: Path) -> None:
    path = Path(shutil.copytree(whole, tmp_path / "damaged.mlpackage"))
    original, places = (path / file).read_bytes(), np.random.default_rng(0)
    image, outcomes = random(1, 3, 9, 11), set()
    for change, _ in itertools.product((truncate, flip, overwrite), range(50)):
        (path / file).write_bytes(change(original, int(places.integers(len(original)))))
        try:
            result = run(CoreMLPackage(path, native=False), image)
            outcomes.add("result")
            assert result.shape == (1, 4, 6, 7)
        except OneNetError as error:
            outcomes.add(type(error).__name__)
            assert str(error).isprintable()  # noqa: PT017  # any of many may raise
    assert outcomes >= {"result", "CheckError"}
