"""Published networks of which width and classes are chosen: their configuration, and what builds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from onenet.errors import RequestError
from onenet.models.system import Halving, System, given

MEANS, DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue, by which most published networks normalise."""


class ImageNetNormalisation(nn.Module):
    """RGB in [0, 1] as networks that began on ImageNet take it. It adds nothing to a checkpoint's keys."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, values in (("mean", MEANS), ("deviation", DEVIATIONS)):
            self.register_buffer(name, torch.tensor(values).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H, W)."""
        return (image - self.mean) / self.deviation


def object_or_classes(x: Tensor) -> Tensor:
    """What a network for one object gives: its probability for one channel (N, 1, H, W); class logits for more."""
    return torch.sigmoid(x) if x.shape[1] == 1 else x


@dataclass(frozen=True)
class Scaled(Halving):
    """What fixes the shape of such a network."""

    width: int
    """Channels of its first convolution."""
    classes: int
    channels_in: int = 3
    layers: int = 5
    """Times that it halves an image."""


class ScaledSystem(System[Scaled]):
    """Builds one published network at any width.

    Args:
        what: the network, with its article.
        network: makes it.
        published: its shape as published.
        first: a checkpoint's key of the convolution that has ``width`` output channels.
        head: a checkpoint's key of the convolution that has ``classes`` output channels.
        within: prefix that this network has before the keys of its encoder; a checkpoint without it, and with ``layer1``, is
            torchvision's.
    """

    def __init__(
        self, what: str, network: Callable[[Scaled], nn.Module], published: Scaled, first: str, head: str, within: str = ""
    ) -> None:
        self.what, self.network, self.published = what, network, published
        self.first, self.head, self.within = first, head, within

    def configure(
        self,
        named: Mapping[str, object],
        published: Mapping[str, object] | None,
        state: Mapping[str, Tensor] | None,
        asked: Mapping[str, object],
    ) -> Scaled:
        """A checkpoint fills in width and classes."""
        self.refuse_onenet_options(self.what, published, asked)
        changes: dict[str, Any] = {**(self.shape_of(state) if state else {}), **named}
        changes |= given(asked, "width", "classes")
        config = replace(self.published, **changes)
        config.require_whole(self.what, ("width", "classes"))
        return config

    def shape_of(self, state: Mapping[str, Tensor]) -> dict[str, int]:
        """Width and classes of a checkpoint, as far as it has them.

        Raises:
            RequestError: the checkpoint is not such a network's.
        """
        first, head = state.get(self.first), state.get(self.head)
        if first is None or first.dim() != 4:
            raise RequestError(f"the checkpoint is not of {self.what}: it lacks {self.first}")
        return {"width": first.shape[0], **({} if head is None else {"classes": head.shape[0]})}

    def create(self, config: Scaled) -> nn.Module:
        """The network, untrained."""
        return self.network(config)

    def own_keys(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A torchvision ResNet's checkpoint as the encoder's part, where there is such an encoder; any other as it is."""
        if not self.within or "layer1.0.conv1.weight" not in state:
            return dict(state)
        return {self.within + key: value for key, value in state.items() if not key.startswith("fc.")}
