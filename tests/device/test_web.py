"""``examples/web`` in a real headless Chromium: it computes what Python computes, and says what it cannot use."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import onenet
from onenet.base.images import read_image
from onenet.calibration.samples import default_evaluation
from onenet.runtimes.devices.browser import packages
from tests.device import chromium, web_site
from tests.device.shipped import NAMES, write_shipped
from tests.device.web_site import WEB, labels_of, segmented, served
from tests.device.webdriver import Page, open_page

RUN_CASES = """
const [name] = args;
const {Model} = await import("./model.js");
const {check} = await import("./cases/onenet_cases.mjs");
const bytes = async (path) => (await fetch(path)).arrayBuffer();
const text = async (path) => (await fetch(path)).text();
const model = await Model.open(await bytes(`models/${name}`), await text(`models/${name}.json`), name);
const channel = (rgb, i) => i % 4 === 3 ? 255 : rgb[(i >> 2) * 3 + i % 4];
const rgba = (rgb) => Uint8ClampedArray.from({length: rgb.length / 3 * 4}, (_, i) => channel(rgb, i));
return check({
  preprocess: (pixels, width, height) => model.preprocess(rgba(pixels), width, height),
  run: (input) => model.run(input),
  labels: (outputs, width, height) => model.labels(outputs, width, height),
}, (file) => bytes(`cases/${name}/${file}`));
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with the shipped model, its golden cases, and the packages where ``npm ci`` puts them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(chromium.CACHE))
        if reason := web_site.reason_against():
            pytest.skip(reason)
        folder = web_site.make_site(tmp_path_factory.mktemp("web") / "site")
    write_shipped(folder)
    return folder


@pytest.fixture(scope="module")
def page(site: Path) -> Iterator[Page]:
    """The page with its first model."""
    with served(site) as address, open_page(address) as page:
        says(page, "Ready.")
        yield page


def says(page: Page, text: str) -> str:
    """What the page's status line says, once that begins with ``text``."""
    page.until(lambda: page.text("#status").startswith(text), text)
    return page.text("#status")


@pytest.mark.parametrize("name", NAMES)
def test_every_step_is_pythons(page: Page, name: str) -> None:
    assert page.run(RUN_CASES, name) == []


def test_a_wrong_step_is_found(page: Page) -> None:
    wrong = page.run(RUN_CASES.replace("rgb[(i >> 2) * 3 + i % 4]", "rgb[(i >> 2) * 3 + 2 - i % 4]"), NAMES[0])
    assert [line.split(": ")[:2] for line in wrong] == [[each, "preprocessing"] for each in ("whole", "larger", "smaller")]


def test_labels_of_the_evaluation_images_are_pythons(page: Page, site: Path, tmp_path: Path) -> None:
    images = sorted((default_evaluation() / "images").iterdir())
    assert len(images) == 8
    onenet.run(site / "models" / NAMES[0], images, out=tmp_path, fit="resize")
    equal = total = 0
    for image in images:
        shutil.copy(image, site / image.name)
        labels = labels_of(page, NAMES[0], image.name)
        with Image.open(tmp_path / f"{image.stem}.mask.png") as mask:
            expected = np.asarray(mask)
        equal, total = equal + (labels == expected).sum(), total + expected.size
    assert equal / total >= 0.999


@pytest.mark.parametrize("kind", ["turned", "transparent"])
def test_pixels_of_awkward_pictures_are_pythons(page: Page, site: Path, kind: str) -> None:
    values = np.random.default_rng(0).integers(0, 256, (40, 60, 4), dtype=np.uint8)
    file = site / f"{kind}.png"
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(values[..., :3]).save(file, exif=exif)
    else:
        values[..., 3] = np.where(values[..., 3] > 127, 255, 0)  # between them, a canvas rounds in its own way
        Image.fromarray(values).save(file)
    found, expected = segmented(page, NAMES[0], file.name), read_image(file)
    assert (found["height"], found["width"]) == expected.shape[:2] == ((60, 40) if kind == "turned" else (40, 60))
    assert (np.asarray(found["pixels"]).reshape(*expected.shape[:2], 4)[..., :3] == expected).all()


def test_a_picture_and_the_camera(page: Page, site: Path) -> None:
    page.choose("#image", site / "cases" / NAMES[0] / "larger.png")
    assert re.fullmatch(r"Seen: background [\d.]+ %, nucleus [\d.]+ %\.", says(page, "Seen"))
    assert page.text("#legend") == "backgroundnucleus"
    assert float(page.text("#inference")) > 0
    size = page.run("const {width, height} = document.getElementById('overlay'); return [width, height];")
    assert size == [321, 385]
    page.run("document.getElementById('camera').click()")
    page.until(lambda: int(page.text("#count").split()[3]) >= 4, "pictures of the camera")
    page.run("document.getElementById('camera').click()")
    assert page.text("#camera") == "Start the camera"
    page.choose("#image", site / "cases" / NAMES[0] / "whole.png")
    page.until(lambda: page.run("return document.getElementById('picture').width") == 256, "the picture")


def test_the_console_holds_no_error(page: Page) -> None:
    assert page.errors() == []


BAD: dict[str, tuple[dict[str, object], str]] = {
    "a newer manifest": ({"schema": 2}, " has schema 2; this page reads 1."),
    "another file's manifest": ({"artifact": {"sha256": "0" * 64}}, " is not the file that its manifest describes"),
    "another task": ({"task": "classification"}, ": this page shows masks of one picture; the model is for classification."),
    "no manifest": ({"inputs": None}, " is no manifest of onenet."),
    "a type of no array": ({}, ": image is float16; export with --io float."),
}
"""What is changed in a manifest, and what the page says of it."""


@pytest.mark.parametrize("kind", BAD)
def test_a_model_that_cannot_be_used(page: Page, site: Path, tmp_path: Path, kind: str) -> None:
    changes, expected = BAD[kind]
    manifest = json.loads((site / "models" / f"{NAMES[1]}.json").read_text())
    if kind == "a type of no array":
        changes = {"inputs": [{**manifest["inputs"][0], "dtype": "float16"}]}
    (tmp_path / f"{NAMES[1]}.json").write_text(json.dumps({**manifest, **changes}))
    page.choose("#files", site / "models" / NAMES[1], tmp_path / f"{NAMES[1]}.json")
    page.until(lambda: expected in page.text("#status"), expected)
    assert page.text("#status").startswith(NAMES[1])


def test_files_that_cannot_be_used(page: Page, site: Path, tmp_path: Path) -> None:
    page.choose("#files", site / "models" / NAMES[0])
    says(page, "Choose two files together")
    (tmp_path / "notes.png").write_text("no picture")
    page.choose("#image", tmp_path / "notes.png")
    says(page, "notes.png is no picture that this browser can read.")
    Image.new("1", (9000, 8000)).save(tmp_path / "huge.png")
    page.choose("#image", tmp_path / "huge.png")
    says(page, "huge.png has 9000×8000 pixels; at most 64 million are shown.")


def test_a_camera_that_is_not_allowed(site: Path) -> None:
    with served(site) as address, open_page(address, camera=False) as page:
        says(page, "Ready.")
        page.run("document.getElementById('camera').click()")
        says(page, "The browser was not allowed to use the camera.")


def test_a_model_that_is_not_there(site: Path, tmp_path: Path) -> None:
    shutil.copytree(site, tmp_path / "bare", ignore=shutil.ignore_patterns("models", "node_modules", "cases"))
    with served(tmp_path / "bare") as address, open_page(address) as page:
        says(page, "models/onenet-ed4_int8.tflite is not there. README.md says how to export a model")


def test_the_list_of_models_is_what_export_writes(site: Path) -> None:
    options = re.findall(r"<option>(\S+)</option>", (WEB / "index.html").read_text())
    exported = {each.name for each in (site / "models").iterdir() if each.suffix != ".json"}
    assert set(options[:2]) == exported == set(NAMES)
    assert options[2:] == [name.replace("int8", "fp32") for name in options[:2]]


def test_the_packages_are_those_that_onenet_measures_with() -> None:
    wanted = json.loads((WEB / "package.json").read_text())["dependencies"]
    locked = json.loads((WEB / "package-lock.json").read_text())["packages"]
    assert wanted == {each.name: each.version for each in packages.PACKAGES}
    for each in packages.PACKAGES:
        assert locked[f"node_modules/{each.name}"]["integrity"] == f"sha512-{each.sha512}"
