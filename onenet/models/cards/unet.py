"""The U-Nets that OneNet is compared with in arXiv 2411.09838 (2024), tables 1 and 2."""

from __future__ import annotations

from onenet.models import ModelCard, Published

PAPER = "arXiv 2411.09838"


CLASSIFIER = "the paper counts ImageNet's classifier, which never runs: {} M"


def card(name: str, summary: str, order: int, published: Published, **options: object) -> ModelCard:
    """A registry entry of these."""
    return ModelCard(name, summary, "onenet.models.unet", options, paper=PAPER, order=order, published=published)


MODELS = (
    card(
        "unet4",
        "U-Net, 4 levels: the paper's baseline",
        20,
        Published(31.04, 124.03, 104.72, 509.61),
        encoder="unet",
        layers=4,
    ),
    card("unet5", "U-Net, 5 levels", 21, Published(124.42, 497.41, 130.80, 524.29), encoder="unet", layers=5),
    card(
        "unet-resnet34",
        "U-Net decoder on a ResNet-34",
        22,
        Published(25.05, 98.07, 29.40, 241.17, CLASSIFIER.format(0.51)),
        encoder="resnet34",
        layers=5,
    ),
    card(
        "unet-resnet50",
        "U-Net decoder on a ResNet-50",
        23,
        Published(74.07, 287.83, 84.98, 450.36, CLASSIFIER.format(2.05)),
        encoder="resnet50",
        layers=5,
    ),
    card(
        "unet-mobilenet",
        "U-Net decoder on depthwise separable convolutions",
        24,
        Published(14.40, 57.47, 83.96, 671.09),
        encoder="mobilenet",
        layers=4,
    ),
)
