"""Two thousand damaged inputs: each ends in one line that says what is wrong, or in a right result.

``fuzz.py`` makes them, always the same ones, and tries them in processes of their own.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from onenet.base.quiet import quiet
from onenet.cli.app import app
from onenet.errors import ToolError
from onenet.runtimes import golden, isolated
from onenet.runtimes.artifact import sidecar_of
from onenet.runtimes.parity import verify_here
from onenet.runtimes.verify import verify
from onenet.spec import TensorSpec
from tests.export import fuzz
from tests.export.conftest import Artifacts, quantized_of
from tests.export.faults import reseal

with quiet():
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema
    from onnx import TensorProto, helper, numpy_helper

COUNTS = {"image": 500, "mask": 100, "npz": 200, "record": 200, "manifest": 400, "sidecar": 50, "artifact": 550}
MADE = (("tflite", "int8"), ("onnx", "fp32"), ("coreml", "int8"))
"""The artifacts to damage, of a small network."""
GIGABYTES = 2.0
SECONDS = 60
"""For all cases of a kind; they take a tenth of it. What is not done by then hangs."""


# --- what is damaged --------------------------------------------------------


def picture(mode: str) -> Image.Image:
    """A picture of any mode whose pixels are all different."""
    width, height = fuzz.SIDE
    rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    if mode in ("F", "I", "I;16"):
        kind = {"F": np.float32, "I": np.int32, "I;16": np.uint16}[mode]
        return Image.fromarray(rgb[..., 0].astype(kind) * kind(200))
    image = Image.fromarray(rgb)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(rgb[..., 1]))
    return image.convert(mode)


IMAGES: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "bmp": (("1", {}), ("P", {}), ("RGB", {}), ("RGBA", {})),
    "gif": (("P", {}), ("P", {"save_all": True, "append_images": [picture("L")]}), ("RGBA", {})),
    "jpg": (
        ("L", {}),
        ("RGB", {"progressive": True}),
        ("RGB", {"exif": b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0"}),
        ("CMYK", {}),
    ),
    "png": (("1", {}), ("L", {}), ("LA", {}), ("P", {"transparency": 0}), ("RGB", {}), ("RGBA", {}), ("I;16", {})),
    "ppm": (("1", {}), ("L", {}), ("RGB", {}), ("I", {})),
    "tiff": (
        ("F", {}),
        ("I;16", {"compression": "tiff_lzw"}),
        ("RGB", {"compression": "jpeg"}),
        ("RGBA", {"compression": "tiff_adobe_deflate"}),
        ("CMYK", {"compression": "packbits"}),
        ("1", {"compression": "group4"}),
        ("LAB", {}),
    ),
    "webp": (("RGB", {}), ("RGBA", {"lossless": True}), ("RGB", {"save_all": True, "append_images": [picture("L")]})),
}
"""Formats that are read, with the modes and options that take different ways through their decoders."""


def make_images(folder: Path) -> None:
    for suffix, variants in IMAGES.items():
        for number, (mode, options) in enumerate(variants):
            picture(mode).save(folder / f"{number}.{suffix}", **options)
    Image.init()
    known = {Image.registered_extensions().get(f".{suffix}") for suffix in IMAGES}
    for kind in sorted(set(Image.SAVE) - known):  # formats that are not read, under a name that is
        try:
            picture("RGB").save(content := io.BytesIO(), kind)
        except (OSError, ValueError, KeyError, DeprecationWarning):  # no such mode, a library not installed, leaving Pillow
            continue
        (folder / f"{kind}.png").write_bytes(content.getvalue())


def make_masks(folder: Path) -> None:
    for mode in ("1", "L", "P", "LA", "RGB"):
        picture(mode).save(folder / f"{mode}.png")


def make_archives(folder: Path) -> None:
    width, height = fuzz.SIDE
    values = np.random.default_rng(0).random((3, 3, height, width), np.float32)
    np.savez(folder / "floats.npz", values)
    np.savez_compressed(folder / "halves.npz", images=values.astype(np.float16).transpose(0, 2, 3, 1), other=values)
    np.savez(folder / "pixels.npz", (values * 255).astype(np.uint8).transpose(0, 2, 3, 1))
    np.savez(folder / "columns.npz", np.asfortranarray(values))


def make_null(path: Path, manifest: dict[str, Any]) -> None:
    """An artifact of the runtime that gives zeros, with a real artifact's manifest."""
    for entry in manifest["golden"]["outputs"]:
        entry["data"] = golden.encode(np.zeros(entry["shape"], entry["dtype"]) + entry.get("zero_point", 0))
    content = {"inputs": manifest["inputs"], "outputs": manifest["outputs"], "onenet": manifest}
    path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, artifacts: Artifacts) -> Path:
    """``bases/KIND`` with the files to damage."""
    root = tmp_path_factory.mktemp("fuzz")
    places = {kind: root / "bases" / kind for kind in COUNTS}
    for place in places.values():
        place.mkdir(parents=True)
    make_images(places["image"])
    make_masks(places["mask"])
    make_archives(places["npz"])
    quantized_of("ed").record.save(places["record"] / "record.json")
    for target, precision in MADE:
        path = artifacts("ed", target, precision).path
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, places["artifact"] / path.name)
        if target != "coreml":
            make_null(places["manifest"] / f"{precision}.null", json.loads(sidecar_of(path).read_bytes()))
            shutil.copyfile(path, places["sidecar"] / path.name)
            shutil.copyfile(sidecar_of(path), sidecar_of(places["sidecar"] / path.name))
    return root


# --- what becomes of it -----------------------------------------------------


def run(kind: str, folder: Path, count: int) -> list[dict[str, Any]]:
    """The outcome of each case; ``DIED`` where a case ended or kept busy the process that tried it."""
    log, done = folder / f"{kind}.jsonl", list[dict[str, Any]]()
    while len(done) < count:
        command = [sys.executable, "-m", "tests.export.fuzz", kind, str(folder), str(len(done)), str(count - len(done))]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, cwd=Path(__file__).parents[2], timeout=SECONDS, check=False)
        done = [json.loads(line) for line in log.read_text().splitlines()]
        if len(done) < count:
            done.append({"case": len(done), "outcome": "DIED", "peak": 0})
            log.write_text("".join(json.dumps(each) + "\n" for each in done))
    return done


@pytest.mark.parametrize("kind", COUNTS)
def test_damage_ends_in_one_line_or_in_a_right_result(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = run(kind, folder, COUNTS[kind])
    for each in outcomes:
        if kind == "artifact" and each["outcome"] == "DIED":  # which is what verify has a process of its own for
            monkeypatch.setattr(isolated, "SECONDS", 10.0)
            files = fuzz.bases(kind, folder)
            base = files[each["case"] % len(files)]
            with pytest.raises(ToolError, match=rf"case{base.suffix} (ended its runtime with|kept its runtime busy)"):
                again(base, folder, each["case"])
            each["outcome"] = "ToolError"
    wrong = [each for each in outcomes if each["outcome"].startswith(("WRONG", "DIED"))]
    assert not wrong, "\n".join(f"case {each['case']}: {each['outcome']}" for each in wrong)
    kinds = {each["outcome"].split(":")[0] for each in outcomes}
    assert "right" in kinds  # the damage is not such that nothing comes through
    assert len(kinds) > 1
    assert max(each["peak"] for each in outcomes) < GIGABYTES * 1e9


def again(base: Path, folder: Path, case: int) -> None:
    """``verify`` of an artifact's case."""
    scratch = folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    rng = np.random.default_rng([fuzz.SEED, list(fuzz.KINDS).index("artifact"), case])
    verify(fuzz.write(base, scratch, rng, fuzz.artifact_damaged))


# --- what only a process of its own survives -------------------------------


@pytest.fixture
def copy(tmp_path: Path, artifacts: Artifacts) -> Path:
    """A TFLite artifact without the manifest beside it."""
    return Path(shutil.copyfile(artifacts("ed", "tflite", "int8").path, tmp_path / "copy.tflite"))


def test_litert_follows_a_signature_to_a_graph_that_is_not_there(copy: Path) -> None:
    model = schema.ModelT.InitFromPackedBuf(copy.read_bytes(), 0)
    model.signatureDefs[0].subgraphIndex = 99
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    copy.write_bytes(bytes(builder.Output()))
    assert not verify(copy).passed  # it is not even opened
    reseal(copy)
    with pytest.raises(ToolError, match=r"^copy\.tflite ended its runtime with SIG\w+; it is damaged, or too large"):
        verify(copy)
    result = CliRunner().invoke(app, ["verify", str(copy)])
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)


def make_onnx(path: Path, nodes: list[Any], constants: dict[str, Any], manifest: dict[str, Any]) -> Path:
    """An ONNX file of ``image`` and ``logits`` with a manifest that fits."""
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    ends = [[helper.make_tensor_value_info(t["name"], TensorProto.FLOAT, t["shape"])] for t in (IMAGE, LOGITS)]
    model = helper.make_model(helper.make_graph(nodes, "test", *ends, tensors), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    helper.set_model_props(model, {"onenet": json.dumps(manifest)})
    path.write_bytes(model.SerializeToString())
    return path


IMAGE, LOGITS = ({"name": n, "role": n, "shape": [1, 1, 4, 4], "layout": "NCHW"} for n in ("image", "logits"))


@pytest.fixture
def fitting() -> dict[str, Any]:
    spec = TensorSpec("image", "image", (1, 1, 4, 4), "NCHW")
    pair = {"inputs": [golden.make_input(spec, None)]}
    pair["outputs"] = [golden.make_output("logits", np.zeros(spec.shape, np.float32), True, None)]
    return {"schema": 1, "target": "onnx", "precision": "fp32", "inputs": [IMAGE], "outputs": [LOGITS], "golden": pair}


def test_an_onnx_file_that_asks_for_ten_gigabytes(tmp_path: Path, fitting: dict[str, Any]) -> None:
    nodes = [
        helper.make_node("ReduceMax", ["image"], ["one"], keepdims=1),
        helper.make_node("Expand", ["one", "shape"], ["many"]),
        helper.make_node("ReduceMin", ["many"], ["few"], keepdims=1),
        helper.make_node("Add", ["image", "few"], ["logits"]),
    ]
    path = make_onnx(tmp_path / "wide.onnx", nodes, {"shape": np.array([1, 1, 50_000, 50_000])}, fitting)
    with pytest.raises(ToolError, match=r"onnxruntime failed on wide\.onnx: .*[Mm]emory") as caught:
        verify(path)
    assert "\n" not in str(caught.value)


def test_an_onnx_file_that_never_ends(tmp_path: Path, fitting: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    ends = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in (
        ("i", TensorProto.INT64, []), ("go_on", TensorProto.BOOL, []), ("old", TensorProto.FLOAT, [1, 1, 4, 4]),
        ("still", TensorProto.BOOL, []), ("new", TensorProto.FLOAT, [1, 1, 4, 4]),
    )]  # fmt: skip
    steps = [helper.make_node("Identity", ["go_on"], ["still"]), helper.make_node("Sin", ["old"], ["new"])]
    body = helper.make_graph(steps, "body", ends[:3], ends[3:])
    nodes = [helper.make_node("Loop", ["count", "true", "image"], ["logits"], body=body)]
    constants = {"count": np.int64(2**62), "true": np.bool_(True)}
    monkeypatch.setattr(isolated, "SECONDS", 5.0)
    with pytest.raises(ToolError, match=r"^endless\.onnx kept its runtime busy for 5 s"):
        verify(make_onnx(tmp_path / "endless.onnx", nodes, constants, fitting))


def test_without_damage_the_process_of_its_own_says_what_this_one_does(tmp_path: Path, artifacts: Artifacts) -> None:
    for target, precision in MADE:
        path = artifacts("ed", target, precision).path
        copied = tmp_path / path.name
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, copied)
        with quiet():
            assert verify(copied) == verify_here(copied, 1)
        assert verify(path).checks[0].passed  # with its manifest beside it, in this process
