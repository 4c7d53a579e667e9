"""The model registry. Listing it loads no torch; building a model does.

``cards`` holds one file for each published system; a file is found by being there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from onenet.base.folder import Folder
from onenet.base.text import near
from onenet.errors import RequestError

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Published:
    """What a paper prints of a model's size, for one image of 256x256."""

    parameters: float
    """Millions."""
    parameter_mb: float
    gflops: float
    memory_mb: float
    note: str = ""
    """Where ours differs: why."""


@dataclass(frozen=True)
class ModelCard:
    """One named model: what builds it and the options that make it this one."""

    name: str
    summary: str
    builder: str
    """Import name of the module that builds it: a ``System``, see ``onenet.models.system``."""
    options: Mapping[str, object]
    """What the builder's ``configure`` is given."""
    paper: str = ""
    """Where it was published."""
    order: int = 100
    """Place in the list."""
    published: Published | None = None

    @property
    def weights(self) -> Path | None:
        """The checkpoint shipped with the package, if there is one."""
        path = WEIGHTS / f"{self.name}.safetensors"
        return path if path.exists() else None


CARDS = Folder[ModelCard]("onenet.models.cards", "MODELS")


class Registry(Mapping[str, ModelCard]):
    """Name -> entry, over all files of ``cards``."""

    def __getitem__(self, name: str) -> ModelCard:
        return CARDS.cards()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(CARDS.cards())

    def __len__(self) -> int:
        return len(CARDS.cards())


REGISTRY = Registry()
DEFAULT = "onenet-ed4"


def find(name: str) -> ModelCard:
    """The registry entry of that name.

    Raises:
        RequestError: no such name.
    """
    if name not in REGISTRY:
        raise RequestError(
            f"model {name!r} is not known; supported: {', '.join(REGISTRY)}, or path/to/file.py:factory for your own"
            f"{near(name, REGISTRY)}"
        )
    return REGISTRY[name]
