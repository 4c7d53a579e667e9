"""The calibration record: what a calibration saw and decided, as a file that replaces the images. Loads no torch."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import reprlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onenet.base.data import read_json
from onenet.base.files import publish, temporary_folder
from onenet.base.text import one_line
from onenet.calibration.recipe import Recipe
from onenet.errors import RequestError

SCHEMA = 1
FEW = 32
"""Fewer samples than this draw a warning."""
PLAIN = {"model": dict, "samples": int, "preprocessing": str, "biases": dict}
"""What a record's file holds as the record itself does."""
UNSTABLE_DB = 6.0
"""Two halves of the samples whose ranges cost each other more than this, one bit of int8, draw a warning."""


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
    def from_dict(cls, data: dict[str, Any]) -> CalibrationRecord:
        sites = {name: site_from(each) for name, each in data["sites"].items()}
        plain = {key: data[key] for key in PLAIN}
        for key, kind in PLAIN.items():
            if not isinstance(plain[key], kind):
                raise TypeError(f"its {key} is {reprlib.repr(plain[key])}")
        recipe, ids = Recipe.from_dict(data["recipe"]), tuple(data["sample_ids"])
        record = make_record(recipe=recipe, sample_ids=ids, sites=sites, **plain)
        if record.id != data["id"]:
            raise ValueError(f"its content gives the id {record.id}, it says {data['id']}; it was changed since it was written")
        if json.loads(json.dumps(record.as_dict())) != data:
            raise ValueError("it holds what no record does; it was changed since it was written")
        for layer, text in record.biases.items():
            if not np.isfinite(decoded(text)).all():
                raise ValueError(f"a bias of {layer} is not finite")
        return record


def make_record(**content: Any) -> CalibrationRecord:
    """A record with the id of its content."""
    record = CalibrationRecord(id="", **content)
    text = json.dumps(record.as_dict(), sort_keys=True)
    return CalibrationRecord(id=hashlib.sha256(text.encode()).hexdigest()[:16], **content)


def site_from(data: dict[str, Any]) -> Site:
    names = tuple(str(name) for name in data["names"])
    low, high, scale = (float(data[key]) for key in ("low", "high", "scale"))
    if not (all(map(math.isfinite, (low, high, scale))) and low <= 0 <= high and scale > 0):
        raise ValueError(f"the range of {names[0]} is {low:g} to {high:g}, its scale {scale:g}")
    disagreement = None if data["disagreement_db"] is None else float(data["disagreement_db"])
    return Site(names, low, high, scale, int(data["zero_point"]), dict(data["seen"]), disagreement)


def encoded(values: NDArray[np.float32]) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def decoded(text: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4")
