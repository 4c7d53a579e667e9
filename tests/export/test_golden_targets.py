"""Stored inputs and outputs, through reading a checkpoint, lowering and every runtime.

Two of the four files in tests/golden are of the published implementation (tests/golden/README.md).
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import onenet
from onenet.base.quiet import quiet
from onenet.calibration.outputs import float_outputs
from onenet.runtimes.artifact import open_artifact
from tests.golden import stored
from tests.shared import few


@pytest.mark.parametrize(("name", "target"), few(itertools.product(stored.GOLDEN, ("tflite", "onnx")), 3))
def test_a_checkpoint_gives_its_stored_output_in_every_runtime(name: str, target: str, tmp_path: Path) -> None:
    golden = stored.load(name)
    save_file({key: torch.from_numpy(value) for key, value in golden.state.items()}, tmp_path / "weights.safetensors")
    (tmp_path / "model.yaml").write_text(json.dumps({"model": golden.config}))  # JSON is YAML
    with quiet():
        model = onenet.build(
            config=tmp_path / "model.yaml", weights=tmp_path / "weights.safetensors", input_size=golden.input.shape[2:]
        )
        artifact = onenet.export(onenet.lower(model), target=target, out=tmp_path)
    assert golden.output.std() > 0.01
    for output in (
        float_outputs(model, golden.input),
        open_artifact(artifact.path).run({"image": golden.input})["logits"],
    ):
        assert np.abs(output - golden.output).max() <= 1e-5
