"""The main job on a tiny network, in seconds: the first thing to run after a change."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

import onenet
from onenet.base.quiet import quiet
from tests.conftest import awkward_onenet

OPTIONS = "--random-weights --width 4 --no-spatial --input-size 32 48 --target tflite --int8 --calibration-samples 2 --json"


def test_build_lower_calibrate_export_verify(tmp_path: Path, images: np.ndarray) -> None:
    with quiet():
        lowered = onenet.lower(onenet.build(awkward_onenet("ed"), input_size=(32, 48)))
        artifact = onenet.export(onenet.calibrate(lowered, list(images)), target="tflite", out=tmp_path)  # type: ignore[operator]
        assert onenet.verify(artifact.path).passed


def test_the_command(tmp_path: Path) -> None:
    code = "from onenet.cli.app import export_main; export_main()"
    command = [sys.executable, "-c", code, *OPTIONS.split(), "--out", str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (artifact,) = json.loads(done.stdout)
    assert artifact["verification"]["passed"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["onenet-ed4_int8.tflite", "onenet-ed4_int8.tflite.json"]
