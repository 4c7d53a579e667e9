"""The model registry. Listing it loads no torch; building a model does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onenet.errors import RequestError

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Entry:
    """One named model: the system that builds it and the options that make it this one."""

    name: str
    summary: str
    system: str
    """Module of this package that builds it."""
    options: dict[str, Any]
    paper: str = "arXiv 2411.09838"

    @property
    def weights(self) -> Path | None:
        """The checkpoint shipped with the package, if there is one."""
        path = WEIGHTS / f"{self.name}.safetensors"
        return path if path.exists() else None


REGISTRY: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            "onenet-ed4",
            "1D encoder and 1D decoder, 4 levels: smallest and fastest",
            "onenet",
            dict(variant="ed", layers=4),
        ),
        Entry("onenet-e4", "1D encoder, 2D decoder, 4 levels: more accurate", "onenet", dict(variant="e", layers=4)),
        Entry("onenet-ed5", "1D encoder and 1D decoder, 5 levels", "onenet", dict(variant="ed", layers=5)),
        Entry("onenet-e5", "1D encoder, 2D decoder, 5 levels", "onenet", dict(variant="e", layers=5)),
    )
}
DEFAULT = "onenet-ed4"


def find(name: str) -> Entry:
    """The registry entry of that name.

    Raises:
        RequestError: no such name.
    """
    if name not in REGISTRY:
        raise RequestError(
            f"model {name!r} is not known; supported: {', '.join(REGISTRY)}, or path/to/file.py:factory for your own"
        )
    return REGISTRY[name]
