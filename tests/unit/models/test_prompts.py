"""Texts and their embeddings: by a tiny random CLIP text encoder on disk, and in a model's signature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import onenet
from onenet.errors import RequestError
from onenet.model import Model
from onenet.models.prompts import clip_embeddings, with_prompts
from tests.clip import SIZE, text_encoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_encoder(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def model() -> Model:
    return onenet.build("segone", width=2, random_weights=True, input_size=(16, 16))


def test_each_text_has_its_own_embedding_of_length_1(folder: Path) -> None:
    found = clip_embeddings(folder, ["nuclei", "background", "bright nuclei"])
    assert list(found) == ["nuclei", "background", "bright nuclei"]
    assert all(each.shape == (SIZE,) and each.dtype == np.float32 for each in found.values())
    assert all(np.linalg.norm(each) == pytest.approx(1, abs=1e-5) for each in found.values())
    assert not np.allclose(found["nuclei"], found["background"], atol=1e-4)
    # the padding of a batch changes nothing
    np.testing.assert_allclose(clip_embeddings(folder, ["nuclei"])["nuclei"], found["nuclei"], atol=1e-5)


def test_a_model_carries_its_texts(model: Model) -> None:
    embedding = np.linspace(-1, 1, SIZE, dtype=np.float32)
    made = with_prompts(model, {"nuclei": embedding, "cells": embedding[None] / 3})
    prompts = made.spec.source["prompts"]
    assert list(prompts) == ["nuclei", "cells"]
    np.testing.assert_allclose(prompts["nuclei"], embedding, atol=1e-6)
    np.testing.assert_allclose(prompts["cells"], embedding / 3, atol=1e-6)
    assert "prompts" not in model.spec.source and made.spec.source["model"] == "segone"


def test_what_does_not_fit_is_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="the embedding of 'x' has 3 values, segone takes 512"):
        with_prompts(model, {"x": np.zeros(3, np.float32)})
    image_only = onenet.build("unet4", width=2, random_weights=True, input_size=(16, 16))
    with pytest.raises(RequestError, match="unet4 takes image, and no text"):
        with_prompts(image_only, {})
    with pytest.raises(RequestError, match="holds no CLIP text encoder"):
        clip_embeddings(tmp_path, ["x"])
