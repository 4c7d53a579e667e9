"""The same input gives the same bytes, in another process with other hash seeds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from onenet.files import sha256_of

EXPORT = """
from pathlib import Path
import sys
import onenet
from onenet.quiet import quiet
with quiet():
    model = onenet.lower(onenet.build("onenet-ed4", random_weights=True, width=4, spatial=False, input_size=(32, 48)))
    images = onenet.load_samples(Path(sys.argv[2]), 32, 48, limit=4)
    quantized = onenet.calibrate(model, images)
    for target in ("tflite", "onnx", "coreml"):
        onenet.export(model, target=target, out=sys.argv[1], evaluation=images)
        onenet.export(quantized, target=target, out=sys.argv[1], evaluation=images)
"""


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    from onenet.calibration.images import default_calibration

    for seed in ("1", "2"):
        command = [sys.executable, "-c", EXPORT, str(tmp_path / seed), str(default_calibration())]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
    first = {path.name: sha256_of(path) for path in (tmp_path / "1").iterdir()}
    second = {path.name: sha256_of(path) for path in (tmp_path / "2").iterdir()}
    assert len(first) == 12
    assert first == second
