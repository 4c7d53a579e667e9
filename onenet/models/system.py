"""The contract of a published system: how a registry entry becomes a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor, nn

from onenet.errors import RequestError
from onenet.spec import TensorSpec


class Config(Protocol):
    """What fixes the shape of a system's network. Equal configurations give networks of one shape."""

    @property
    def channels_in(self) -> int:
        """Channels of the image."""
        ...

    @property
    def classes(self) -> int:
        """Classes of the output."""
        ...

    @property
    def divisor(self) -> int:
        """Height and width of images are multiples of this."""
        ...

    def as_dict(self) -> dict[str, object]:
        """The configuration as manifests hold it."""
        ...


class Halving:
    """What configurations share, as frozen dataclasses, whose network halves an image ``layers`` times."""

    layers: int

    @property
    def divisor(self) -> int:
        """Height and width of an input must be multiples of this: every level halves them."""
        return int(2**self.layers)

    def as_dict(self) -> dict[str, object]:
        """Field -> value, as a manifest holds it."""
        return dict(vars(self))

    def require_whole(self, what: str, names: tuple[str, ...]) -> None:
        """Refuse, with a RequestError, fields that are no whole numbers of at least 1."""
        for name in names:
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise RequestError(f"{what} {name} must be a whole number of at least 1, found {value!r}")


def given(asked: Mapping[str, object], *names: str) -> dict[str, Any]:
    """Those of some options that the user gave, by name: the others are None, or not there."""
    return {name: asked[name] for name in names if asked.get(name) is not None}


C = TypeVar("C", bound=Config)


class System(Generic[C]):
    """What a builder module (``ModelCard.builder``) holds as ``SYSTEM``."""

    def configure(
        self,
        named: Mapping[str, object],
        published: Mapping[str, object] | None,
        state: Mapping[str, Tensor] | None,
        asked: Mapping[str, object],
    ) -> C:
        """The configuration that all sides agree on.

        Args:
            named: a registry entry's options.
            published: the ``model:`` section of an official YAML configuration, which then takes the place of ``named``.
            state: a checkpoint, whose shapes fill in what nobody states.
            asked: the user's options; those that are None were not given.

        Raises:
            RequestError: options that are unknown, or contradict each other.
        """
        raise NotImplementedError

    def create(self, config: C) -> nn.Module:
        """The network, untrained."""
        raise NotImplementedError

    def name_of(self, config: C) -> str:
        """What a network is called that an official configuration describes."""
        raise NotImplementedError

    def inputs(self, config: C, size: tuple[int, int]) -> tuple[TensorSpec, ...]:
        """What the network takes: one image (height, width) of the configuration's channels, unless the system says more."""
        return (TensorSpec("image", "image", (1, config.channels_in, *size), "NCHW", value_range=(0.0, 1.0)),)

    def outputs(self, config: C, size: tuple[int, int]) -> tuple[str, tuple[TensorSpec, ...]] | None:
        """Task and outputs of a network that takes more than one image; None where they are read off what it returns."""
        del config, size
        return None

    def refuse_onenet_options(self, what: str, published: Mapping[str, object] | None, asked: Mapping[str, object]) -> None:
        """Refuse, with a RequestError, what only OneNets have.

        Args:
            what: the network, with its article: ``a U-Net``.
            published, asked: as ``configure`` takes them.
        """
        if published is not None:
            raise RequestError(f"official configurations describe OneNets; leave --config out for {what}")
        foreign = [f"--{name}" for name in ("kernel", "spatial") if asked.get(name) is not None]
        if foreign:
            raise RequestError(f"{', '.join(foreign)} shape OneNets; {what} has no spatial 1D convolution like theirs")

    def own_keys(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A checkpoint under this system's own names: as it is, unless the system knows others' names for its parts."""
        return dict(state)
