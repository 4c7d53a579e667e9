"""The measure of the house: a toy of every kind is added by new files alone, and is seen wherever the product lists its kind.

``toybox.py`` adds the folders of ``toys/`` to the packages' paths. No file of the product knows of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.product import REPOSITORY, ROOMS

PLAIN = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
NAMES = ("toy-matrix", "toybox", "toy-runtime", "double_neg", "Toy format", "mean_error")


def run(*arguments: str, toys: bool = True, code: int = 0) -> str:
    """What ``onenet ARGUMENTS`` prints, with the toys or without."""
    module = "tests.house.toybox" if toys else "onenet.cli"
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=PLAIN, timeout=300, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + (done.stderr if code else "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks exported as toys, measured on the toy device, and the report of it."""
    out = tmp_path_factory.mktemp("toys")
    export = ("export", "--target", "toy", "--input-size", "16", "16", "--out", str(out))
    run(*export, "--model", "toy-matrix", "--random-weights")
    run(*export, "--model", "tests/house/toys/matrix.py:depth")
    plan = ("--rounds", "1", "--runs", "3", "--seconds", "0.01")
    artifacts = sorted(map(str, out.glob("*.toy")))
    run("bench", *artifacts, "--device", "toybox", *plan, "--out", str(out / "measured"))
    run("report", str(out / "measured"), "--artifacts", str(out), "--format", "html,md", "--out", str(out / "report"))
    return out


def test_the_product_knows_no_toy() -> None:
    files = [file for room in ROOMS for file in (REPOSITORY / room).rglob("*.*") if file.suffix in (".py", ".css", ".jinja")]
    assert len(files) > 100
    assert [file.name for file in files if any(name in file.read_text(encoding="utf-8") for name in NAMES)] == []


def test_without_them_they_are_unknown() -> None:
    assert "target 'toy' is not known; supported: tflite, onnx, coreml" in run("export", "--target", "toy", toys=False, code=2)


def test_target_and_device_in_help() -> None:
    assert "or toy; repeat" in " ".join(run("export", "--help").replace("│", " ").split())
    assert "toybox" in run("bench", "--help")
    assert "toybox" not in run("bench", "--help", toys=False)


def test_doctor() -> None:
    table = run("doctor")
    assert "export toy" in table
    assert "run .toy" in table
    assert "numpy" in run("doctor", "--device", "toybox")


def test_models_and_the_rule() -> None:
    assert "toy-matrix" in run("models")
    text = run("models", "show", "toy-matrix", "--lowering")
    assert "double_neg  applied once" in text
    assert "its input is no minus" in text
    assert "form for toy" in text


def test_artifacts_are_checked_and_say_what_made_them(folder: Path) -> None:
    files = sorted(path.name for path in folder.glob("*.toy"))
    assert files == ["depth_fp32.toy", "toy-matrix_fp32.toy"]
    manifests = {name: json.loads((folder / f"{name}.json").read_text()) for name in files}
    assert {manifest["target"] for manifest in manifests.values()} == {"toy"}
    rules = {rule["rule"]: rule["applied"] for rule in manifests["toy-matrix_fp32.toy"]["lowering"]["rules"]}
    assert rules["double_neg"] == 1
    assert manifests["depth_fp32.toy"]["task"] == "depth"
    assert "values of distance" in str(manifests["depth_fp32.toy"]["checks"])


def test_the_task_s_figure_is_in_the_manifest(folder: Path) -> None:
    quality = json.loads((folder / "depth_fp32.toy.json").read_text())["quality"]
    assert "mean_error" in str(quality)


def test_a_runtime_is_named(folder: Path) -> None:
    file = str(folder / "toy-matrix_fp32.toy")
    assert "values of logits" in run("verify", "--runtime", "toy-runtime", file)
    assert "toy-runtime" in run("verify", "--runtime", "onnxruntime", file, code=2)


def test_a_wrong_file_fails(folder: Path, tmp_path: Path) -> None:
    """The toy's check is a check: other numbers do not pass."""
    import numpy as np

    with np.load(folder / "toy-matrix_fp32.toy") as content:
        arrays = dict(content)
    with (tmp_path / "wrong.toy").open("wb") as file:
        np.savez(file, **{**arrays, "bias": arrays["bias"] + 0.1})
    code = "from tests.house.toybox import add_toys; add_toys(); from onenet.runtimes.parity import verify_here; "
    code += f"from pathlib import Path; assert not verify_here(Path({str(tmp_path / 'wrong.toy')!r})).passed"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, timeout=120)


def test_the_report_shows_all_of_them(folder: Path) -> None:
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    for text in ("Toy format fp32", "#7a1f5c", 'class="key c-toy"', "toybox", "toy-runtime", "mean error"):
        assert text in page, text
    assert "mean error" in (folder / "report" / "report.md").read_text(encoding="utf-8")
