"""Files from elsewhere: measured beside ours, without a golden check, and what of them is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

import onenet
from onenet.errors import CheckError, RequestError
from onenet.runtimes.artifact import manifest_of
from onenet.runtimes.foreign import Elsewhere, adopted, describe, is_foreign, layout_of
from onenet.runtimes.verify import verify
from tests.unit.cli.invoked import refused, run


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


def segmenter(folder: Path, channels: int, activation: str = "Identity") -> Path:
    """Of a picture, class 1 where red is more than (0.5 - mean) / std; ``channels`` of 1 or 2."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 4, 6))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, channels, 4, 6))
    weights = np.zeros((channels, 3, 1, 1), np.float32)
    weights[-1, 0] = 1
    kernel = helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.flatten().tolist())
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node(activation, ["c"], ["y"])]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], [kernel]), opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    onnx.save(model, folder / "theirs.onnx")
    return folder / "theirs.onnx"


@pytest.mark.parametrize(("channels", "activation"), [(2, "Identity"), (1, "Identity"), (1, "Sigmoid")])
def test_pictures_run_through_it(channels: int, activation: str, tmp_path: Path) -> None:
    path = segmenter(tmp_path, channels, activation)
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:, 3:, 0], pixels[:, :3, 2] = 200, 200  # red on the right, blue on the left
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for bgr, right in ((False, True), (True, False)):
        said = Elsewhere(mean=(0.5,), std=(0.25,), bgr=bgr, class_names=("road",))
        if channels == 2:
            said = dataclasses.replace(said, class_names=("ground", "road"))
        (result,) = onenet.run(path, tmp_path / "a.png", out=tmp_path, elsewhere=said)
        with Image.open(result.file) as mask:
            labels = np.asarray(mask)
        assert labels.tolist() == [[0 if right else 1] * 3 + [1 if right else 0] * 3] * 4
    with pytest.raises(RequestError, match=r"3 class names were given; theirs\.onnx has 2 classes"):
        onenet.run(path, tmp_path / "a.png", elsewhere=Elsewhere(class_names=("a", "b", "c")))


def test_the_command_and_what_it_refuses(tmp_path: Path) -> None:
    path = segmenter(tmp_path, 2)
    Image.new("RGB", (6, 4), (255, 0, 0)).save(tmp_path / "a.png")
    result = run("run", str(path), str(tmp_path / "a.png"), "--mean", "imagenet", "--class-names", "ground,road", "--json")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "a.mask.png").exists()
    assert "--mean takes imagenet or 0-255" in refused("run", str(path), str(tmp_path / "a.png"), "--mean", "imagnet")
    ours = adopted(path, tmp_path / "out")
    assert "says itself how it takes its image" in refused("run", str(ours), str(tmp_path / "a.png"), "--bgr")
