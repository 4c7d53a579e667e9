"""Stored inputs and outputs, through reading a checkpoint, lowering and every runtime.

The width-8 files are of the published implementation (github.com/shbyun080/OneNet) and lie outside the repository. Those in
tests/golden were written by this repository's OneNet, in float64, when it gave the published outputs to 1e-5: they keep the
check where the published ones are absent.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import onenet
from onenet.base.quiet import quiet
from onenet.exporters.pipeline import float_outputs
from onenet.runtimes.artifact import open_artifact
from tests.conftest import GOLDEN

OWN = Path(__file__).parents[1] / "golden"
FILES = [GOLDEN / "onenet_ed4_width8.npz", GOLDEN / "onenet_e4_width8.npz", *sorted(OWN.glob("*.npz"))]


@pytest.mark.parametrize("target", ["tflite", "onnx"])
@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_a_checkpoint_gives_its_stored_output_in_every_runtime(file: Path, target: str, tmp_path: Path) -> None:
    if not file.exists():
        pytest.skip(f"the published implementation's output {file.name} is not on this machine")
    content = np.load(file)
    state = {key[6:]: torch.from_numpy(content[key]) for key in content.files if key.startswith("state/")}
    save_file(state, tmp_path / "weights.safetensors")
    (tmp_path / "model.yaml").write_text(json.dumps({"model": json.loads(str(content["config"]))}))  # JSON is YAML
    with quiet():
        model = onenet.build(
            config=tmp_path / "model.yaml", weights=tmp_path / "weights.safetensors", input_size=content["input"].shape[2:]
        )
        artifact = onenet.export(onenet.lower(model), target=target, out=tmp_path)  # type: ignore[operator]  # a package
    expected = content["output"]
    assert expected.std() > 0.01
    for found in (
        float_outputs(model, content["input"]),
        open_artifact(artifact.path).run({"image": content["input"]})["logits"],
    ):
        assert np.abs(found - expected).max() <= 1e-5


def test_own_files_are_there() -> None:
    assert [path.stem for path in FILES[2:]] == ["onenet_e2_width4", "onenet_ed2_width4"]
