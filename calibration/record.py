"""The calibration record: what a calibration saw and decided, as a file that replaces the images. Loads no torch."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onenet.calibration.recipe import Recipe
from onenet.errors import RequestError
from onenet.files import publish, temporary_folder
from onenet.runtimes.session import one_line

SCHEMA = 1
FEW = 32
"""Fewer samples than this draw a warning."""
UNSTABLE_DB = 3.0
"""Two halves of the samples whose ranges cost each other more than this, twice the noise, draw a warning."""
LARGEST = 64 << 20
"""Bytes of a record that is read at all."""


@dataclass(frozen=True)
class Site:
    """One scale, and the tensors that share it."""

    names: tuple[str, ...]
    low: float
    high: float
    """The range that int8 covers."""
    scale: float
    zero_point: int
    seen: dict[str, Any]
    """Number of values that the samples led to, their extremes and quantiles."""
    disagreement_db: float | None = None
    """What the range of one half of the samples costs the values of the other, against their own; None without two halves."""


@dataclass(frozen=True)
class CalibrationRecord:
    """What a calibration saw and decided. ``id`` names it in manifests."""

    id: str
    model: dict[str, Any]
    """Name, shape of the input and SHA-256 of the weights that it belongs to."""
    recipe: Recipe
    samples: int
    sample_ids: tuple[str, ...]
    """SHA-256 of each image file, sorted."""
    preprocessing: str
    sites: dict[str, Site] = field(default_factory=dict)
    """First tensor of each scale -> the scale."""
    biases: dict[str, str] = field(default_factory=dict)
    """Layer -> base64 of what bias correction adds to its bias, float32 per output channel."""
    seed: None = None
    """Nothing in a calibration is random."""

    def as_dict(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}

    def bias(self, layer: str) -> NDArray[np.float32] | None:
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
        try:
            if path.stat().st_size > LARGEST:
                raise ValueError(f"larger than {LARGEST >> 20} MB")
            data = json.loads(path.read_text())
        except OSError as error:
            raise RequestError(f"cannot read the calibration record {path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise RequestError(f"{path} is no calibration record: {one_line(error)}") from error
        if not isinstance(data, dict) or data.get("schema") != SCHEMA or "sites" not in data:
            found = data.get("schema") if isinstance(data, dict) else type(data).__name__
            raise RequestError(f"{path} is no calibration record of schema {SCHEMA}, found {found}")
        try:
            record = cls.from_dict(data)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RequestError) as error:
            raise RequestError(f"the calibration record {path} is damaged: {one_line(error)}") from error
        return record

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CalibrationRecord:
        sites = {name: site_from(each) for name, each in data["sites"].items()}
        plain = {key: data[key] for key in ("model", "samples", "preprocessing", "biases")}
        recipe, ids = Recipe.from_dict(data["recipe"]), tuple(data["sample_ids"])
        record = make_record(recipe=recipe, sample_ids=ids, sites=sites, **plain)
        if record.id != data["id"]:
            raise ValueError(f"its content gives the id {record.id}, it says {data['id']}; it was changed since it was written")
        return record


def make_record(**content: Any) -> CalibrationRecord:
    """A record with the id of its content."""
    record = CalibrationRecord(id="", **content)
    text = json.dumps(record.as_dict(), sort_keys=True)
    return CalibrationRecord(id=hashlib.sha256(text.encode()).hexdigest()[:16], **content)


def site_from(data: dict[str, Any]) -> Site:
    names = tuple(str(name) for name in data["names"])
    numbers = [float(data[key]) for key in ("low", "high", "scale")]
    if not all(math.isfinite(each) for each in numbers) or not numbers[0] <= 0 <= numbers[1] or not numbers[2] > 0:
        raise ValueError(f"the range of {names[0]} is {numbers[0]:g} to {numbers[1]:g}, its scale {numbers[2]:g}")
    disagreement = data["disagreement_db"]
    return Site(
        names, *numbers, int(data["zero_point"]), dict(data["seen"]), None if disagreement is None else float(disagreement)
    )


def encoded(values: NDArray[np.float32]) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def decoded(text: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4")
