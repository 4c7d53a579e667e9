"""Layer by layer: clean artifacts are right in every layer, and each planted fault is found in the layer where it is."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from PIL import Image
from torch import Tensor, nn
from torch.fx import GraphModule
from typer.testing import CliRunner

import onenet
from onenet.base.quiet import quiet
from onenet.cli.app import app
from onenet.errors import CheckError, RequestError
from onenet.exporters import tflite
from onenet.exporters.exporter import exporter_of
from onenet.exporters.job import Job
from onenet.exporters.layers import Reference, compare, first_bad_layer
from onenet.exporters.pipeline import make_job
from onenet.exporters.rebuild import rebuild
from onenet.lowering import ArrangedModule
from onenet.lowering.graph import copied
from onenet.lowering.operators import DEQUANTIZE, QUANTIZE, aten
from onenet.models.build import build
from onenet.runtimes.artifact import open_artifact, sidecar_of
from onenet.runtimes.layers import describe, side_by_side
from onenet.targets import suffixes
from tests.conftest import smooth_images
from tests.export.conftest import Artifacts, images_of, model_of, quantized_of
from tests.export.faults import FORMATS, flip_high_bit, reverse_rows
from tests.shared import few

TARGETS = list(suffixes())
KINDS = [(precision, target) for precision in ("int8", "fp32") for target in TARGETS]
SKIP = ("conv2d_5", "relu_5")
"""Of the net ``ed``: its ReLU has a scale with negative values, which its concatenation shares."""
STRIDED = ("conv2d_4", "relu_4")
HEAD = ("conv2d_18", "logits")


class Branches(nn.Module):
    """Nobody's OneNet: a residual, a strided shortcut, ReLU6, an odd shuffle; as many channels as rows and columns."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.left = nn.Conv2d(8, 8, 3, padding=1)
        self.right = nn.Conv2d(8, 8, 1)
        self.deep = nn.Conv2d(16, 12, 1)
        self.head = nn.Conv2d(11, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image).relu()
        left = (self.left(x) + x).relu()
        both = torch.cat([left, nn.functional.relu6(self.right(x))], 1)
        up = nn.functional.pixel_shuffle(self.deep(both), 2)
        wide = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
        return self.head(torch.cat([up, wide], 1))


@functools.cache
def foreign() -> Any:
    torch.manual_seed(3)
    with quiet():
        model = onenet.lower(build(Branches, input_size=(16, 16)))
        return onenet.calibrate(model, list(smooth_images(8, 3, 16, 16)))


@functools.cache
def reference_of(name: str, target: str, precision: str) -> Reference:
    quantized = foreign() if name == "foreign" else quantized_of(name)
    return Reference(make_job(quantized if precision == "int8" else quantized.model, target, precision, "float"))


@pytest.fixture(scope="session")
def foreign_artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("foreign")
    return {t: onenet.export(foreign(), target=t, out=folder, verify=False).path for t in TARGETS}  # type: ignore[operator]


def faulty(path: Path, target: str, plant: Callable[[Any], None], folder: Path) -> Path:
    """A copy of an artifact with a fault in it."""
    copy = folder / path.name
    (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
    artifact = FORMATS[target](copy)
    plant(artifact)
    artifact.save()
    return copy


# --- clean ----------------------------------------------------------------


@pytest.mark.parametrize(("precision", "target"), [*KINDS, ("fp16", "tflite"), ("fp16", "coreml"), ("w8", "onnx")])
def test_every_layer_of_a_clean_artifact_is_right(precision: str, target: str, artifacts: Artifacts) -> None:
    path = artifacts("ed", target, precision).path
    job = make_job(quantized_of("ed") if precision == "int8" else model_of("ed"), target, precision, "float")
    profile = compare(Reference(job), path)
    assert profile.passed, describe(profile)
    computing = [layer for layer in profile.layers if not layer.moves]
    assert [layer.name for layer in computing[:3]] == ["conv2d", "conv2d_1", "conv2d_2"]
    assert len(computing) == 21  # 19 convolutions, 2 concatenations
    assert (profile.target, profile.precision) == (target, precision)
    floor = {"fp32": 100, "fp16": 50, "int8": 15, "w8": 15}[precision]
    assert all(layer.float_db is not None and layer.float_db > floor for layer in computing)
    assert all((layer.alone.max_steps is not None) == (precision == "int8") for layer in computing)


@pytest.mark.parametrize(("name", "target"), [("e, batch of two", "coreml"), ("ed, spatial", "tflite")])
def test_every_layer_of_other_nets_is_right(name: str, target: str, artifacts: Artifacts) -> None:
    profile = compare(reference_of(name, target, "int8"), artifacts(name, target, "int8").path)
    assert profile.passed, describe(profile)
    assert {layer.name for layer in profile.layers} >= {"conv2d", "conv2d_9", "cat", "cat_1"}


@pytest.mark.parametrize("target", TARGETS)
def test_every_layer_of_somebody_else_s_net_is_right(target: str, foreign_artifacts: dict[str, Path]) -> None:
    """Its ReLU6 is one with the convolution before it, as a ReLU is."""
    profile = compare(reference_of("foreign", target, "int8"), foreign_artifacts[target])
    assert profile.passed, describe(profile)
    seen = {layer.name for layer in profile.layers}
    assert seen >= {"conv2d", "conv2d_1", "conv2d_2", "cat", "conv2d_3", "upsample_nearest2d", "conv2d_4"}
    assert all(name.startswith("permute") for name in profile.missing)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_watching_changes_nothing_in_onnxruntime(precision: str, artifacts: Artifacts) -> None:
    artifact = open_artifact(artifacts("ed", "onnx", precision).path)
    feeds = {"image": images_of("ed")[:1]}
    expected = artifact.run(feeds)["logits"]
    layers = artifact.session.layers(feeds)  # type: ignore[attr-defined]
    (logits,) = [layers[name].floats() for name in ("conv2d_18", "logits") if name in layers]
    np.testing.assert_array_equal(logits, expected)


# --- faults in a finished artifact ----------------------------------------

FAULTS: dict[str, tuple[tuple[str, ...], Callable[[Any], None]]] = {
    "swapped concat": (("cat_1",), lambda file: file.swap_concat(("cat_1",))),
    "dropped ReLU": (SKIP, lambda file: file.drop_relu(SKIP)),
    "wrong activation scale": (STRIDED, lambda file: file.scale_activation(STRIDED, 1.1)),
    "activation scale 1 % off": (("conv2d_9",), lambda file: file.scale_activation(("conv2d_9",), 1.01)),
    "wrong weight scale": (STRIDED, lambda file: file.scale_weight(STRIDED)),
    "flipped weight bit": (HEAD, lambda file: file.edit_weight(HEAD, flip_high_bit)),
    "kernel upside down": (STRIDED, lambda file: file.edit_weight(STRIDED, reverse_rows)),
}
IN_INT8_ONLY = ("wrong activation scale", "activation scale 1 % off", "wrong weight scale")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("precision", "fault"), [("int8", f) for f in FAULTS] + [("fp32", f) for f in FAULTS if f not in IN_INT8_ONLY]
)
def test_a_fault_is_found_where_it_is(precision: str, fault: str, target: str, artifacts: Artifacts, tmp_path: Path) -> None:
    layer, plant = FAULTS[fault]
    path = faulty(artifacts("ed", target, precision).path, target, plant, tmp_path)
    profile = compare(reference_of("ed", target, precision), path)
    bad = profile.first_bad_layer
    assert bad is not None
    assert bad.name == layer[0], describe(profile)
    assert ("another scale" in str(bad.wrong)) == ("activation scale" in fault)
    before = profile.layers[: profile.layers.index(bad)]
    assert not any(each.wrong for each in before)
    if "activation scale" not in fault:  # what comes behind it is right on what it is given
        assert [each.name for each in profile.layers if each.wrong] == [layer[0]]


@pytest.mark.parametrize(("precision", "target"), KINDS)
def test_a_shuffle_in_the_wrong_order_is_found(precision: str, target: str, artifacts: Artifacts, tmp_path: Path) -> None:
    layer = ("pixel_shuffle",) if target == "coreml" else ("permute_1",)
    path = faulty(artifacts("ed", target, precision).path, target, lambda file: file.mix_pixels(layer), tmp_path)
    profile = compare(reference_of("ed", target, precision), path)
    assert profile.first_bad_layer is not None
    assert profile.first_bad_layer.operators == layer


@pytest.mark.parametrize("target", TARGETS)
def test_a_fault_in_somebody_else_s_net(target: str, foreign_artifacts: dict[str, Path], tmp_path: Path) -> None:
    path = faulty(foreign_artifacts[target], target, lambda file: file.swap_concat(("cat",)), tmp_path)
    profile = compare(reference_of("foreign", target, "int8"), path)
    assert profile.first_bad_layer is not None
    assert profile.first_bad_layer.name == "cat"


def test_a_fault_in_the_shipped_model(artifacts: Artifacts, tmp_path: Path) -> None:
    layer = ("conv2d_13", "relu_12")
    clean = artifacts("onenet-ed4", "tflite", "int8").path
    reference = reference_of("onenet-ed4", "tflite", "int8")
    assert compare(reference, clean).passed
    path = faulty(clean, "tflite", lambda file: file.edit_weight(layer, flip_high_bit), tmp_path)
    profile = compare(reference, path)
    assert [each.operators for each in profile.layers if each.wrong] == [layer]


@pytest.mark.parametrize("target", few(TARGETS, 3))
def test_a_failing_export_names_the_layer_and_writes_nothing(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = exporter_of(target)
    convert = exporter.convert

    def broken(job: Job, path: Path) -> None:
        convert(job, path)
        file = FORMATS[target](path)
        file.edit_weight(STRIDED, reverse_rows)
        file.save()

    monkeypatch.setattr(exporter, "convert", broken)
    says = r"failed its check of values of logits: .*The first bad layer is conv2d_4, relu_4 \(module encoder\): "
    with pytest.raises(CheckError, match=says) as caught:
        onenet.export(quantized_of("ed"), target=target, out=tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


# --- faults of a converter ------------------------------------------------


def swap_concat(module: GraphModule) -> None:
    node = [n for n in module.graph.nodes if n.target is aten.cat.default][1]
    node.args = (list(node.args[0])[::-1], *node.args[1:])


def double_scale(module: GraphModule) -> None:
    """Of the value that the fifth convolution stores."""
    relu = [n for n in module.graph.nodes if n.target in (aten.relu.default, aten.relu_.default)][4]
    (quantize,) = [user for user in relu.users if user.target is QUANTIZE]
    for node in (quantize, *[user for user in quantize.users if user.target is DEQUANTIZE]):
        node.args = (node.args[0], 2 * node.args[1], *node.args[2:])


@pytest.mark.parametrize(
    ("target", "break_it", "layer"),
    few(
        [
            ("tflite", swap_concat, ("cat_1",)),
            ("tflite", double_scale, STRIDED),
            ("onnx", double_scale, STRIDED),
            ("coreml", swap_concat, ("cat_1",)),
        ],
        2,
    ),
)
def test_a_converter_s_fault_is_found(
    target: str, break_it: Callable[[GraphModule], None], layer: tuple[str, ...], artifacts: Artifacts, tmp_path: Path
) -> None:
    job = make_job(quantized_of("ed"), target, "int8", "float")
    module = copied(job.arranged.module)
    break_it(module)
    module.recompile()
    broken = dataclasses.replace(job)
    broken.__dict__["arranged"] = ArrangedModule(module, ())
    path, clean = tmp_path / job.file_name, artifacts("ed", target, "int8").path
    exporter = exporter_of(target)
    exporter.convert(broken, path)
    exporter.embed(path, json.dumps(open_artifact(clean).manifest.content))
    found = first_bad_layer(job, path)
    assert re.match(rf"The first bad layer is {', '.join(layer)}( \(module \S+\))?: ", found), found


# --- names ----------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_tensors_have_the_names_of_their_operators(precision: str, artifacts: Artifacts) -> None:
    graph = tflite.unpack(artifacts("ed", "tflite", precision).path.read_bytes()).subgraphs[0]
    names = [tensor.name.decode() for tensor in graph.tensors]
    assert len(set(names)) == len(names)
    assert {"image", "logits", "relu_3", "relu_14", "cat", "cat_1", "conv2d.weight", "conv2d_18.bias"} <= set(names)
    job = make_job(quantized_of("ed") if precision == "int8" else model_of("ed"), "tflite", precision, "float")
    ends = {"image", "logits"}
    known = {node.name for node in job.program.graph.nodes} | ends | {f"{name}_float" for name in ends}
    assert {name.partition(".")[0] for name in names} <= known


def test_a_tensor_s_name_says_which_constant_it_is(artifacts: Artifacts) -> None:
    model = tflite.unpack(artifacts("ed", "tflite", "int8").path.read_bytes())
    graph = model.subgraphs[0]
    convolutions = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D)
    ends = []
    for operator in graph.operators:
        if tflite.code_of(model, operator) in convolutions:
            ends.append([graph.tensors[i].name.decode() for i in operator.inputs[1:]])
    assert ends == [[f"{name}.weight", f"{name}.bias"] for name in ["conv2d", *(f"conv2d_{i}" for i in range(1, 19))]]


# --- the table, the picture, the command -----------------------------------


def test_layers_of_several_artifacts_stand_side_by_side(artifacts: Artifacts) -> None:
    profiles = [compare(reference_of("ed", t, "int8"), artifacts("ed", t, "int8").path) for t in TARGETS]
    rows = side_by_side(profiles)
    everywhere = [row for row in rows if None not in row.layers]
    assert len(everywhere) == 21
    for row in everywhere:
        reference = {round(each.reference_float_db or 0, 3) for each in row.layers if each}
        assert len(reference) == 1, row.operators  # one calibration: the simulation is the same in each target's form
    assert any(row.layers[0] and not row.layers[2] for row in rows)  # reshape, which Core ML has none of


@pytest.fixture(scope="module")
def net_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The net ``ed`` as a user has his own: a file and a factory in it."""
    path = tmp_path_factory.mktemp("net") / "net.py"
    path.write_text("from tests.export.conftest import network_of\n\n\ndef make():\n    return network_of('ed')\n")
    return f"{path}:make"


@pytest.mark.parametrize("precision", ["int8", "fp32", "w8"])
def test_an_artifact_s_network_is_built_again(precision: str, artifacts: Artifacts, net_file: str) -> None:
    path = artifacts("ed", "onnx", precision).path
    job = rebuild(path, model=net_file)
    assert (job.target, job.precision) == ("onnx", precision)
    if precision == "int8":
        assert job.quantized is not None
        assert job.quantized.record == quantized_of("ed").record
    image = torch.from_numpy(images_of("ed")[:1])
    original = quantized_of("ed").reference if precision == "int8" else model_of("ed").module
    again = job.quantized.reference if precision == "int8" and job.quantized else job.model.module
    torch.testing.assert_close(again(image), original(image), rtol=0, atol=0)


def test_what_cannot_be_built_again_says_what_to_give(artifacts: Artifacts, net_file: str, tmp_path: Path) -> None:
    path = artifacts("ed", "onnx", "int8").path
    with pytest.raises(RequestError, match=r"give --model FILE\.py:FACTORY"):
        rebuild(path)
    with pytest.raises(RequestError, match=r"holds the weights .*, onenet-ed4 has 73b8132b9a73"):
        rebuild(path, model="onenet-ed4")
    alone = tmp_path / path.name
    shutil.copy(path, alone)
    with pytest.raises(RequestError, match=f"the calibration of {path.name} is in {path.name}.json"):
        rebuild(alone, model=net_file)
    beside = json.loads(sidecar_of(path).read_text())
    beside["calibration_record"]["sites"] = {}
    sidecar_of(alone).write_text(json.dumps(beside))
    with pytest.raises(RequestError, match="is damaged; export it again"):
        rebuild(alone, model=net_file)


def test_a_shipped_model_is_built_again_from_its_manifest_alone(artifacts: Artifacts) -> None:
    job = rebuild(artifacts("onenet-ed4", "tflite", "int8").path)
    assert job.quantized is not None
    assert job.quantized.record == quantized_of("onenet-ed4").record


CONFIG = """
model: {name: SEGONE, num_layers: 2, bottleneck_channel: 4, channel_out: 3, channel_in: 3, bottleneck_repeat: 1, kernel_size: 0}
data: {resolution: [16, 24]}
"""


def test_a_network_of_a_file_is_built_again_from_that_file(tmp_path: Path) -> None:
    config, weights = tmp_path / "net.yaml", tmp_path / "net.pth"
    config.write_text(CONFIG)
    model = onenet.build(config=config, random_weights=True)
    torch.save(model.module.state_dict(), weights)
    for given, text in (
        ({"config": config, "random_weights": True}, r"give --model FILE\.py:FACTORY, or --config FILE"),
        ({"config": config, "weights": weights}, r"give --model FILE\.py:FACTORY, or --config FILE"),
    ):
        lowered = onenet.lower(onenet.build(**given))  # type: ignore[arg-type]  # options of build
        path = onenet.export(lowered, target="onnx", out=tmp_path, verify=False).path  # type: ignore[operator]
        with pytest.raises(RequestError, match=text):
            rebuild(path)
        again = rebuild(path, config=config, weights=given.get("weights"))  # type: ignore[arg-type]  # a path
        assert again.model.spec.source["weights_sha256"] == model.spec.source["weights_sha256"]
    with pytest.raises(RequestError, match="give --weights FILE"):
        rebuild(path, config=config)


def test_a_network_for_tiles_is_built_again(tmp_path: Path) -> None:
    model = onenet.tile(onenet.build("onenet-ed4", input_size=(64, 96), output="labels"), 32)
    path = onenet.export(onenet.lower(model), target="onnx", out=tmp_path, verify=False).path  # type: ignore[operator]
    again = rebuild(path)
    assert again.stem == "onenet-ed4_fp32_labels_tile32"
    assert again.model.image_size == (64, 96)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["verify", *arguments], env={"COLUMNS": "80"})


def copies(artifacts: Artifacts, folder: Path) -> dict[str, Path]:
    found = {}
    for target in TARGETS:
        path = artifacts("ed", target, "int8").path
        found[target] = folder / path.name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, found[target])
        shutil.copy(sidecar_of(path), sidecar_of(found[target]))
    return found


def test_the_command_shows_one_table_of_all_formats(artifacts: Artifacts, net_file: str, tmp_path: Path) -> None:
    paths = copies(artifacts, tmp_path)
    done = run("--layers", "--model", net_file, *map(str, paths.values()))
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert max(map(len, lines)) <= 80 + len(str(tmp_path))
    assert sum(line.startswith("conv2d") or line.startswith("cat") for line in lines) == 12
    assert "12 of " in done.output
    assert done.output.count("are right on their own inputs.") == 3
    for path in paths.values():
        document = json.loads(path.with_name(path.name + ".layers.json").read_text())
        assert document["first_bad_layer"] is None
        assert document["layers"][0]["operators"] == ["conv2d", "relu"]
    with Image.open(tmp_path / f"{paths['tflite'].name}.layers.png") as picture:
        assert picture.size[0] == 1376


def test_the_command_names_the_first_bad_layer(artifacts: Artifacts, net_file: str, tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    paths = copies(artifacts, tmp_path / "clean")
    bad = faulty(paths["onnx"], "onnx", FAULTS["dropped ReLU"][1], tmp_path)
    shutil.copy(sidecar_of(paths["onnx"]), sidecar_of(bad))
    done = run("--layers", "--all", "--model", net_file, str(bad))
    assert done.exit_code == 1, done.output
    # How many steps depends on the weights, and they on the CPU that trained the small network.
    assert re.search(r"The first bad layer is conv2d_5, relu_5 \(module \S+\): \d\d int8 steps off \(1 allow", done.output)
    assert "try: the file was changed after its export" in done.output
    assert "try: export it again" in done.output
    assert "✗" in next(line for line in done.output.splitlines() if line.startswith("conv2d_5, relu_5"))
    with Image.open(tmp_path / f"{bad.name}.layers.png") as picture:
        colours = {colour for _, colour in picture.getcolors(1 << 24)}
    assert (0xFF, 0x2D, 0x95) in colours  # the mark at the first bad layer


def test_json_holds_the_layers(artifacts: Artifacts, net_file: str, tmp_path: Path) -> None:
    path = copies(artifacts, tmp_path)["tflite"]
    done = run("--layers", "--json", "--model", net_file, str(path))
    assert done.exit_code == 0, done.output
    (document,) = json.loads(done.stdout)
    assert document["passed"]
    assert document["layers"]["passed"]
    assert document["layers"]["runtime"]["kernels"] == "built-in, without XNNPACK"
    assert document["layers"]["layers"][0]["alone"]["max_steps"] <= 1.01


def test_options_that_need_layers_say_so(artifacts: Artifacts) -> None:
    done = run("--all", str(artifacts("ed", "onnx", "int8").path))
    assert done.exit_code == 2
    assert "--all belongs to --layers; give both" in done.output


def test_without_layers_a_failed_check_says_what_to_try(artifacts: Artifacts, tmp_path: Path) -> None:
    path = copies(artifacts, tmp_path)["onnx"]
    path.write_bytes(path.read_bytes() + b"\0")
    done = run(str(path))
    assert done.exit_code == 1
    assert "try: the file was changed after its export: take the original, or export it again" in done.output
