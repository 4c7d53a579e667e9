"""Classification with a OneNet encoder: "unified image classification and segmentation", as OneNet's interim report is titled.

The papers (arXiv 2411.09838) train segmentation only, and give no classification head. Free choice: the one that ResNets have,
the mean of the coarsest features over the image and one linear layer. It is a 1x1 convolution of 1D kind as well.

The encoder has the keys of a OneNet's, so a segmentation checkpoint's encoder loads, and its decoder is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from onenet.errors import RequestError
from onenet.models.onenet import Encoder, OneNetConfig, changes_of, encoder_shape
from onenet.models.system import Halving, System

IMAGENET = 1000
DECODER = "decoder."
"""Keys of a segmentation checkpoint that no classifier has."""


@dataclass(frozen=True)
class ClassifierConfig(Halving):
    """What fixes a classifier's shape: an encoder's, as ``OneNetConfig`` has it, and the number of classes."""

    layers: int = 4
    width: int = 64
    classes: int = IMAGENET
    channels_in: int = 3
    kernel: int | None = 9
    repeat: int = 3

    def __post_init__(self) -> None:
        self.require_whole("classifier", ("classes",))
        if self.classes < 2:
            raise RequestError(f"a classifier needs at least 2 classes, found {self.classes}")
        _ = self.encoder  # refuses what is wrong with it

    @property
    def encoder(self) -> OneNetConfig:
        """The OneNet whose encoder it is."""
        return OneNetConfig("e", self.layers, self.width, self.classes, self.channels_in, self.kernel, self.repeat)


class Classifier(nn.Module):
    """RGB in [0, 1], ``(N, channels_in, H, W)`` -> class logits ``(N, classes)``.

    H and W must be multiples of ``config.divisor``.
    """

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        self.head = nn.Linear(config.encoder.channels[-1], config.classes)

    def forward(self, image: Tensor) -> Tensor:
        """RGB in [0, 1], (N, C, H, W) -> class logits (N, K)."""
        logits: Tensor = self.head(self.encoder(image)[-1].mean((2, 3)))
        return logits


class ClassifierSystem(System[ClassifierConfig]):
    """Builds classifiers on OneNet encoders."""

    def configure(
        self,
        named: Mapping[str, object],
        published: Mapping[str, object] | None,
        state: Mapping[str, Tensor] | None,
        asked: Mapping[str, object],
    ) -> ClassifierConfig:
        """A checkpoint fills in the encoder's shape, and the number of classes where it has the head."""
        if published is not None:
            raise RequestError("official configurations describe OneNets for segmentation; leave --config out for a classifier")
        read: dict[str, Any] = {}
        if state is not None:
            head = state.get("head.weight")
            read = {**encoder_shape(state), **({} if head is None else {"classes": head.shape[0]})}
        config = ClassifierConfig(**{**read, **named})
        return replace(config, **changes_of(asked))

    def create(self, config: ClassifierConfig) -> Classifier:
        """The network, untrained."""
        return Classifier(config)

    def own_keys(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A segmentation checkpoint without its decoder."""
        return {key: value for key, value in state.items() if not key.startswith(DECODER)}


SYSTEM = ClassifierSystem()
