"""When there is no picture, and why; pictures are made in ``tests/export/test_classification.py`` and ``test_command.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from onenet.calibration.samples import Samples
from onenet.exporters.preview import preview
from onenet.exporters.results import ExportedArtifact
from onenet.models.build import build

IMAGES = Samples.of_images("noise", np.zeros((2, 3, 8, 8), np.float32))


@pytest.mark.parametrize(
    ("net", "evaluation"),
    [
        (nn.Conv2d(3, 2, 1), None),
        (nn.Sequential(nn.Flatten(), nn.Linear(192, 1)), IMAGES),  # one number: no classes to draw
    ],
)
def test_nothing_to_draw(net: nn.Module, evaluation: Samples | None, tmp_path: Path) -> None:
    artifact = ExportedArtifact(tmp_path / "net.onnx", {}, 0, 0.0, None, None)
    path, reason = preview(artifact, build(net, input_size=(8, 8)), evaluation)
    assert path is None and reason is not None
    assert "something that can be drawn" in reason
    assert list(tmp_path.iterdir()) == []
