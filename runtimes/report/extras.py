"""What lies beside artifacts and belongs in a report: layer profiles (``.layers.json``) and pictures (``.png``)."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from onenet.base.data import parse_json
from onenet.base.files import sha256_of
from onenet.base.text import one_line
from onenet.errors import CheckError, RequestError
from onenet.runtimes.agent.records import Number, Text
from onenet.runtimes.devices.answers import problem
from onenet.runtimes.measure.document import Measurement

WIDTHS = (1040, 780, 520, 340)
"""Widths of a picture, tried in this order until it is small enough."""
QUALITY = 80


class Lenient(BaseModel):
    """What is shown of a layer profile; see ``onenet.runtimes.layers``."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class LayerFigures(Lenient):
    """One layer of a profile, as ``onenet verify --layers`` writes it."""

    name: Text
    operators: Annotated[list[Text], Field(min_length=1, max_length=20)]
    float_db: Number | None
    reference_float_db: Number | None
    wrong: Text | None


class LayerProfile(Lenient):
    """The profile of one artifact, as ``onenet verify --layers`` writes it."""

    artifact: Text
    target: Text
    precision: Text
    layers: Annotated[list[LayerFigures], Field(max_length=5000)]
    missing: Annotated[list[Text], Field(max_length=5000)] = []

    @property
    def first_bad(self) -> LayerFigures | None:
        """The first layer that is wrong by itself; None where all are right."""
        return next((layer for layer in self.layers if layer.wrong), None)


@dataclass(frozen=True)
class Extras:
    """What lies beside the measured artifacts."""

    profiles: tuple[LayerProfile, ...] = ()
    pictures: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    """What was found and left out, and why."""


def find(folder: Path, measurements: Sequence[Measurement]) -> Extras:
    """The extras of the measured artifacts, from the folder that holds them, or one below it.

    Raises:
        RequestError: there is no such folder.
        CheckError: a layer profile is damaged.
    """
    if not folder.is_dir():
        raise RequestError(f"artifacts folder {folder} does not exist; give the folder that the export wrote")
    profiles, pictures, notes = [], [], []
    for file, sha256 in sorted({each.artifact.file: each.artifact.sha256 for each in measurements}.items()):
        beside = [path for suffix in (".layers.json", ".png") for path in folder.rglob(glob_escape(file) + suffix)]
        for path in sorted(beside):
            artifact = path.with_name(file)
            if artifact.exists() and sha256_of(artifact) != sha256:
                notes.append(f"{path.name} lies beside another {file} than the measured one, and is left out")
            elif path.suffix == ".json":
                profiles.append(read_profile(path))
            else:
                pictures.append(path)
    return Extras(tuple(profiles), tuple(pictures), tuple(notes))


def glob_escape(name: str) -> str:
    """A document's file name as a pattern that fits it alone, and nothing outside the folder."""
    plain = name.replace("\\", "/").rpartition("/")[2]
    return "".join(f"[{each}]" if each in "*?[" else each for each in plain) or "\0"


def read_profile(path: Path) -> LayerProfile:
    """A layer profile from its file. Raises CheckError where it is damaged."""
    try:
        return LayerProfile.model_validate(parse_json(path.read_bytes()))
    except OSError as error:
        raise CheckError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        raise CheckError(f"{path} is not a layer profile: {problem(error)}; verify --layers makes it") from error
    except ValueError as error:
        raise CheckError(f"{path} is not a layer profile: not JSON ({one_line(error)}); verify --layers makes it") from error


@dataclass(frozen=True)
class Picture:
    """Ready for a page."""

    file: str
    width: int
    height: int
    data: str
    """A ``data:`` address."""


def embed(path: Path, largest: int) -> Picture | None:
    """A picture as WebP of at most ``largest`` bytes in the page; None where even the smallest has more.

    Raises:
        CheckError: it is not a picture.
    """
    for width in WIDTHS:
        with opened(path) as image:
            smaller = image.convert("RGB")
        if smaller.width > width:
            smaller = smaller.resize((width, max(1, round(smaller.height * width / smaller.width))), Image.Resampling.LANCZOS)
        stream = io.BytesIO()
        smaller.save(stream, "WEBP", quality=QUALITY, method=6)
        data = "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()
        if len(data) <= largest:
            return Picture(path.name.removesuffix(".png"), smaller.width, smaller.height, data)
    return None


def opened(path: Path) -> Image.Image:
    """A PNG, decoded. Raises CheckError where it is damaged or too large."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path, formats=["PNG"])
            image.load()
            return image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise CheckError(f"{path} is not a picture that can be shown: {one_line(error)}") from error
