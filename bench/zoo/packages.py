"""The packages that public networks come from, in a folder of their own: the developer's environment stays as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.networks import ROOT
from onenet.base.files import publish, temporary_folder
from onenet.errors import ToolError

REQUIREMENTS = ("timm==1.0.31", "segmentation-models-pytorch==0.6.0", "torchvision==0.28.0")
"""Without what they depend on, which would bring another torch. transformers comes with the converters already."""
FOLDER = ROOT / "build" / "zoo" / "packages"
STAMP = "requirements.txt"


def install() -> Path:
    """The folder that holds the packages, made the first time.

    Raises:
        ToolError: they cannot be installed.
    """
    wanted = "\n".join(REQUIREMENTS) + "\n"
    if (FOLDER / STAMP).exists() and (FOLDER / STAMP).read_text() == wanted:
        return FOLDER
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(FOLDER.parent) as scratch:
        target = scratch / "packages"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), *REQUIREMENTS]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ToolError(f"the zoo's packages cannot be installed: {done.stderr.strip().splitlines()[-1]}")
        (target / STAMP).write_text(wanted)
        publish(target, FOLDER)
    return FOLDER


def environment(folder: Path) -> dict[str, str]:
    """The environment of a process that imports them: one thread, nothing downloaded."""
    places = os.pathsep.join([str(ROOT), str(folder)])
    return {**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1"}


def define_torchvision_operators() -> None:
    """torchvision's wheels for other builds of torch import once these two exist, and no network here calls them."""
    import torch

    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
