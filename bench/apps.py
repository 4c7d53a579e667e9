"""Whether the apps see what Python sees: the labels of all images, of the same artifact, in each app.

    python -m bench.apps --images DIR        # half an hour; the 8 shipped evaluation images where no folder is named
    python -m bench.apps --only browser      # one app; the others keep what was measured

The apps are ``examples/web`` in a headless Chromium, the Android demo's core and runtimes on a JVM, and ``examples/pi`` on an
emulated Raspberry Pi. Each runs the shipped model, int8 and fp32, as TFLite and as ONNX. The browser is timed as well: from the
page's load to its first mask. Writes docs/benchmarks/apps.json and, from it, docs/benchmarks/apps.md; and
docs/pi.png of what the Pi drew.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

import onenet
from bench.networks import ROOT
from onenet.base.files import publish, sha256_of, temporary_folder
from onenet.base.images import find_images
from onenet.calibration.samples import default_evaluation
from onenet.cli.shared import one_line_errors
from onenet.errors import ToolError
from onenet.tasks.segmentation import Mask
from tests.device import web_site
from tests.device.pi_app import PiApp
from tests.device.webdriver import open_page

Pixels = NDArray[np.uint8]
KEPT = ROOT / "docs/benchmarks/apps.json"
BUILD = ROOT / "build/apps"
PICTURE, SHOWN, GAP = ROOT / "docs/pi.png", "onenet-ed4_int8.tflite", 8
LOADS = 5
"""Of the page, with each file, each in a browser of its own."""
FIRST_MASK = """
const [mask] = performance.getEntriesByName("mask"), [page] = performance.getEntriesByType("navigation");
const [ready] = performance.getEntriesByName("ready");
return [ready.startTime - page.loadEventEnd, mask.startTime - page.loadEventEnd];
"""


def artifacts() -> list[Path]:
    """The shipped model's files."""
    made = onenet.export_all(onenet.ExportOptions(target=("tflite", "onnx"), precision=("int8", "fp32"), out=BUILD / "models"))
    return [each.path for each in made]


def masks_here(artifact: Path, images: list[Path]) -> list[Mask]:
    """What Python makes of the images on this machine."""
    model = onenet.open_model(artifact)
    masks = [model.predict(image, fit="resize") for image in images]
    return [mask for mask in masks if isinstance(mask, Mask)]


def agreement(masks: list[Mask], found: list[Pixels]) -> dict[str, float]:
    """Share of equal labels, over all pixels and of the worst image."""
    shares = [float((mask.labels == labels).mean()) for mask, labels in zip(masks, found, strict=True)]
    sizes = [mask.labels.size for mask in masks]
    return {"labels": float(np.average(shares, weights=sizes)), "worst": min(shares)}


# ---- the apps -----------------------------------------------------------------------------------------------------


def browser(files: list[Path], images: list[Path]) -> dict[str, dict[str, Any]]:
    """By the page's own code, in a headless Chromium."""
    if reason := web_site.reason_against():
        raise ToolError(f"the page cannot be tried here: {reason}")
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        site = web_site.make_site(Path(folder, "site"))
        shutil.copytree(BUILD / "models", site / "models")
        for image in images:
            shutil.copy(image, site)
        with web_site.served(site) as address:
            with open_page(address) as page:
                for file in files:
                    labels = [web_site.labels_of(page, file.name, image.name) for image in images]
                    found[file.name] = agreement(masks_here(file, images), labels)
            for file in files:
                times = [first_mask(address, file.name, site / images[0].name) for _ in range(LOADS)]
                found[file.name] |= {"ready_ms": [each[0] for each in times], "mask_ms": [each[1] for each in times]}
    return found


def first_mask(address: str, name: str, picture: Path) -> tuple[float, float]:
    """Milliseconds from the page's load until its model is ready, and until its first mask is drawn."""
    with open_page(f"{address}?model={name}") as page:
        page.until(lambda: page.text("#status").startswith("Ready."), "the model")
        page.choose("#image", picture)
        page.until(lambda: page.text("#status").startswith("Seen"), "the mask")
        ready, mask = page.run(FIRST_MASK)
    return float(ready), float(mask)


def jvm(files: list[Path], images: list[Path]) -> dict[str, dict[str, Any]]:
    """By the Android demo's core and runtimes, with the runtimes' Android libraries for this processor."""
    build = ROOT / "build/android"
    (build / "models").mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, build / "models")
        shutil.copy(f"{file}.json", build / "models")
    command = [sys.executable, "android_demo/tools", "--jvm", "--images", str(images[0].parent)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(f"the tests on the JVM failed: {(done.stdout + done.stderr)[-1000:]}")
    rows = re.findall(r"^labels (\S+) ([\d.]+) % of \d+, worst ([\d.]+) %", done.stdout, re.MULTILINE)
    return {name: {"labels": float(share) / 100, "worst": float(worst) / 100} for name, share, worst in rows}


def pi(files: list[Path], images: list[Path]) -> dict[str, dict[str, Any]]:
    """By ``segment.py`` on an emulated Raspberry Pi; the labels are read off what it draws. fp32 would take an hour there."""
    files = [each for each in files if "int8" in each.name]
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        app = PiApp(Path(folder, "home"))
        (app.home / "photos").mkdir()
        for image in images:
            shutil.copy(image, app.home / "photos")
        for file in files:
            shutil.copy(file, app.home)
            shutil.copy(f"{file}.json", app.home)
            done = app.run("segment.py", file.name, "photos", "--out", file.suffix[1:], seconds=3600)
            if done.returncode:
                raise ToolError(f"segment.py failed on the emulated Pi: {done.stderr[-500:]}")
            masks = masks_here(file, images)
            drawn = [app.home / file.suffix[1:] / f"{image.stem}.overlay.png" for image in images]
            labels = [labels_in(mask, image, each) for mask, image, each in zip(masks, images, drawn, strict=True)]
            found[file.name] = agreement(masks, labels)
            if file.name == SHOWN:
                sheet([each for pair in zip(images, drawn, strict=True) for each in pair][:4], PICTURE)
    return found


def sheet(files: list[Path], out: Path) -> None:
    """Pictures side by side."""
    pictures = [Image.fromarray(onenet.read_image(file)) for file in files]
    height, width = max(each.height for each in pictures), sum(each.width + GAP for each in pictures) - GAP
    whole, left = Image.new("RGB", (width, height), "white"), 0
    for each in pictures:
        whole.paste(each, (left, 0))
        left += each.width + GAP
    whole.save(out, optimize=True)


def labels_in(mask: Mask, image: Path, drawn: Path) -> Pixels:
    """The labels (H, W) that an overlay was made of: the class whose colour gives this pixel. 255 where none does."""
    pixels = onenet.read_image(image)
    with Image.open(drawn) as picture:
        overlay = np.asarray(picture.convert("RGB"))
    labels = np.full(mask.labels.shape, 255, np.uint8)
    for place in reversed(range(len(mask.classes))):
        whole = Mask(np.full(mask.labels.shape, place, np.uint8), mask.classes).overlay(pixels)
        labels[(whole == overlay).all(-1)] = place
    return labels


APPS: dict[str, Callable[[list[Path], list[Path]], dict[str, dict[str, Any]]]] = {"browser": browser, "jvm": jvm, "pi": pi}


# ---- the page -----------------------------------------------------------------------------------------------------


TEXT = """# The apps beside Python

Share of the pixels whose class is Python's, for the same file: over all of {count} images (set `{images}`), and in
brackets of the worst image. Made by `python -m bench.apps`.

* **browser**: [examples/web](../../examples/web/README.md) in a headless Chromium.
* **JVM**: the core and the runtimes of [android_demo](../../android_demo/README.md), with the Android builds of ONNX
  Runtime and of TFLite 2.14 for x86-64; with five pictures of other sizes, stretched and in tiles.
* **Raspberry Pi**: [examples/pi](../../examples/pi/README.md) on an emulated Pi (qemu, arm64 Debian 12), int8 only:
  fp32 takes an hour there.

Kernels of other processors round in another way. Where two classes are equally likely, int8 then falls to the other
side.
"""
TIMES = """
## The page's first mask

Seconds from the page's load event in a headless Chromium, the median of {loads} loads and the slowest, each in a browser
of its own: until the model is ready, and until the first mask is drawn. Between the two stands the choice of a picture
by a program. 2 cores of an x86-64 server.
"""


def page(content: dict[str, Any]) -> str:
    """The figures as Markdown."""
    names = list(content["apps"])
    files = list(dict.fromkeys(file for name in names for file in content["apps"][name]))
    titles = {"browser": "browser", "jvm": "JVM", "pi": "Raspberry Pi"}
    lines = [
        TEXT.format(**content),
        f"| file | {' | '.join(titles[name] for name in names)} |",
        "|---" + "|--:" * len(names) + "|",
    ]
    for file in files:
        cells = [cell(content["apps"][name].get(file)) for name in names]
        lines.append(f"| `{file}` | {' | '.join(cells)} |")
    if "browser" in content["apps"]:
        lines += [TIMES.format(loads=LOADS), "| file | ready, s | slowest | first mask, s | slowest |", "|---|--:|--:|--:|--:|"]
        for file, row in content["apps"]["browser"].items():
            cells = [f"{f(row[key]) / 1000:.2f}" for key in ("ready_ms", "mask_ms") for f in (median, max)]
            lines.append(f"| `{file}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cell(row: dict[str, Any] | None) -> str:
    """``99.98 % (99.95 %)``."""
    return "not run" if row is None else f"{100 * row['labels']:.3f} % ({100 * row['worst']:.2f} %)"


@one_line_errors
def main(
    images: Annotated[Path | None, typer.Option(help="folder of pictures")] = None,
    only: Annotated[str, typer.Option(help="names of apps, with commas")] = ",".join(APPS),
    kept: Annotated[Path, typer.Option(help="what is measured, as JSON")] = KEPT,
) -> None:
    """Run the images through each app, and write the page."""
    pictures = find_images(images or default_evaluation() / "images")
    identity = sha256_of(images or default_evaluation() / "images")[:12]
    content = json.loads(kept.read_text()) if kept.exists() else {}
    if content.get("images") != identity:
        content = {"images": identity, "count": len(pictures), "apps": {}}
    files = artifacts()
    for name in filter(None, only.split(",")):
        began = time.monotonic()
        content["apps"][name] = APPS[name](files, pictures)
        write(content, kept)
        typer.echo(f"{name}: {time.monotonic() - began:.0f} s")
    write(content, kept)


def write(content: dict[str, Any], kept: Path) -> None:
    """What is measured, and its page."""
    content["apps"] = {name: content["apps"][name] for name in APPS if name in content["apps"]}
    with temporary_folder(kept.parent) as folder:
        (folder / kept.name).write_text(json.dumps(content, indent=1) + "\n")
        (folder / "apps.md").write_text(page(content))
        publish(folder / kept.name, kept)
        publish(folder / "apps.md", kept.with_name("apps.md"))


if __name__ == "__main__":
    typer.run(main)
