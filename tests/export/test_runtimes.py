"""The real runtimes on small real artifacts: signatures, values, manifests, damage."""

from __future__ import annotations

import gc
import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from onenet.base.quiet import quiet
from onenet.errors import CheckError, RequestError, ToolError
from onenet.runtimes import open_session, read_manifest
from onenet.runtimes.backends import litert, onnxruntime
from onenet.runtimes.backends.coreml import package as coreml

with quiet():
    import flatbuffers
    import litert_torch
    import onnx
    import torch
    from ai_edge_litert import schema_py_generated as schema
    from onnx import TensorProto, helper, numpy_helper
    from torch import Tensor, nn

Array = NDArray[Any]
SUFFIXES = (".onnx", ".tflite", ".mlpackage")


class Net(nn.Module):
    """Two layers; takes ``image`` (1, 3, 6, 8), gives ``logits`` (1, 2, 6, 8)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.second(torch.relu(self.first(image)))
        return result


class Named(Net):
    def forward(self, image: Tensor) -> dict[str, Tensor]:  # type: ignore[override]  # the converter takes names from it
        return {"logits": super().forward(image)}


@pytest.fixture(scope="module")
def image() -> Array:
    return np.random.default_rng(0).integers(0, 256, (1, 3, 6, 8)).astype(np.float32) / np.float32(255)


@pytest.fixture(scope="module")
def expected(image: Array) -> Array:
    with torch.no_grad():
        result: Array = Net()(torch.from_numpy(image)).numpy()
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``net.onnx``, ``net.tflite`` and ``net.mlpackage`` of the same network, without a manifest."""
    out = tmp_path_factory.mktemp("artifacts")
    example = (torch.zeros(1, 3, 6, 8),)
    with quiet():
        make_onnx(out / "net.onnx")
        litert_torch.convert(Named().eval(), sample_kwargs={"image": example[0]}).export(str(out / "net.tflite"))
        make_coreml(out / "net.mlpackage")
        gc.collect()
    return out


def make_onnx(path: Path) -> None:
    state = {name.replace(".", "_"): value.numpy() for name, value in Net().state_dict().items()}
    nodes = [
        helper.make_node("Conv", ["image", "first_weight", "first_bias"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "second_weight", "second_bias"], ["logits"]),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "height", 8])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2, "height", 8])]
    save_onnx(path, nodes, inputs, outputs, state)


def save_onnx(path: Path, nodes: Any, inputs: Any, outputs: Any, constants: dict[str, Array]) -> None:
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def make_coreml(path: Path) -> None:
    import coremltools as ct

    program = torch.export.export(Net().eval(), (torch.zeros(1, 3, 6, 8),)).run_decompositions({})
    model = ct.convert(
        program,
        inputs=[ct.ImageType("image", (1, 3, 6, 8), scale=1 / 255)],
        outputs=[ct.TensorType("logits", dtype=np.float32)],
        minimum_deployment_target=ct.target.iOS16,
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
    )
    model.save(str(path))


@pytest.fixture
def package(folder: Path, tmp_path: Path) -> Path:
    """A copy of the Core ML package that a test may damage."""
    return Path(shutil.copytree(folder / "net.mlpackage", tmp_path / "copy.mlpackage"))


# ---- signatures and values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_names_shapes_and_dtypes_are_the_artifact_s(folder: Path, suffix: str) -> None:
    session = open_session(folder / f"net{suffix}")
    height = -1 if suffix == ".onnx" else 6
    assert [(t.name, t.shape, t.dtype) for t in session.inputs] == [("image", (1, 3, height, 8), "float32")]
    assert [(t.name, t.shape, t.dtype) for t in session.outputs] == [("logits", (1, 2, height, 8), "float32")]
    assert all(t.scale is None for t in [*session.inputs, *session.outputs])
    assert set(session.runtime.as_dict()) == {"name", "version", "kernels"}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("threads", [None, 1])
def test_values(folder: Path, image: Array, expected: Array, suffix: str, threads: int | None) -> None:
    session = open_session(folder / f"net{suffix}", threads)
    assert session.runs_here
    session.run({"image": image * 0 + 9})  # what ran before must not show
    result = session.run({"image": image})
    assert list(result) == ["logits"]
    assert result["logits"] == pytest.approx(expected, abs=1e-5)
    first = result["logits"].copy()
    session.run({"image": image * 0})
    assert (result["logits"] == first).all()  # results are copies, not views of the runtime's memory


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("feeds", "text"),
    [
        ({}, "takes inputs image; found none"),
        ({"args_0": np.zeros((1, 3, 6, 8), np.float32)}, "takes inputs image; found args_0"),
        ({"image": np.zeros((1, 6, 8, 3), np.float32)}, "found float32 1x6x8x3"),
        ({"image": np.zeros((1, 3, 6, 8), np.uint8)}, "found uint8 1x3x6x8"),
    ],
)
def test_wrong_feeds_are_refused_before_the_runtime_sees_them(
    folder: Path, suffix: str, feeds: dict[str, Array], text: str
) -> None:
    with pytest.raises(RequestError, match=text):
        open_session(folder / f"net{suffix}").run(feeds)


def test_an_open_axis_of_an_onnx_file(folder: Path) -> None:
    session = open_session(folder / "net.onnx")
    for height in (2, 5):
        assert session.run({"image": np.zeros((1, 3, height, 8), np.float32)})["logits"].shape == (1, 2, height, 8)


# ---- damage -------------------------------------------------------------------------------------------------------

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: content[:0],
    "garbage": lambda content: b"\xff" * len(content),
    "half": lambda content: content[: len(content) // 2],
    "beginning": lambda content: content[:100],
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_one_line(
    folder: Path, tmp_path: Path, suffix: str, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"bad{suffix}"
    if suffix == ".mlpackage":
        shutil.copytree(folder / "net.mlpackage", path)
    inner = path / coreml.MODEL if suffix == ".mlpackage" else path
    original = folder / f"net{suffix}" / coreml.MODEL if suffix == ".mlpackage" else folder / f"net{suffix}"
    inner.write_bytes(DAMAGES[damage](original.read_bytes()))
    with pytest.raises(ToolError, match=f"bad{suffix}") as caught:
        open_session(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # no banner of the runtime's own


def test_an_onnx_name_that_is_not_utf_8_is_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes((folder / "net.onnx").read_bytes().replace(b"logits", b"logit\xaa"))
    with pytest.raises(ToolError, match=r"cannot load bad\.onnx"):
        open_session(tmp_path / "bad.onnx")


def test_a_tflite_name_that_is_not_utf_8_is_one_line(tmp_path: Path) -> None:
    make_relu(tmp_path / "relu.tflite", name=b"bad\xff")
    with pytest.raises(ToolError, match=r"cannot load relu\.tflite"):
        open_session(tmp_path / "relu.tflite")


@pytest.mark.parametrize("damage", ["empty", "garbage", "beginning"])
def test_a_damaged_tflite_file_has_no_operators_and_no_manifest(folder: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "bad.tflite"
    path.write_bytes(DAMAGES[damage]((folder / "net.tflite").read_bytes()))
    for ask in (litert.operators, read_manifest):
        with pytest.raises(ToolError, match=r"bad\.tflite is"):
            ask(path)


# ---- manifests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_artifact_without_a_manifest(folder: Path, suffix: str) -> None:
    assert read_manifest(folder / f"net{suffix}") is None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_embedded_manifest_is_read(folder: Path, tmp_path: Path, suffix: str) -> None:
    manifest = {"schema": 1, "name": "nét", "inputs": [], "outputs": []}
    path = with_manifest(folder / f"net{suffix}", tmp_path, json.dumps(manifest, ensure_ascii=False))
    assert read_manifest(path) == manifest
    assert open_session(path).inputs == open_session(folder / f"net{suffix}").inputs


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_manifest_that_is_not_json_fails_its_check(folder: Path, tmp_path: Path, suffix: str) -> None:
    with pytest.raises(CheckError, match="is not JSON"):
        read_manifest(with_manifest(folder / f"net{suffix}", tmp_path, "{"))


def with_manifest(source: Path, out: Path, text: str) -> Path:
    path = out / source.name
    if source.suffix == ".onnx":
        model = onnx.load(source)
        helper.set_model_props(model, {"author": "x", "onenet": text})
        path.write_bytes(model.SerializeToString())
    elif source.suffix == ".tflite":
        flat = unpack(source)
        buffer, entry = schema.BufferT(), schema.MetadataT()
        buffer.data = np.frombuffer(text.encode(), np.uint8)
        flat.buffers.append(buffer)
        entry.name, entry.buffer = b"onenet", len(flat.buffers) - 1
        flat.metadata = [*(flat.metadata or []), entry]
        path.write_bytes(pack(flat))
    else:
        shutil.copytree(source, path)
        spec = coreml.read_model(path)
        spec.description.metadata.userDefined["onenet"] = text
        (path / coreml.MODEL).write_bytes(spec.SerializeToString())
    return path


# ---- ONNX Runtime -------------------------------------------------------------------------------------------------


def make_qdq(path: Path, weights: NDArray[np.int8], step: float) -> None:
    """x (1, K) float -> Q/DQ -> times int8 weights (K, O) -> Q/DQ -> y (1, O); x in [0, 1], weights in steps of 1."""
    constants = {
        "x_scale": np.float32(1 / 255),
        "x_zero": np.int8(-128),
        "w_scale": np.float32(1),
        "w_zero": np.int8(0),
        "y_scale": np.float32(step),
        "y_zero": np.int8(-128),
        "w": weights,
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "x_scale", "x_zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["wd"]),
        helper.make_node("MatMul", ["xd", "wd"], ["m"]),
        helper.make_node("QuantizeLinear", ["m", "y_scale", "y_zero"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "y_scale", "y_zero"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, len(weights)])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, weights.shape[1]])]
    save_onnx(path, nodes, inputs, outputs, {name: np.asarray(value) for name, value in constants.items()})


def simulate(x: Array, weights: NDArray[np.int8], step: float) -> Array:
    """The float meaning of ``make_qdq``'s graph, in float64."""
    quantized = (np.clip(np.rint(x * 255), 0, 255) / 255).astype(np.float64)
    result: Array = np.clip(np.rint(quantized @ weights / step), 0, 255) * step
    return result


def test_exact_int8_is_the_float_simulation(tmp_path: Path) -> None:
    # Sums of pairs up to 2 * 255 * 127 do not fit 16 bits: a kernel without VNNI saturates here.
    weights = np.random.default_rng(1).integers(64, 128, (64, 16)).astype(np.int8)
    x = np.random.default_rng(2).random((1, 64)).astype(np.float32)
    make_qdq(tmp_path / "q.onnx", weights, step=20.0)
    exact = open_session(tmp_path / "q.onnx", exact_int8=True)
    assert exact.runtime.kernels == "QDQ as float"
    assert exact.run({"x": x})["y"] == pytest.approx(simulate(x, weights, 20.0))
    plain = open_session(tmp_path / "q.onnx")
    vnni = onnxruntime.has_vnni()
    assert ("VNNI" in plain.runtime.kernels) == (vnni is not None)
    assert ("may saturate" in plain.runtime.kernels) == (vnni is False)
    if vnni is not False:
        assert plain.run({"x": x})["y"] == pytest.approx(simulate(x, weights, 20.0))


def test_exact_int8_does_not_use_integer_kernels(tmp_path: Path) -> None:
    # 255 * 127 * 70000 does not fit 32 bits: any integer kernel overflows, on every CPU; float does not.
    weights = np.full((70000, 1), 127, np.int8)
    x = np.ones((1, 70000), np.float32)
    make_qdq(tmp_path / "q.onnx", weights, step=1e5)
    expected = simulate(x, weights, 1e5)
    assert open_session(tmp_path / "q.onnx", exact_int8=True).run({"x": x})["y"] == pytest.approx(expected)
    assert open_session(tmp_path / "q.onnx").run({"x": x})["y"] != pytest.approx(expected)


def test_a_float_model_says_so(folder: Path) -> None:
    assert open_session(folder / "net.onnx").runtime.kernels == "float"


def test_the_scale_of_an_int8_input_comes_from_the_manifest(tmp_path: Path) -> None:
    nodes = [helper.make_node("DequantizeLinear", ["x", "s", "z"], ["y"])]
    inputs = [helper.make_tensor_value_info("x", TensorProto.INT8, [2])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])]
    constants: dict[str, Array] = {"s": np.array(0.5, np.float32), "z": np.array(3, np.int8)}
    save_onnx(tmp_path / "q.onnx", nodes, inputs, outputs, constants)
    assert open_session(tmp_path / "q.onnx").inputs[0].scale is None
    (tmp_path / "with").mkdir()
    entries = {"inputs": [{"name": "x", "scale": 0.5, "zero_point": 3}], "outputs": [{"name": "y", "scale": None}]}
    path = with_manifest(tmp_path / "q.onnx", tmp_path / "with", json.dumps(entries))
    session = open_session(path)
    assert (session.inputs[0].dtype, session.inputs[0].scale, session.inputs[0].zero_point) == ("int8", 0.5, 3)
    assert session.run({"x": np.array([3, 5], np.int8)})["y"].tolist() == [0.0, 1.0]
    broken = with_manifest(tmp_path / "q.onnx", tmp_path, '{"inputs": ["x"], "outputs": []}')
    with pytest.raises(CheckError, match="no readable inputs"):
        open_session(broken)


def test_an_unknown_onnx_operator_is_a_tool_error(tmp_path: Path) -> None:
    nodes = [helper.make_node("NoSuchOperator", ["x"], ["y"], domain="nowhere")]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [2])] for name in "xy"]
    graph = helper.make_graph(nodes, "test", *ends)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("nowhere", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=9)
    (tmp_path / "op.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ToolError, match=r"cannot load op\.onnx: .*NoSuchOperator"):
        open_session(tmp_path / "op.onnx")


# ---- LiteRT -------------------------------------------------------------------------------------------------------


def unpack(path: Path) -> Any:
    return schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)


def pack(model: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def make_relu(path: Path, *, custom: str | None = None, open_axis: bool = False, name: bytes = b"x") -> None:
    """x int8 (1, 4) -> RELU (or a custom operator) -> y int8 (1, 4); scale 0.5, zero point -3; no signature."""
    model, graph, code, operator = schema.ModelT(), schema.SubGraphT(), schema.OperatorCodeT(), schema.OperatorT()
    number = schema.BuiltinOperator.CUSTOM if custom else schema.BuiltinOperator.RELU
    code.builtinCode = code.deprecatedBuiltinCode = number
    code.version, code.customCode = 2, custom
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0], [1]
    graph.tensors = []
    for each in (name, b"y"):
        tensor, quantization = schema.TensorT(), schema.QuantizationParametersT()
        quantization.scale, quantization.zeroPoint = [0.5], [-3]
        tensor.name, tensor.shape, tensor.type, tensor.buffer = each, [1, 4], schema.TensorType.INT8, 0
        tensor.shapeSignature = [1, -1] if open_axis else None
        tensor.quantization = quantization
        graph.tensors.append(tensor)
    graph.inputs, graph.outputs, graph.operators = [0], [1], [operator]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT()]
    path.write_bytes(pack(model))


def test_an_int8_file_without_a_signature(tmp_path: Path) -> None:
    make_relu(tmp_path / "relu.tflite")
    session = open_session(tmp_path / "relu.tflite")
    for spec, name in ((session.inputs[0], "x"), (session.outputs[0], "y")):
        assert (spec.name, spec.shape, spec.dtype, spec.scale, spec.zero_point) == (name, (1, 4), "int8", 0.5, -3)
    result = session.run({"x": np.array([[-128, -4, -3, 100]], np.int8)})["y"]
    assert result.tolist() == [[-3, -3, -3, 100]]
    assert litert.operators(tmp_path / "relu.tflite") == [("RELU", ("int8", "int8"))]


def test_an_open_axis_of_a_tflite_file(tmp_path: Path) -> None:
    make_relu(tmp_path / "relu.tflite", open_axis=True)
    session = open_session(tmp_path / "relu.tflite")
    assert session.inputs[0].shape == (1, -1)
    for length in (2, 7, 1):
        x = np.arange(length, dtype=np.int8)[None]
        assert (session.run({"x": x})["y"] == x).all()


def test_a_custom_operator_is_a_tool_error_and_is_listed(tmp_path: Path) -> None:
    make_relu(tmp_path / "custom.tflite", custom="Mystery")
    with pytest.raises(ToolError, match=r"cannot load custom\.tflite: .*Mystery"):
        open_session(tmp_path / "custom.tflite")
    assert litert.operators(tmp_path / "custom.tflite") == [("Mystery", ("int8", "int8"))]


def test_operators_are_the_file_s_and_leave_weights_out(folder: Path) -> None:
    found = litert.operators(folder / "net.tflite")
    assert [name for name, _ in found if name != "TRANSPOSE"] == ["CONV_2D", "CONV_2D"]
    assert all(dtypes == ("float32", "float32") for _, dtypes in found)
    assert open_session(folder / "net.tflite").runtime.kernels == "XNNPACK, 1 partition"


def test_inputs_and_outputs_keep_the_graph_s_order_and_may_share_a_name(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, zebra: Tensor, ant: Tensor) -> dict[str, Tensor]:
            return {"zebra": zebra - ant, "ant": ant * 2}

    examples = {"zebra": torch.zeros(1, 4), "ant": torch.zeros(1, 4)}
    with quiet():
        litert_torch.convert(Two().eval(), sample_kwargs=examples).export(str(tmp_path / "two.tflite"))
    session = open_session(tmp_path / "two.tflite")
    assert sorted(t.name for t in session.inputs) == sorted(t.name for t in session.outputs) == ["ant", "zebra"]
    details = session.interpreter.get_input_details()  # type: ignore[attr-defined]
    assert [t.name for t in session.inputs] == [d["name"].removeprefix("serving_default_") for d in details]
    result = session.run({"ant": np.full((1, 4), 3, np.float32), "zebra": np.full((1, 4), 10, np.float32)})
    assert {name: value[0, 0] for name, value in result.items()} == {"zebra": 7.0, "ant": 6.0}


# ---- Core ML ------------------------------------------------------------------------------------------------------


def test_a_core_ml_package_is_read_and_checked(folder: Path) -> None:
    package = coreml.CoreMLPackage(folder / "net.mlpackage")
    assert [name for name in package.operations if name not in ("const", "mul", "cast")] == ["conv", "relu", "conv"]
    assert package.inputs[0].layout == "NCHW"
    assert package.inputs[0].value_range == (0.0, 1.0)
    package.check()


def weights(package: Path) -> Path:
    return package / coreml.ROOT / "weights" / "weight.bin"


def first_offset(package: Path) -> int:
    blocks = coreml.main_blocks(coreml.read_model(package), package)
    values = (v for block in blocks for v in coreml.values_of(block) if v.WhichOneof("value") == "blobFileValue")
    return int(next(values).blobFileValue.offset)


def remove(package: Path) -> None:
    weights(package).unlink()


def overwrite_sentinel(package: Path) -> None:
    content = bytearray(weights(package).read_bytes())
    struct.pack_into("<I", content, first_offset(package), 0xDEAD)
    weights(package).write_bytes(bytes(content))


def cut_data(package: Path) -> None:
    weights(package).write_bytes(weights(package).read_bytes()[: first_offset(package) + 65])


def cut_entry(package: Path) -> None:
    weights(package).write_bytes(weights(package).read_bytes()[:64])


def rewrite(change: Callable[[Any], None]) -> Callable[[Path], None]:
    def apply(package: Path) -> None:
        spec = coreml.read_model(package)
        change(spec)
        (package / coreml.MODEL).write_bytes(spec.SerializeToString())

    return apply


def point_outside(spec: Any) -> None:
    for block in coreml.main_blocks(spec, Path("x")):
        for value in coreml.values_of(block):
            if value.WhichOneof("value") == "blobFileValue":
                value.blobFileValue.fileName = "@model_path/../../../../etc/passwd"


def become_identity(spec: Any) -> None:
    spec.identity.SetInParent()


def lose_main(spec: Any) -> None:
    del spec.mlProgram.functions["main"]


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (remove, r"lacks its weight file weights/weight\.bin"),
        (overwrite_sentinel, "begins 0xdead, not 0xdeadbeef"),
        (cut_data, r"weight\.bin ends at"),
        (cut_entry, r"lies outside weight\.bin of 64 bytes"),
        (rewrite(point_outside), "outside the package"),
        (rewrite(become_identity), "type identity; supported: mlProgram"),
        (rewrite(lose_main), "no function main; found none"),
    ],
)
def test_a_damaged_package_fails_its_check(package: Path, damage: Callable[[Path], None], text: str) -> None:
    damage(package)
    with pytest.raises(CheckError, match=text) as caught:
        coreml.CoreMLPackage(package).check()
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_model_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "x.mlpackage").mkdir()
    with pytest.raises(ToolError, match="is not a Core ML package"):
        open_session(tmp_path / "x.mlpackage")


def test_reading_a_package_does_not_import_coremltools(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from onenet.runtimes import open_session;"
        "open_session(Path(sys.argv[1])).check(); assert 'coremltools' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(folder / "net.mlpackage")], check=True)
