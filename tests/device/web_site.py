"""``examples/web`` with the packages that ``npm ci`` would bring, its own server, and what its code makes of pictures."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onenet.runtimes.devices.browser import packages
from tests.device import chromium, webdriver
from tests.device.webdriver import Page
from tests.house.product import REPOSITORY

WEB = REPOSITORY / "examples/web"
SEGMENT = """
const [name, picture, wholly] = args;
const {Model} = await import("./model.js");
const {decode, draw} = await import("./pictures.js");
if (globalThis.opened?.name !== name) {
  const answer = await fetch(`models/${name}`), manifest = await (await fetch(`models/${name}.json`)).text();
  globalThis.opened = {name, model: await Model.open(await answer.arrayBuffer(), manifest, name)};
}
const bitmap = await decode(await (await fetch(picture)).blob());
const {data, width, height} = draw(document.createElement("canvas"), bitmap, bitmap.width, bitmap.height);
const {labels} = await globalThis.opened.model.segment(data, width, height);
return {width, height, labels: [...labels], pixels: wholly ? [...data] : null};
"""


def reason_against() -> str | None:
    """Why no page can be tried here; None: one can. Asked with XDG_CACHE_HOME set to the tests' cache."""
    return webdriver.reason_against() or chromium.reason_against()


def make_site(folder: Path) -> Path:
    """A copy of the example without models, its packages in ``node_modules``."""
    shutil.copytree(WEB, folder, ignore=shutil.ignore_patterns("node_modules", "models"))
    for package in packages.PACKAGES:
        shutil.copytree(package.folder, folder / "node_modules" / package.name)
    return folder


@contextlib.contextmanager
def served(site: Path) -> Iterator[str]:
    """The address of the example's own server."""
    environment = {**os.environ, "PORT": "0"}
    server = subprocess.Popen(["node", "serve.mjs"], cwd=site, env=environment, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    with server.stdout as stdout:
        try:
            yield stdout.readline().strip()
        finally:
            server.terminate()
            server.wait(30)


def segmented(page: Page, name: str, picture: str) -> dict[str, Any]:
    """``width``, ``height``, ``labels`` and RGBA ``pixels`` of a picture of the site, as the page's code sees it."""
    found: dict[str, Any] = page.run(SEGMENT, name, picture, True)
    return found


def labels_of(page: Page, name: str, picture: str) -> NDArray[np.uint8]:
    """The class of each pixel (H, W)."""
    found = page.run(SEGMENT, name, picture, False)
    return np.asarray(found["labels"], np.uint8).reshape(found["height"], found["width"])
