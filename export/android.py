"""Exported models into an Android app's assets: each file, and its manifest beside it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from onenet.base.files import publish, temporary_folder
from onenet.errors import RequestError
from onenet.runtimes.artifact import sidecar_of

SOURCES = Path("app/src/main")
"""In the project of the app."""
ASSETS = SOURCES / "assets/models"
RUN_THERE = ("tflite", "onnx")
"""Targets that Android has runtimes for."""


def check_project(project: Path, targets: Sequence[str]) -> None:
    """Refuse what could not be placed, before any work.

    Raises:
        RequestError: the folder holds no Android app, or none of the targets runs on Android.
    """
    if not (project / SOURCES / "AndroidManifest.xml").is_file():
        raise RequestError(
            f"{project} is no Android project: {SOURCES}/AndroidManifest.xml is not there; give the folder of settings.gradle"
        )
    if not set(targets) & set(RUN_THERE):
        raise RequestError(
            f"--for-android was asked for with {', '.join(targets)}; an Android app runs {' and '.join(RUN_THERE)}"
        )


def place_models(artifacts: Sequence[Path], folder: Path) -> list[Path]:
    """Copy artifacts and their manifests into a folder of assets.

    Args:
        artifacts: files of targets in ``RUN_THERE``.
        folder: made where it is missing; other files there stay.

    Returns:
        The copies of the artifacts.

    Raises:
        RequestError: the folder cannot be written.
        ToolError: the disk is full.
    """
    with temporary_folder(folder) as scratch:
        for artifact in artifacts:
            for file in (artifact, sidecar_of(artifact)):
                shutil.copyfile(file, scratch / file.name)
                publish(scratch / file.name, folder / file.name)
    return [folder / artifact.name for artifact in artifacts]
