"""Networks of other libraries by name. transformers comes with the converters; others are tested where they are installed."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.zoo.packages import FOLDER, define_torchvision_operators
from onenet.base.quiet import quiet
from onenet.models.build import build
from onenet.models.facts import Facts
from onenet.models.libraries import facts_of_folder, size_of
from tests.unit.refused import refused

SIZE = (64, 96)


@pytest.fixture
def library(request: pytest.FixtureRequest) -> Iterator[Any]:
    """An installed library, also from where ``bench.zoo`` installs them; the test is skipped, with the reason, without it."""
    name = request.param
    before = list(sys.path)
    if FOLDER.is_dir():
        sys.path.append(str(FOLDER))
    try:
        if name == "torchvision" and importlib.util.find_spec(name) is not None and name not in sys.modules:
            define_torchvision_operators()
        try:
            with quiet():
                yield importlib.import_module(name)
        except ImportError as error:
            pytest.skip(f"{name} is not installed ({error}); python -m bench.zoo installs it into {FOLDER}")
    finally:
        sys.path[:] = before


def saved(module: torch.nn.Module, path: Path) -> Path:
    torch.save({"state_dict": {f"model.{key}": value for key, value in module.state_dict().items()}}, path)
    return path


@pytest.fixture(scope="module")
def segformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``save_pretrained`` leaves of a small SegFormer, with its preprocessor's configuration."""
    import transformers

    folder = tmp_path_factory.mktemp("hour") / "segformer-road"
    labels = {0: "ground", 1: "road", 2: "sky"}
    config = transformers.SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 16, 16, 16],
        decoder_hidden_size=16,
        num_attention_heads=[1, 1, 2, 2],
        id2label=labels,
    )
    with quiet():
        torch.manual_seed(0)
        transformers.SegformerForSemanticSegmentation(config).save_pretrained(folder)
    content = {
        "do_normalize": True,
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.2, 0.2],
        "size": {"height": 64, "width": 96},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    return folder


def test_a_folder_of_transformers_says_all_of_it(segformer: Path) -> None:
    model = build(f"hf:{segformer}")
    assert model.spec.name == "segformer-road"
    assert model.spec.inputs[0].shape == (1, 3, *SIZE)
    assert model.spec.outputs[0].shape == (1, 3, 16, 24)  # a quarter
    assert [each.name for each in model.spec.classes] == ["ground", "road", "sky"]
    assert "mean 0.5,0.4,0.3 and std 0.2,0.2,0.2" in model.spec.normalisation
    assert model.spec.source["weights"] == "trained, of segformer-road"
    own = build(f"hf:{segformer}", facts=Facts(mean=(0.1,), class_names=("a", "b", "c")), input_size=(32, 32))
    assert "mean 0.1 and std 1" in own.spec.normalisation
    assert [each.name for each in own.spec.classes] == ["a", "b", "c"]
    untrained = build(f"hf:{segformer}", random_weights=True)
    assert untrained.spec.source["weights"] == "random" and untrained.spec.outputs == model.spec.outputs


def test_weights_of_ones_own_in_a_librarys_network(segformer: Path, tmp_path: Path) -> None:
    import transformers

    with quiet():
        trained = transformers.SegformerForSemanticSegmentation.from_pretrained(segformer)
    with torch.no_grad():
        trained.decode_head.classifier.bias.fill_(3)
    model = build(f"hf:{segformer}", weights=saved(trained, tmp_path / "best.ckpt"))
    assert float(model.module.state_dict()["module.module.decode_head.classifier.bias"][0]) == 3
    assert model.spec.source["weights"] == "best.ckpt"


def test_folders_that_are_none(tmp_path: Path) -> None:
    refused("is no folder with a config.json; hf download NAME --local-dir FOLDER gets one", f"hf:{tmp_path}")
    (tmp_path / "config.json").write_text('{"architectures": ["NoSuchNetwork"]}')
    refused("names the network NoSuchNetwork, which transformers does not have", f"hf:{tmp_path}")
    (tmp_path / "preprocessor_config.json").write_text('{"do_normalize": false, "size": 48}')
    assert facts_of_folder(tmp_path, {}) == Facts(output_key="logits", input_size=(48, 48))
    assert size_of({"shortest_edge": 3}) is None


@pytest.mark.parametrize("library", ["torchvision"], indirect=True)
def test_torchvision(library: Any, tmp_path: Path) -> None:
    network = library.models.get_model("lraspp_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=2)
    weights = saved(network, tmp_path / "road.pth")
    model = build("torchvision:lraspp_mobilenet_v3_large", weights=weights, classes=2, input_size=SIZE)
    assert model.spec.task == "segmentation" and model.spec.outputs[0].shape == (1, 2, *SIZE)
    refused("torchvision has no model 'resnet19'; did you mean resnet1", "torchvision:resnet19")
    refused("--channels 4 was asked for; torchvision:resnet18 takes 3", "torchvision:resnet18", facts=Facts(channels=4))


@pytest.mark.parametrize("library", ["timm"], indirect=True)
def test_timm(library: Any, tmp_path: Path) -> None:
    weights = saved(library.create_model("lcnet_050", pretrained=False, num_classes=5), tmp_path / "best.pth.tar")
    model = build("timm:lcnet_050", weights=weights, classes=5)
    assert model.spec.task == "classification" and model.spec.outputs[0].shape == (1, 5)
    assert model.spec.inputs[0].shape == (1, 3, 224, 224)
    refused("timm has no model 'lcnet_51'; did you mean lcnet_", "timm:lcnet_51")


@pytest.mark.parametrize("library", ["segmentation_models_pytorch"], indirect=True)
def test_smp(library: Any, tmp_path: Path) -> None:
    network = library.create_model("unet", "resnet18", encoder_weights=None, classes=1)
    weights = saved(network, tmp_path / "polyp.ckpt")
    model = build("smp:unet/resnet18", weights=weights, input_size=SIZE, facts=Facts(class_names=("polyp",)))
    assert [each.name for each in model.spec.classes] == ["background", "polyp"]
    assert (model.spec.name, model.spec.threshold) == ("unet-resnet18", 0.5)
    refused("smp has no trained weights of unet/resnet18, only of encoders; give --weights FILE", "smp:unet/resnet18")
    refused("--model smp:unet names no encoder; write smp:unet/resnet34", "smp:unet", weights=weights)
