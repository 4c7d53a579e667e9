"""The training examples: what they train is the registry's network, and the prompts' masks are what they say."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import onenet
from onenet.models.segone import Denoiser, SegOneConfig

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def nuclei(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module("train_nuclei")


@pytest.fixture
def prompts(nuclei: ModuleType) -> ModuleType:
    assert nuclei  # it imports that
    return importlib.import_module("train_segone")


@pytest.mark.parametrize("name", ["onenet-ed4", "onenet-e4", "unet4", "lsnet", "u2netp"])
def test_what_is_trained_is_the_registrys_network(nuclei: ModuleType, name: str) -> None:
    network = nuclei.network_of(name, 4, seed=1).eval()
    spatial = False if name.startswith("onenet") else None
    model = onenet.build(name, width=4, classes=2, spatial=spatial, random_weights=True, seed=1)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(nuclei.logits_of(network(image))[0], nuclei.logits_of(model.module.eval()(image))[0])
    assert network.state_dict().keys() == model.module.state_dict().keys()


@pytest.mark.parametrize(
    ("name", "says"), [("onenet-e4-classifier", "classification"), ("segone", "denoiser"), ("unet", "not known")]
)
def test_what_cannot_be_trained_is_refused(nuclei: ModuleType, name: str, says: str) -> None:
    with pytest.raises(SystemExit, match=says):
        nuclei.network_of(name, 4, seed=0)


def test_the_denoiser_on_images_is_the_denoiser(prompts: ModuleType) -> None:
    torch.manual_seed(0)
    net = Denoiser(SegOneConfig(width=4, text=6, time=8)).eval()
    feeds = torch.rand(2, 3, 32, 16), torch.randn(2, 1, 32, 16), torch.randn(2, 8), torch.randn(2, 6)
    with torch.no_grad():
        torch.testing.assert_close(prompts.estimate(net, *feeds), net(*feeds))


def test_masks_of_the_prompts(prompts: ModuleType) -> None:
    nuclei = torch.zeros(8, 8, dtype=torch.long)
    nuclei[1:3, 1:3] = nuclei[5:7, 5:7] = 1
    image = torch.full((3, 8, 8), 0.05)
    image[:, 1:3, 1:3], image[:, 5:7, 5:7] = 0.6, 0.15
    assert torch.equal(prompts.wanted("nuclei", image, nuclei), nuclei)
    assert torch.equal(prompts.wanted("background", image, nuclei), 1 - nuclei)
    found = prompts.wanted("bright nuclei", image, nuclei)
    assert found.sum() == 4 and found[1, 1] == 1
    assert prompts.wanted("bright nuclei", image, torch.zeros_like(nuclei)).sum() == 0


def test_embeddings_are_seeded_and_of_length_one(prompts: ModuleType) -> None:
    table, again = prompts.embeddings(0), prompts.embeddings(0)
    assert list(table) == ["nuclei", "background", "bright nuclei"]
    for text, row in table.items():
        assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)
        np.testing.assert_array_equal(row, again[text])
    assert not np.array_equal(table["nuclei"], prompts.embeddings(1)["nuclei"])
