"""What is known of a network, applied to it: the same values as where the app did it, and nothing left to do for lowering."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import onenet
from onenet.errors import RequestError
from onenet.models.build import build
from onenet.models.facts import Facts
from onenet.models.prepare import Normalised, Reversed
from onenet.spec import ClassSpec, ModelSpec, TensorSpec
from tests.unit.refused import refused

SIZE = (12, 16)
IMAGENET = Facts((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


Numbers = tuple[float, ...]
PIXELS = [(None, None), (IMAGENET.mean, IMAGENET.std), ((0.5,), (0.25,)), ((0.0,), (1 / 255,))]


class Net(nn.Module):
    """Two convolutions; ``outputs`` channels at 1 / ``stride`` of the size."""

    def __init__(self, outputs: int = 3, stride: int = 1) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.stem, self.head = nn.Conv2d(3, 8, 3, stride, padding=1), nn.Conv2d(8, outputs, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(torch.relu(self.stem(image)))


class Mixes(Net):
    """More than a convolution takes the image."""

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image) + image.mean(1, keepdim=True)


def image() -> Tensor:
    return torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def values(model: onenet.model.Model, given: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.module(given)
    return found


@pytest.mark.parametrize("kind", [Net, Mixes])
@pytest.mark.parametrize("bgr", [False, True])
@pytest.mark.parametrize(("mean", "std"), PIXELS)
def test_pixels_are_prepared_exactly(
    kind: type[Net], bgr: bool, mean: tuple[float, ...] | None, std: tuple[float, ...] | None
) -> None:
    facts = Facts(mean, std, bgr)
    if not facts:
        return
    module = kind().eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    model = build(module, input_size=SIZE, facts=facts)
    given = image().flip(1) if bgr else image()
    expected = module((given - torch.tensor(mean or (0.0,)).reshape(-1, 1, 1)) / torch.tensor(std or (1.0,)).reshape(-1, 1, 1))
    largest = float(expected.detach().abs().max())
    assert torch.allclose(values(model, image()), expected, atol=1e-4 * largest)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())  # the user's own stays
    lowered = onenet.lower(model)
    assert torch.allclose(lowered.module(image()), expected, atol=1e-4 * largest)
    assert ("BGR" in model.spec.normalisation) == bgr
    assert model.spec.source["facts"] == facts.as_dict()


def test_bgr_turns_weights_where_it_can() -> None:
    assert isinstance(build(Net(), input_size=SIZE, facts=Facts(bgr=True)).module, Net)
    assert isinstance(build(Mixes(), input_size=SIZE, facts=Facts(bgr=True)).module, Reversed)
    both = build(Net(), input_size=SIZE, facts=Facts(mean=(0.1, 0.2, 0.3), bgr=True)).module
    assert isinstance(both, Normalised) and isinstance(both.module, Net)
    assert both.mean.flatten().tolist() == pytest.approx([0.3, 0.2, 0.1])  # type: ignore[operator]


def test_pixels_that_do_not_fit() -> None:
    refused(
        "--mean has 2 numbers, 0.1,0.2; Net takes 3 channels: give 1 or 3", Net(), input_size=SIZE, facts=Facts(mean=(0.1, 0.2))
    )
    refused("--bgr is for images of three channels", nn.Conv2d(1, 2, 1), input_size=SIZE, facts=Facts(bgr=True))


def test_outputs_of_a_lower_resolution_are_enlarged_inside() -> None:
    module = Net(stride=4).eval()
    small = build(module, input_size=SIZE)
    assert small.spec.outputs[0].shape == (1, 3, 3, 4)
    model = build(module, input_size=SIZE, facts=Facts(resize_output=True))
    assert model.spec.outputs[0].shape == (1, 3, *SIZE)
    expected = functional.interpolate(module(image()), SIZE, mode="bilinear", align_corners=False)
    assert torch.equal(values(model, image()), expected)
    refused("--resize-output enlarges one output to the image's 12x16", Net(), input_size=SIZE, facts=Facts(resize_output=True))


def test_classes_and_threshold() -> None:
    named = build(
        Net(2), input_size=SIZE, facts=Facts(class_names=("ground", "road"), palette=("#111111", "#222222", "#333333"))
    )
    assert named.spec.classes == (ClassSpec("ground", "#111111"), ClassSpec("road", "#222222"))
    assert named.spec.threshold is None
    one = build(Net(1), input_size=SIZE, facts=Facts(class_names=("cell",), threshold=0.25, ignore_index=7))
    assert [each.name for each in one.spec.classes] == ["background", "cell"]
    assert (one.spec.threshold, one.spec.ignore_index) == (0.25, 7)
    assert build(Net(1), input_size=SIZE).spec.threshold == 0.5
    refused(
        "3 class names were given (a,b,c); Net has 2 classes",
        Net(2),
        input_size=SIZE,
        facts=Facts(class_names=("a", "b", "c")),
    )
    refused("the palette has 1 colours; Net has 2 classes", Net(2), input_size=SIZE, facts=Facts(palette=("#111111",)))
    refused("--threshold 0.3 is for networks of one class", Net(2), input_size=SIZE, facts=Facts(threshold=0.3))


def test_one_class_as_probabilities_and_labels() -> None:
    module, facts = Net(1).eval(), Facts(threshold=0.25)
    logits = module(image())
    probabilities = build(module, input_size=SIZE, output="probabilities", facts=facts)
    assert probabilities.spec.outputs[0].role == "probabilities" and probabilities.spec.threshold == 0.25
    assert torch.equal(values(probabilities, image()), logits.sigmoid())
    labels = build(module, input_size=SIZE, output="labels", facts=facts)
    assert labels.spec.outputs[0].shape == (1, *SIZE)
    assert torch.equal(values(labels, image()), (logits[:, 0].sigmoid() > 0.25).int())
    ends = build(nn.Sequential(module, nn.Sigmoid()), input_size=SIZE)
    assert (ends.spec.outputs[0].role, ends.spec.threshold, len(ends.spec.classes)) == ("probabilities", 0.5, 2)


def test_a_models_own_signature_is_not_contradicted() -> None:
    feed = TensorSpec("image", "image", (1, 3, *SIZE), "NCHW", value_range=(0.0, 1.0))
    logits = TensorSpec("logits", "logits", (1, 2, *SIZE), "NCHW")
    own = (ClassSpec("a", "#000001"), ClassSpec("b", "#000002"))

    def make(**changes: object) -> tuple[nn.Module, ModelSpec]:
        return Net(2), ModelSpec("mine", "segmentation", (feed,), (logits,), own, **changes)  # type: ignore[arg-type]

    assert build(make, input_size=SIZE, facts=Facts(channels=3, class_names=("a", "b"))).spec.classes == own
    assert "mean 0.5" in build(make, facts=Facts(mean=(0.5,))).spec.normalisation
    refused("--input-size is 4,8, the ModelSpec of mine says 12,16; say it in one place", make, input_size=(4, 8))
    refused("--batch is 2, the ModelSpec of mine says 1", make, facts=Facts(batch=2))
    refused("--class-names is x,y, the ModelSpec of mine says a,b", make, facts=Facts(class_names=("x", "y")))
    refused("--output-key and --resize-output are for networks without a ModelSpec", make, facts=Facts(output_key="out"))
    refused("whose pixels are normalised: by the app", lambda: make(normalisation="by the app"), facts=Facts(mean=(0.5,)))
    with pytest.raises(RequestError, match=r"--channels describe networks of your own; onenet-ed4 has its own"):
        build("onenet-ed4", facts=Facts(channels=1))
