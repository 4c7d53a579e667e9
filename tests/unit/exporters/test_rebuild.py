"""An artifact is somebody else's file: what its manifest names is neither run nor opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from onenet.cli.app import app
from onenet.errors import CheckError, RequestError
from onenet.exporters.rebuild import facts_of, rebuild
from onenet.models.facts import Facts
from onenet.runtimes import golden
from onenet.runtimes.artifact import manifest_of
from onenet.spec import TensorSpec

IMAGE = TensorSpec("image", "image", (1, 3, 8, 8), "NCHW", value_range=(0.0, 1.0))
LOGITS = TensorSpec("logits", "logits", (1, 3, 8, 8), "NCHW")
PLANTED = """
from pathlib import Path

Path(__file__).with_name("was-run").touch()


def make():
    from torch import nn

    return nn.Identity()
"""


def manifest(target: str, **source: Any) -> dict[str, Any]:
    """Of a network that returns its image, made of ``source``."""
    picture = golden.make_input(IMAGE, None)
    return {
        "schema": 1,
        "name": "planted",
        "target": target,
        "precision": "fp32",
        "inputs": [asdict(IMAGE)],
        "outputs": [asdict(LOGITS)],
        "golden": {
            "inputs": [picture],
            "outputs": [golden.make_output("logits", golden.read_input(picture, IMAGE), True, None)],
        },
        "source": source,
    }


def write_onnx(path: Path, content: dict[str, Any]) -> None:
    onnx = pytest.importorskip("onnx")
    ends = [onnx.helper.make_tensor_value_info(spec.name, onnx.TensorProto.FLOAT, spec.shape) for spec in (IMAGE, LOGITS)]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["image"], ["logits"])], "net", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.helper.set_model_props(model, {"onenet": json.dumps(content)})
    path.write_bytes(model.SerializeToString())


def write_tflite(path: Path, content: dict[str, Any]) -> None:
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    flatbuffers = pytest.importorskip("flatbuffers")
    model, entry = schema.ModelT(), schema.MetadataT()
    model.version, model.subgraphs, model.operatorCodes = 3, [schema.SubGraphT()], []
    model.buffers = [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = np.frombuffer(json.dumps(content).encode(), np.uint8)
    entry.name, entry.buffer = b"onenet", 1
    model.metadata = [entry]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


def write_coreml(path: Path, content: dict[str, Any]) -> None:
    proto = pytest.importorskip("coremltools.proto.Model_pb2")
    model = proto.Model(specificationVersion=7, mlProgram={"version": 1})
    model.description.metadata.userDefined["onenet"] = json.dumps(content)
    file = path / "Data" / "com.apple.CoreML" / "model.mlmodel"
    file.parent.mkdir(parents=True)
    file.write_bytes(model.SerializeToString())


FORMATS: dict[str, tuple[str, Callable[[Path, dict[str, Any]], None]]] = {
    "tflite": (".tflite", write_tflite),
    "onnx": (".onnx", write_onnx),
    "coreml": (".mlpackage", write_coreml),
}


def planted(folder: Path, target: str, **more: Any) -> tuple[Path, Path]:
    """An artifact whose manifest names a file of Python, inside it where it is a folder; and what running that would leave."""
    suffix, write = FORMATS[target]
    path = folder / f"planted{suffix}"
    code = (path if suffix == ".mlpackage" else folder) / "net.py"
    write(path, manifest(target, model=f"{code}:make", weights="from the factory", **more))
    code.write_text(PLANTED)
    return path, code.with_name("was-run")


@pytest.mark.parametrize("target", FORMATS)
def test_code_that_a_manifest_names_is_not_run(tmp_path: Path, target: str) -> None:
    path, trace = planted(tmp_path, target)
    assert str(manifest_of(path).source["model"]).endswith("net.py:make")
    with pytest.raises(RequestError, match=r"was made of .*net\.py:make.*, and nothing but our own .* give --model FILE"):
        rebuild(path)
    assert not trace.exists()


@pytest.mark.parametrize("target", FORMATS)
def test_the_user_s_own_model_is_run(tmp_path: Path, target: str) -> None:
    """The other way round: that the planted file does leave its trace where it is given."""
    path, trace = planted(tmp_path, target)
    with pytest.raises(RequestError, match="holds the weights None"):
        rebuild(path, model=str(manifest_of(path).source["model"]))
    assert trace.exists()


def test_the_command_runs_no_planted_code(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path, trace = planted(tmp_path, "onnx")
    result = CliRunner().invoke(app, ["verify", "--layers", str(path)])
    assert result.exit_code == 2
    assert "nothing but our own models is built from what an artifact names; give --model" in result.stderr
    assert not trace.exists()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"model": "onenet-ed4", "weights": "stolen.pt"}, "give --weights FILE"),
        ({"model": "onenet-ed4", "weights": ["shipped"]}, "give --weights FILE"),
        ({"model": ["onenet-ed4"]}, "give --model FILE"),
        ({"model": "../onenet-ed4"}, "give --model FILE"),
        ({"model": "onenet-ed4", "weights": "random", "config": "stolen.yaml"}, "holds the weights None"),
        ({"model": "onenet-ed4", "weights": "random", "config": {"width": "9" * 99}}, "is damaged"),
        ({"model": "onenet-ed4", "weights": "random", "config": {"classes": 10**9}}, "is damaged"),
        ({"model": "onenet-ed4", "weights": "random", "config": {"kernel": [3]}}, "is damaged"),
    ],
)
def test_what_a_manifest_names_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: dict[str, Any], says: str
) -> None:
    def opened(path: Path) -> None:
        pytest.fail(f"{path} was opened")

    monkeypatch.setattr("onenet.models.build.read_state", opened)
    monkeypatch.setattr("onenet.models.build.read_config", opened)
    path = tmp_path / "planted.onnx"
    content = manifest("onnx", **source)
    for tensor in (*content["inputs"], *content["outputs"]):
        tensor["shape"] = [1, 3, 32, 32]
    write_onnx(path, content)
    with pytest.raises((RequestError, CheckError), match=says):
        rebuild(path)


def test_a_manifest_says_facts_and_names_no_file() -> None:
    path = Path("net.tflite")
    said = {"mean": [0.5], "std": [0.25], "class_names": ["a", "b"], "threshold": 0.25}
    assert facts_of({"facts": said}, path) == Facts((0.5,), (0.25,), class_names=("a", "b"), threshold=0.25)
    assert facts_of({}, path) == Facts()
    for wrong in ({"class_names": "/etc/hostname"}, {"palette": "/etc/hostname"}, {"meen": 1}, ["a"], {"threshold": 2}):
        with pytest.raises(CheckError, match=r"the manifest of net\.tflite is damaged: "):
            facts_of({"facts": wrong}, path)
