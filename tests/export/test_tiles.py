"""Artifacts made for tiles: equal to the whole image's run in every runtime, `onenet run`, and its memory."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import onenet
from onenet.base.quiet import quiet
from onenet.base.tiles import Tiling, make_grid, run_tiled
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.recipe import INT8
from onenet.calibration.samples import default_calibration, default_evaluation, load_labelled, load_samples
from onenet.cli.app import app
from onenet.errors import RequestError
from onenet.exporters.results import ExportedArtifact
from onenet.model import Model
from onenet.models.build import build
from onenet.runtimes.artifact import Artifact, manifest_of, open_artifact
from onenet.runtimes.run import image_model
from onenet.tasks.image import ImageModel, make_plan
from onenet.tasks.segmentation import TASK as SEGMENTATION
from onenet.tasks.segmentation import segment
from tests.conftest import awkward_onenet, smooth_images
from tests.export.conftest import Artifacts
from tests.shared import few

SIZE = (96, 80)
SIDES = {"ed": 32, "e": 56}
RUNTIMES = ["onnx", "tflite"]


def model_of(variant: str, kernel: int | None = None, whole: bool = True, side: int = 0) -> Model:
    """A small net for whole images of 96x80, or for tiles of them."""
    model = build(awkward_onenet(variant, kernel=kernel), input_size=SIZE)
    with quiet():
        return onenet.lower(model if whole else onenet.tile(model, side))


SAME = dataclasses.replace(INT8, estimator="min-max", bias_correction=False)
"""Extremes are the same in tiles; the values that are counted, and that biases are corrected on, are not."""


@functools.cache
def exported(folder: Path, variant: str, target: str, precision: str, whole: bool) -> ExportedArtifact:
    source = model_of(variant, whole=whole, side=SIDES[variant])
    with quiet():
        calibrated = onenet.calibrate(source, list(smooth_images(8, 3, *SIZE)), recipe=SAME) if precision == "int8" else source
    return onenet.export(calibrated, target=target, out=folder / ("whole" if whole else "tiles"))  # type: ignore[operator]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiles")


def model_in(path: Path) -> ImageModel:
    """An artifact as a task runs it."""
    return image_model(open_artifact(path))


def outputs(artifact: Artifact, image: np.ndarray) -> np.ndarray:
    feed, output = artifact.inputs[0], artifact.outputs[0]
    _, _, height, width = feed.canonical().shape
    grid = make_grid((image.shape[2], image.shape[3]), (height, width), artifact.tiling)
    return run_tiled(lambda part: artifact.run({feed.name: part})[output.name], image, grid)


@pytest.mark.parametrize(("variant", "target"), few(itertools.product(["ed", "e"], RUNTIMES), 3))
def test_fp32_tiles_are_the_whole_image(variant: str, target: str, folder: Path) -> None:
    whole, tiles = (open_artifact(exported(folder, variant, target, "fp32", each).path) for each in (True, False))
    image = smooth_images(1, 3, *SIZE)
    a, b = outputs(whole, image), outputs(tiles, image)
    assert tiles.inputs[0].canonical().shape[2:] == (SIDES[variant],) * 2
    assert np.abs(a - b).max() <= 1e-6 * np.abs(a).max()


@pytest.mark.parametrize("target", RUNTIMES)
def test_int8_tiles_are_within_one_step_of_the_whole_image(target: str, folder: Path) -> None:
    whole, tiles = (exported(folder, "ed", target, "int8", each) for each in (True, False))
    step = max(each.manifest["golden"]["outputs"][0]["scale"] for each in (whole, tiles))
    image = smooth_images(1, 3, *SIZE)
    a, b = (outputs(open_artifact(each.path), image) for each in (whole, tiles))
    assert a.std() > 5 * step  # there is something to compare
    assert np.abs(a - b).max() <= 1.01 * step


@pytest.mark.parametrize("target", few(RUNTIMES, 2))
def test_strips_of_a_network_with_spatial_convolution(target: str, tmp_path: Path) -> None:
    model = build(awkward_onenet("ed", kernel=3), input_size=(160, 40))
    with quiet():
        whole = onenet.export(onenet.lower(model), target=target, out=tmp_path)  # type: ignore[operator]
        strips = onenet.export(onenet.lower(onenet.tile(model, 40)), target=target, out=tmp_path)  # type: ignore[operator]
    assert strips.path.stem.endswith("_tile40")
    image = smooth_images(1, 3, 160, 40)
    a, b = (outputs(open_artifact(each.path), image) for each in (whole, strips))
    assert np.abs(a - b).max() <= 1e-6 * np.abs(a).max()
    with pytest.raises(RequestError, match="the widths must be equal"):
        make_plan(model_in(strips.path), (160, 48), "tile")


def test_the_manifest_says_which_tiles_are_exact(folder: Path) -> None:
    assert exported(folder, "e", "onnx", "fp32", True).manifest["tiling"] == {"patch": 8, "halo": [16, 16]}
    path = exported(folder, "e", "onnx", "fp32", False).path
    assert path.name == "OneNet_fp32_tile56.onnx"
    assert manifest_of(path).content["tiling"] == {"patch": 8, "halo": [16, 16], "image_size": [96, 80]}
    assert onenet.verify(path).passed


# --- onenet run -----------------------------------------------------------


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["run", *map(str, arguments)])


def save(path: Path, height: int, width: int) -> np.ndarray:
    """A PNG of smooth waves; its pixels."""
    pixels = (smooth_images(1, 3, height, width)[0].transpose(1, 2, 0) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_run_writes_the_mask_of_the_whole_image(folder: Path, tmp_path: Path) -> None:
    path = exported(folder, "ed", "tflite", "fp32", False).path
    pixels = save(tmp_path / "photo.png", 61, 130)
    result = run(path, tmp_path / "photo.png", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    (found,) = document["images"]
    assert (found["size"], found["tiles"], found["tile"], found["halo"]) == ([61, 130], 10, [32, 32], [0, 0])
    assert found["mask"] == str(tmp_path / "photo.mask.png")
    assert document["peak_memory_bytes"] > 10e6
    with Image.open(tmp_path / "photo.mask.png") as mask:
        assert (mask.mode, mask.size) == ("P", (130, 61))
        assert mask.getpalette()[:9] == [0, 0, 0, 0xE6, 0x9F, 0, 0x56, 0xB4, 0xE9]
        labels = np.asarray(mask)
    artifact = open_artifact(path)
    logits = outputs(artifact, (pixels.transpose(2, 0, 1)[None] / np.float32(255)).astype(np.float32))
    assert np.array_equal(labels, logits[0].argmax(0))
    assert len(np.unique(labels)) > 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photo.mask.png", "photo.png"]


def test_run_takes_folders_and_says_what_it_did(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    path = exported(folder, "e", "onnx", "fp32", False).path
    (tmp_path / "photos").mkdir()
    save(tmp_path / "photos" / "a.png", 100, 64)
    save(tmp_path / "photos" / "small.png", 30, 40)
    for _ in range(2):  # the second time the masks of the first are no images
        result = run(path, tmp_path / "photos")
        assert result.exit_code == 0, result.output
    assert sorted(p.name for p in (tmp_path / "photos").iterdir()) == [
        "a.mask.png",
        "a.png",
        "small.mask.png",
        "small.png",
    ]
    assert "100x64" in result.stdout and "6 tiles of 56x56" in result.stdout and "halo 16 rows and 16 columns" in result.stdout
    assert "30x40" in result.stdout and "resized to 96x80" in result.stdout
    assert "small.png is stretched to 96x80 and its mask back: the image is 30x40," in " ".join(result.stderr.split())
    assert all(len(line) <= 80 for line in result.stdout.splitlines()[:-1])
    with Image.open(tmp_path / "photos" / "small.mask.png") as mask:
        assert mask.size == (40, 30)


def test_fit_resize_stretches_the_image_to_what_the_model_was_made_for(folder: Path, tmp_path: Path) -> None:
    pixels = save(tmp_path / "photo.png", 96, 160)
    artifact = model_in(exported(folder, "ed", "onnx", "fp32", False).path)
    plan = make_plan(artifact, (96, 160), "resize")
    assert (plan.text, plan.grid.size, plan.grid.tile) == ("resized to 96x80", SIZE, (32, 32))
    small = np.asarray(Image.fromarray(pixels).resize((80, 96), Image.Resampling.BILINEAR))
    expected = segment(artifact, small, make_plan(artifact, SIZE))
    assert np.array_equal(segment(artifact, pixels, plan)[:, ::2], expected)


def test_run_of_a_whole_image_model_tiles_larger_images(folder: Path) -> None:
    artifact = model_in(exported(folder, "e", "onnx", "fp32", True).path)
    assert make_plan(artifact, SIZE).text == "whole"
    assert make_plan(artifact, (200, 200)).text == "12 tiles of 96x80"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing.png"], "image nothing.png does not exist"),
        (["."], ". holds no image"),
        (["photo.png", "--fit", "crop"], "fit 'crop' is not known; supported: auto, tile, resize"),
        (["photo.png", "photo.bmp"], "the results of photo.png and photo.bmp would both be photo.mask.png"),
        (["photo.png", "--fit", "tile"], "the image is 24x24, smaller than the tile 56x56, whose outer 16 pixels count only"),
        (["photo.png", "--out", "photo.png"], "output folder photo.png cannot be written"),
        (["notes.png"], "cannot read the image notes.png: not recognised as an image"),
    ],
)
def test_what_run_refuses(
    arguments: list[str], says: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = exported(folder, "e", "onnx", "fp32", False).path
    monkeypatch.chdir(tmp_path)
    if arguments != ["."]:
        save(tmp_path / "photo.png", 24, 24)
        save(tmp_path / "photo.bmp", 24, 24)
        (tmp_path / "notes.png").write_text("no image")
    result = run(path, *arguments)
    assert result.exit_code == 2
    assert says in next(line for line in result.stderr.splitlines() if line.startswith("error:"))
    assert not list(tmp_path.glob("*.mask.png"))


def test_a_network_that_gives_no_mask_is_refused(tmp_path: Path) -> None:
    io = [
        {"name": name, "role": role, "shape": [1, 3, 8, 8], "layout": "NCHW"}
        for name, role in (("x", "image"), ("y", "scores"))
    ]
    manifest = dict(schema=1, target="null", precision="fp32", inputs=io[:1], outputs=io[1:], golden={}, classes=[])
    (tmp_path / "net.null").write_text(json.dumps({"inputs": io[:1], "outputs": io[1:], "onenet": manifest}))
    save(tmp_path / "photo.png", 8, 8)
    result = run(tmp_path / "net.null", tmp_path / "photo.png")
    assert result.exit_code == 1  # it carries no golden pair either, and is checked before it is opened here
    assert "golden" in result.stderr
    with pytest.raises(RequestError) as caught:
        SEGMENTATION.check_runs(model_in(tmp_path / "net.null"))
    assert "net.null gives scores 1x3x8x8 and names 0 classes; a mask needs logits" in str(caught.value)


# --- the shipped model ----------------------------------------------------


@functools.cache
def calibrated() -> QuantizedModel:
    """The shipped ed4 in tiles."""
    with quiet():
        lowered = onenet.lower(onenet.tile(build("onenet-ed4"), 64))
        return onenet.calibrate(lowered, load_samples(default_calibration(), 256, 256))


@functools.cache
def shipped(folder: Path, target: str) -> ExportedArtifact:
    """In TFLite with its quality."""
    evaluation = load_labelled(default_evaluation(), 256, 256) if target == "tflite" else None
    return onenet.export(calibrated(), target=target, out=folder, evaluation=evaluation)  # type: ignore[operator]


def test_the_quality_in_tiles_is_the_quality_of_whole_images(folder: Path, artifacts: Artifacts) -> None:
    whole, tiles = artifacts("onenet-ed4", "tflite", "int8"), shipped(folder, "tflite")
    assert tiles.path.name == "onenet-ed4_int8_tile64.tflite"
    assert whole.quality is not None and tiles.quality is not None
    assert tiles.quality.images == whole.quality.images == 8
    assert tiles.quality.float_scores["miou"] == pytest.approx(whole.quality.float_scores["miou"], abs=1e-5)
    assert tiles.quality.scores["miou"] == pytest.approx(whole.quality.scores["miou"], abs=2e-3)


CHILD = """
import sys
from onenet.cli.app import main
try:
    main()
finally:
    assert "torch" not in sys.modules
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the system does not say how much memory a process held")
@pytest.mark.parametrize("target", few(RUNTIMES, 2))
def test_an_image_of_4096_pixels_a_side_runs_in_less_than_400_mb(target: str, folder: Path, tmp_path: Path) -> None:
    path = shipped(folder, target).path
    with Image.open(next((default_calibration()).glob("*.jpg"))) as small:
        pixels = np.asarray(small.convert("RGB").resize((256, 256)))
    Image.fromarray(np.tile(pixels, (16, 16, 1))).save(tmp_path / "large.png", compress_level=1)
    command = [sys.executable, "-c", CHILD, "run", str(path), str(tmp_path / "large.png"), "--json", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["images"][0]["tiles"] == 4096
    assert document["peak_memory_bytes"] < 400e6
    with Image.open(tmp_path / "large.mask.png") as mask:
        labels = np.asarray(mask)
    assert labels.shape == (4096, 4096)
    assert np.array_equal(labels, np.tile(labels[:256, :256], (16, 16)))  # so was the image
    assert 0 < labels.mean() < 1


def test_the_command_line_exports_tiles(tmp_path: Path) -> None:
    options = "--random-weights --width 4 --no-spatial --input-size 64 48 --tile 16 --target onnx --int8 --json"
    result = CliRunner().invoke(app, ["export", *options.split(), "--out", str(tmp_path), "--calibration-samples", "2"])
    assert result.exit_code == 0, result.output
    (path,) = tmp_path.glob("onenet-ed4_int8*_tile16.onnx")  # _x86-safe, where this CPU has no VNNI
    assert open_artifact(path).tiling == Tiling(16, (0, 0), image_size=(64, 48))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--tile 0", "a tile of 0 pixels was asked for"),
        ("--tile -16", "a tile of -16 pixels was asked for"),
        ("--tile 24", "a tile of 24 rows is no multiple of 16, the network's patch; nearest: 32"),
        ("--tile 64", "a tile of 64x64 is larger than the image of 64x48; give a tile of 16 to 48, or --input-size H W"),
    ],
)
def test_tiles_that_cannot_be_are_one_line(options: str, says: str, tmp_path: Path) -> None:
    rest = f"--random-weights --width 4 --no-spatial --input-size 64 48 --out {tmp_path}"
    result = CliRunner().invoke(app, ["export", *options.split(), *rest.split()])
    assert result.exit_code == 2
    assert says in next(line for line in result.stderr.splitlines() if line.startswith("error:"))
    assert list(tmp_path.iterdir()) == []
