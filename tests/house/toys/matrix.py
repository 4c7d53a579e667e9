"""Builds the networks of the card ``models/matrix.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from torch import Tensor, nn

from onenet.models.system import System


@dataclass(frozen=True)
class MatrixConfig:
    """The shape of a network."""

    classes: int = 3
    channels_in: int = 3
    divisor: int = 1

    def as_dict(self) -> dict[str, object]:
        """As manifests hold it."""
        return asdict(self)


class Matrix(nn.Module):
    """(N, 3, H, W) -> (N, classes, H, W)."""

    def __init__(self, config: MatrixConfig) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(config.channels_in, 4, 1), nn.Conv2d(4, config.classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.second(self.first(image)).neg().neg()
        return result


class MatrixSystem(System[MatrixConfig]):
    """Takes what the card says, and the number of classes from the user."""

    def configure(
        self,
        named: Mapping[str, object],
        published: Mapping[str, object] | None,
        state: Mapping[str, Tensor] | None,
        asked: Mapping[str, object],
    ) -> MatrixConfig:
        del published, state
        classes = asked.get("classes") or named["classes"]
        assert isinstance(classes, int)
        return MatrixConfig(classes)

    def create(self, config: MatrixConfig) -> nn.Module:
        return Matrix(config)

    def name_of(self, config: MatrixConfig) -> str:
        return f"matrix, {config.classes} classes"


SYSTEM = MatrixSystem()


def depth() -> nn.Module:
    """A factory for ``--model``: one channel, so the task is depth."""
    return Matrix(MatrixConfig(classes=1))
