"""The trained baselines on the shipped images: int8 keeps what they learned."""

from __future__ import annotations

from pathlib import Path

import pytest

import onenet
from onenet.base.quiet import quiet
from onenet.calibration.samples import default_evaluation
from onenet.exporters.options import ExportOptions
from onenet.targets import suffixes
from tests.shared import few


@pytest.mark.parametrize(("name", "target"), few([(n, t) for n in ("unet4", "lsnet") for t in suffixes()], 5))
def test_a_trained_baseline_keeps_its_accuracy_in_int8(name: str, target: str, tmp_path: Path) -> None:
    with quiet():
        (made,) = onenet.export_all(
            ExportOptions(model=name, target=(target,), int8=True, out=tmp_path, evaluation=default_evaluation())
        )
    assert made.quality is not None and made.quality.images == 8
    assert made.quality.float_scores["miou"] >= 0.85
    assert made.quality.scores["miou"] >= made.quality.float_scores["miou"] - 0.01
