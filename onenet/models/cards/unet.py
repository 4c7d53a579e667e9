"""The U-Nets that OneNet is compared with in arXiv 2411.09838 (2024), tables 1 and 2."""

from __future__ import annotations

from onenet.models import Entry

PAPER = "arXiv 2411.09838"


def entry(name: str, summary: str, order: int, **options: object) -> Entry:
    """A registry entry of these."""
    return Entry(name, summary, "onenet.models.unet", options, paper=PAPER, order=order)


MODELS = (
    entry("unet4", "U-Net, 4 levels: the paper's baseline", 20, encoder="unet", layers=4),
    entry("unet5", "U-Net, 5 levels", 21, encoder="unet", layers=5),
    entry("unet-resnet34", "U-Net decoder on a ResNet-34", 22, encoder="resnet34", layers=5),
    entry("unet-resnet50", "U-Net decoder on a ResNet-50", 23, encoder="resnet50", layers=5),
    entry("unet-mobilenet", "U-Net decoder on depthwise separable convolutions", 24, encoder="mobilenet", layers=4),
)
