"""What lies beside artifacts: layer profiles and pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from onenet.errors import CheckError
from onenet.runtimes.report import extras
from onenet.runtimes.report.extras import Extras
from onenet.runtimes.report.page import Report, render
from tests.unit.measured import documents, measurement
from tests.unit.runtimes.report.pages import Page, beside

pytest.importorskip("jinja2")


def test_profiles_and_pictures_beside_the_artifacts(tmp_path: Path) -> None:
    found = extras.find(beside(tmp_path), [measurement()])
    text = render(Report(documents(measurement()), None, found))
    assert "first bad layer conv2d_3: 9 int8 steps off" in Page(text).text
    assert text.count("data:image/webp") == 1


def test_those_of_another_artifact_are_left_out(tmp_path: Path) -> None:
    (beside(tmp_path) / "onenet-ed4_int8.tflite").write_bytes(b"built later")
    found = extras.find(tmp_path, [measurement()])
    assert (found.profiles, found.pictures) == ((), ())
    assert "onenet-ed4_int8.tflite.png lies beside another onenet-ed4_int8.tflite than the measured one" in found.notes[1]


@pytest.mark.parametrize("name", ["../secret", "/etc/secret", "*", "..", "", "a/../../secret"])
def test_file_names_do_not_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    beside(tmp_path, "secret")
    (tmp_path / "artifacts").mkdir()
    found = extras.find(tmp_path / "artifacts", [measurement(file=name or " ")])
    assert found == Extras()


@pytest.mark.parametrize(("suffix", "data"), [(".layers.json", b"{"), (".layers.json", b"{}"), (".png", b"no picture")])
def test_damaged_extras_are_one_clear_line(tmp_path: Path, suffix: str, data: bytes) -> None:
    beside(tmp_path).joinpath("onenet-ed4_int8.tflite" + suffix).write_bytes(data)
    with pytest.raises(CheckError, match=r"is not a layer profile: |is not a picture that can be shown: "):
        render(Report(documents(measurement()), None, extras.find(tmp_path, [measurement()])))
