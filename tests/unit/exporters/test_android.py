"""``onenet export --for-android``: files and manifests in an app's assets."""

from __future__ import annotations

from pathlib import Path

import pytest

from onenet.errors import RequestError
from onenet.exporters.android import ASSETS, check_project, place_models
from tests.house.product import REPOSITORY
from tests.unit.cli.invoked import refused


def test_files_and_manifests_lie_together_and_others_stay(tmp_path: Path) -> None:
    for name in ("a.onnx", "a.onnx.json", "b.tflite", "b.tflite.json"):
        (tmp_path / name).write_text(name)
    folder = tmp_path / "app" / ASSETS
    folder.mkdir(parents=True)
    (folder / "README").write_text("stays")
    (folder / "a.onnx").write_text("an older one")
    placed = place_models([tmp_path / "a.onnx", tmp_path / "b.tflite"], folder)
    assert placed == [folder / "a.onnx", folder / "b.tflite"]
    assert sorted(each.name for each in folder.iterdir()) == ["README", "a.onnx", "a.onnx.json", "b.tflite", "b.tflite.json"]
    assert (folder / "a.onnx").read_text() == "a.onnx"


def test_the_demo_is_a_project_and_other_folders_are_not(tmp_path: Path) -> None:
    check_project(REPOSITORY / "android_demo", ("onnx", "coreml"))
    with pytest.raises(RequestError, match=r"no Android project: app/src/main/AndroidManifest\.xml is not there"):
        check_project(tmp_path, ("onnx",))
    with pytest.raises(RequestError, match="an Android app runs tflite and onnx"):
        check_project(REPOSITORY / "android_demo", ("coreml",))


def test_a_wrong_folder_is_one_line_before_any_work(tmp_path: Path) -> None:
    assert "is no Android project" in refused("export", "--for-android", str(tmp_path))
