"""Files from elsewhere: measured beside ours, without a golden check, and what of them is refused."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

import onenet
from onenet.errors import CheckError, RequestError
from onenet.runtimes.artifact import manifest_of
from onenet.runtimes.foreign import adopted, describe, is_foreign, layout_of
from onenet.runtimes.verify import verify


def written(folder: Path, shape: tuple[int | str, ...] = (1, 3, 8, 12), name: str = "theirs.onnx") -> Path:
    """An ONNX file as another tool writes it: the picture times two."""
    ends = [helper.make_tensor_value_info(each, TensorProto.FLOAT, shape) for each in ("x", "y")]
    two = helper.make_tensor("two", TensorProto.FLOAT, (), [2.0])
    graph = helper.make_graph([helper.make_node("Mul", ["x", "two"], ["y"])], "g", ends[:1], ends[1:], [two])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / name)
    return folder / name


def test_what_a_file_says_of_itself(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert is_foreign(path)
    said = describe(path)
    assert (said["name"], said["target"], said["precision"], said["task"]) == ("theirs", "onnx", "fp32", "segmentation")
    (feed,) = said["inputs"]  # type: ignore[misc]
    assert (feed["role"], feed["layout"], feed["value_range"]) == ("image", "NCHW", (0.0, 1.0))
    assert [layout_of(shape) for shape in ((1, 8, 8, 3), (1, 3, 8, 8), (1, 8, 8, 8), (1, 5))] == [
        "NHWC",
        "NCHW",
        "other",
        "other",
    ]


def test_open_sizes(tmp_path: Path) -> None:
    path = written(tmp_path, ("n", 3, "h", "w"))
    with pytest.raises(RequestError, match=r"theirs.onnx: the size of x is open \(\?x3x\?x\?\); export it with a fixed one"):
        describe(path)
    assert written(tmp_path, ("n", 3, 8, 12)) and describe(path)["inputs"][0]["shape"] == (1, 3, 8, 12)  # type: ignore[index]


def test_it_is_measured_without_a_golden_check(tmp_path: Path) -> None:
    path = written(tmp_path)
    found = onenet.bench(path, plan={"threads": (1,), "rounds": 3, "runs": 10, "seconds": 0}, out=tmp_path / "found")
    (line,) = found.documents.lines()
    assert found.passed and line.file == "theirs.onnx" and line.verdict == "–" and line.golden is None
    assert path.read_bytes() == written(tmp_path, name="again.onnx").read_bytes()  # the user's own stays as it is
    assert sorted(each.name for each in tmp_path.iterdir()) == ["again.onnx", "found", "theirs.onnx"]
    report = onenet.report(tmp_path / "found", out=tmp_path / "report")
    assert report
    page = (tmp_path / "report" / "report.html").read_text()
    assert "– not compared" in page and "✓ passed" not in page
    assert onenet.compare(tmp_path / "found", tmp_path / "found").passed


def test_a_copy_with_its_manifest_does_not_verify(tmp_path: Path) -> None:
    copy = adopted(written(tmp_path), tmp_path / "out")
    assert manifest_of(copy).content["source"] == {"model": "another tool"}
    assert adopted(copy, tmp_path / "out") == copy  # it has a manifest now
    assert not verify(copy).passed  # nothing was compared
    with pytest.raises(CheckError, match="carries no onenet manifest"):
        manifest_of(tmp_path / "theirs.onnx")
    json.loads((copy.parent / "theirs.onnx.json").read_text())


def test_weights_in_another_file(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "theirs.onnx.data").write_bytes(b"weights")
    with pytest.raises(RequestError, match=r"keeps its weights in theirs\.onnx\.data; a device is given one file"):
        onenet.bench(path, out=tmp_path / "found")
