"""The published implementation's inputs and outputs, through lowering and every runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import onenet
from onenet.models.onenet import OneNet, OneNetConfig
from onenet.quiet import quiet
from onenet.runtimes.artifact import open_artifact
from tests.conftest import GOLDEN


@pytest.mark.parametrize("target", ["tflite", "onnx"])
@pytest.mark.parametrize("name", ["onenet_ed4_width8", "onenet_e4_width8"])
def test_golden_files_through_the_runtimes(name: str, target: str, tmp_path: Path) -> None:
    if not GOLDEN.exists():
        pytest.skip(f"the published implementation's golden files are not at {GOLDEN.name}/")
    content = np.load(GOLDEN / f"{name}.npz")
    network = OneNet(OneNetConfig.from_official(json.loads(str(content["config"]))))
    network.load_state_dict({k[6:]: torch.from_numpy(content[k]) for k in content.files if k.startswith("state/")})
    with quiet():
        model = onenet.lower(onenet.build(network, input_size=content["input"].shape[2:]))
        artifact = onenet.export(model, target=target, out=tmp_path)  # type: ignore[operator]  # a package to call
    found = open_artifact(artifact.path).run({"image": content["input"]})["logits"]
    assert np.abs(found - content["output"]).max() <= 1e-5
