"""How an image of another size than the model's goes through it, and what is no model of one image."""

from __future__ import annotations

import pytest

from onenet.base.tiles import Tiling
from onenet.errors import RequestError
from onenet.spec import TensorSpec
from onenet.tasks.image import ImageModel, make_plan

IMAGE = TensorSpec("image", "image", (1, 3, 8, 12), "NCHW")
LOGITS = TensorSpec("logits", "logits", (1, 3, 8, 12), "NCHW")


def net(tiling: Tiling | None = None, *inputs: TensorSpec) -> ImageModel:
    return ImageModel("net.null", inputs or (IMAGE,), LOGITS, (), tiling, lambda batch: batch)


def test_a_plan_says_why_an_image_is_resized() -> None:
    tiled = net(Tiling(4, (0, 0)))
    assert make_plan(tiled, (8, 12)).text == "whole"
    assert make_plan(tiled, (16, 24)).text == "4 tiles of 8x12"
    assert make_plan(tiled, (16, 24), "resize").text == "resized to 8x12"
    plan = make_plan(net(), (16, 24))
    assert plan.resized and plan.reason == "no exact tiles: the artifact says nothing of tiles"
    with pytest.raises(RequestError, match=r"net.null: no exact tiles: .* --fit resize stretches the image instead"):
        make_plan(net(), (16, 24), "tile")
    with pytest.raises(RequestError, match="fit 'crop' is not known"):
        make_plan(net(), (8, 12), "crop")  # type: ignore[arg-type]  # wrong on purpose


def test_a_tile_of_larger_images_was_made_for_those() -> None:
    model = net(Tiling(4, (0, 0), image_size=(16, 24)))
    assert (model.size, model.made_for) == ((8, 12), (16, 24))
    assert make_plan(model, (30, 30), "resize").text == "resized to 16x24"


FLAT = TensorSpec("x", "embedding", (1, 8))
DEEP = TensorSpec("x", "image", (1, 4, 8, 8))


@pytest.mark.parametrize("inputs", [(IMAGE, IMAGE), (FLAT,), (DEEP,)])
def test_what_is_no_model_of_one_image(inputs: tuple[TensorSpec, ...]) -> None:
    net().check_one_image()
    with pytest.raises(RequestError, match=r"net.null takes .*; one image is needed"):
        net(None, *inputs).check_one_image()
