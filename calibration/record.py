"""The calibration record: what a calibration saw and decided, as a file that replaces the images. Loads no torch."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onenet.base.data import read_json
from onenet.base.files import publish, temporary_folder
from onenet.base.images import PREPROCESSING
from onenet.base.text import one_line
from onenet.calibration.histogram import Summary
from onenet.calibration.recipe import Recipe
from onenet.errors import RequestError

SCHEMA = 2
FEW = 32
"""Fewer samples than this draw a warning."""
UNSTABLE_DB = 6.0
"""Two halves of the samples whose ranges cost each other more than this, one bit of int8, draw a warning."""


@dataclass(frozen=True)
class ModelIdentity:
    """The model that a record belongs to."""

    name: str
    inputs: dict[str, tuple[int, ...]]
    """Name of each input -> its shape, batch included."""
    weights_sha256: str | None

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> ModelIdentity:
        """
        Raises:
            KeyError, TypeError: something is missing or of another kind.
        """
        inputs = {name: tuple(map(whole, row(shape))) for name, shape in table(data["inputs"]).items()}
        return cls(text(data["name"]), inputs, None if data["weights_sha256"] is None else text(data["weights_sha256"]))


@dataclass(frozen=True)
class Site:
    """One scale, and the tensors that share it."""

    names: tuple[str, ...]
    low: float
    high: float
    """The range that int8 covers."""
    scale: float
    zero_point: int
    seen: Summary
    """Of the values that the samples led to."""
    disagreement_db: float | None = None
    """What the range of one half of the samples costs the values of the other, against their own; None without two halves."""


@dataclass(frozen=True)
class CalibrationRecord:
    """What a calibration saw and decided. ``id`` names it in manifests."""

    model: ModelIdentity
    recipe: Recipe
    samples: int = 0
    sample_ids: tuple[str, ...] = ()
    """SHA-256 of each image file, or of each sample of an archive, sorted."""
    preprocessing: str = PREPROCESSING
    """What made model inputs of image files."""
    sites: dict[str, Site] = field(default_factory=dict)
    """First tensor of each scale -> the scale."""
    biases: dict[str, str] = field(default_factory=dict)
    """Layer -> base64 of what bias correction adds to its bias, float32 per output channel."""
    seed: None = None
    """Nothing in a calibration is random."""
    id: str = ""
    """That of the content, which ``identified`` gives."""

    def as_dict(self) -> dict[str, object]:
        """As the record's file and an artifact's sidecar hold it."""
        return {"schema": SCHEMA, **asdict(self)}

    def bias(self, layer: str) -> NDArray[np.float32] | None:
        """What is added to a layer's bias, one float32 per output channel; None where nothing is."""
        return decoded(self.biases[layer]) if layer in self.biases else None

    @property
    def worst_site(self) -> tuple[str, float] | None:
        """The scale on which two halves of the samples disagree most, and by how many decibels."""
        known = [(site.disagreement_db, name) for name, site in self.sites.items() if site.disagreement_db is not None]
        return (max(known)[1], max(known)[0]) if known else None

    def warnings(self) -> list[str]:
        """What a user should know before trusting the scales; one line each."""
        found = []
        if self.sites and self.samples < FEW:
            found.append(f"calibrated on {self.samples} images; {FEW} or more give steadier scales")
        worst = self.worst_site
        if worst is not None and worst[1] > UNSTABLE_DB:
            found.append(
                f"two halves of the calibration images disagree: the range of {worst[0]} from one costs the other "
                f"{worst[1]:.1f} dB; more, or more varied, images would settle it"
            )
        return found

    def save(self, path: Path) -> None:
        """Write the record as JSON; nothing half-written remains."""
        with temporary_folder(path.parent) as folder:
            temporary = folder / path.name
            temporary.write_text(json.dumps(self.as_dict(), indent=1, sort_keys=True) + "\n")
            publish(temporary, path)

    @classmethod
    def load(cls, path: Path) -> CalibrationRecord:
        """Read and check a record.

        Raises:
            RequestError: it cannot be read, is no record, is of another schema, or was changed since it was written.
        """
        data = read_json(path, "calibration record")
        if not isinstance(data, dict) or "sites" not in data:
            raise RequestError(f"{path} is no calibration record: it has no sites")
        if data.get("schema") != SCHEMA:
            found = reprlib.repr(data.get("schema"))
            raise RequestError(f"{path} is a calibration record of schema {found}; this version reads {SCHEMA}")
        try:
            record = cls.from_dict(data)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, RequestError) as error:
            raise RequestError(f"the calibration record {path} is damaged: {one_line(error)}") from error
        return record

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> CalibrationRecord:
        """
        Raises:
            AttributeError, KeyError, OverflowError, RecursionError, RequestError, TypeError, ValueError: no record, or one
                that was changed since it was written.
        """
        record = identified(
            cls(
                model=ModelIdentity.from_dict(table(data["model"])),
                recipe=Recipe.from_dict(data["recipe"]),
                samples=whole(data["samples"]),
                sample_ids=tuple(map(text, row(data["sample_ids"]))),
                preprocessing=text(data["preprocessing"]),
                sites={name: site_from(table(site)) for name, site in table(data["sites"]).items()},
                biases={layer: text(values) for layer, values in table(data["biases"]).items()},
            )
        )
        if record.id != data["id"]:
            raise ValueError(f"its content gives the id {record.id}, it says {data['id']}; it was changed since it was written")
        if json.loads(json.dumps(record.as_dict())) != data:
            raise ValueError("it holds what no record does; it was changed since it was written")
        for layer, values in record.biases.items():
            if not np.isfinite(decoded(values)).all():
                raise ValueError(f"a bias of {layer} is not finite")
        return record


def identified(record: CalibrationRecord) -> CalibrationRecord:
    """The record with the id of its content."""
    content = json.dumps(replace(record, id="").as_dict(), sort_keys=True)
    return replace(record, id=hashlib.sha256(content.encode()).hexdigest()[:16])


def site_from(data: Mapping[str, object]) -> Site:
    """
    Raises:
        KeyError, OverflowError, TypeError, ValueError: no site, or a range that no calibration gives.
    """
    names = tuple(map(text, row(data["names"])))
    low, high, scale = (number(data[key]) for key in ("low", "high", "scale"))
    if not (all(map(math.isfinite, (low, high, scale))) and low <= 0 <= high and scale > 0):
        raise ValueError(f"the range of {names[0]} is {low:g} to {high:g}, its scale {scale:g}")
    disagreement = None if data["disagreement_db"] is None else number(data["disagreement_db"])
    seen = table(data["seen"])
    quantiles = {share: number(value) for share, value in table(seen["quantiles"]).items()}
    return Site(names, low, high, scale, whole(data["zero_point"]), Summary(whole(seen["values"]), quantiles), disagreement)


# --- JSON to types --------------------------------------------------------


def table(value: object) -> Mapping[str, object]:
    """An object of parsed JSON. Raises TypeError for anything else."""
    if not isinstance(value, dict):
        raise TypeError(f"{reprlib.repr(value)} where names and values are needed")
    return value


def row(value: object) -> Sequence[object]:
    """A list of parsed JSON. Raises TypeError for anything else."""
    if not isinstance(value, list):
        raise TypeError(f"{reprlib.repr(value)} where a list is needed")
    return value


def text(value: object) -> str:
    """A text of parsed JSON. Raises TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"{reprlib.repr(value)} where a text is needed")
    return value


def whole(value: object) -> int:
    """A whole number of parsed JSON. Raises TypeError for anything else."""
    if type(value) is not int:
        raise TypeError(f"{reprlib.repr(value)} where a whole number is needed")
    return value


def number(value: object) -> float:
    """A number of parsed JSON. Raises TypeError for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{reprlib.repr(value)} where a number is needed")
    return float(value)


def encoded(values: NDArray[np.float32]) -> str:
    """Values as base64 of little-endian float32."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def decoded(text: str) -> NDArray[np.float32]:
    """The other way round. Raises ValueError where it is not base64 of float32."""
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4")
