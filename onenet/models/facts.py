"""What comes with a network that was trained elsewhere: how its pixels were normalised, its classes, its inputs and outputs.

    --mean imagenet --class-names road,void          model.toml beside the network          Facts(...) in Python

Each may be said in one of these places; two that differ are refused. Loads no torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from onenet.base.data import is_real, is_whole
from onenet.base.text import near, one_line
from onenet.base.toml import read_toml
from onenet.errors import RequestError

FILE = "model.toml"
PRESETS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "0-255": ((0.0,), (1 / 255,)),
}
"""Name -> mean and std of RGB in [0, 1]. ImageNet's are those of torchvision's weights."""
COLOUR = re.compile("#[0-9a-fA-F]{6}")
LONGEST = 1 << 20
"""Bytes of a file of names or colours."""
MOST_CLASSES = 1 << 16


@dataclass(frozen=True)
class Facts:
    """What is known of a network beside its code and weights; None and False: nobody said.

    Attributes:
        mean, std: the network was trained on (x - mean) / std, with x in [0, 1]: one number, or one for each channel, in the
            order in which it takes its channels.
        bgr: it takes its channels as blue, green, red.
        class_names: one for each class; of a network with one output channel two: the background, and the class.
        palette: a colour ``#rrggbb`` for each class.
        ignore_index: the value of pixels in masks that are not scored.
        threshold: of a network with one output channel, the probability from which a pixel is the class.
        input_name: of its image.
        channels, batch, input_size: shape of its image; height and width in pixels.
        output_key: which of several outputs is exported: a key, a field, a place, or several with dots between them.
        resize_output: enlarge the output to the image's size, inside the graph.
        ema: take the averaged weights of the checkpoint.

    ``Facts.read`` takes them as the options and ``model.toml`` have them: presets, texts with commas, names of files.

    Raises:
        RequestError: by ``read``, of what is no fact; by ``build``, of one that contradicts the network.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    bgr: bool = False
    class_names: tuple[str, ...] | None = None
    palette: tuple[str, ...] | None = None
    ignore_index: int | None = None
    threshold: float | None = None
    input_name: str | None = None
    channels: int | None = None
    batch: int | None = None
    input_size: tuple[int, int] | None = None
    output_key: str | None = None
    resize_output: bool = False
    ema: bool = False

    @classmethod
    def read(cls, entry: Mapping[str, object], where: str, folder: Path = Path()) -> Facts:
        """Facts as a person writes them: presets by name, lists as texts with commas, files of names and colours.

        Args:
            entry: field, by its name or with ``-`` for ``_``, -> a value or None.
            where: they stand, for messages.
            folder: which paths are relative to.

        Raises:
            RequestError: an unknown name, or a value that is none; says what is taken.
        """
        given = {key.replace("-", "_"): value for key, value in entry.items() if value is not None and value is not False}
        unknown = [key for key in given if key not in NAMES]
        if unknown:
            raise RequestError(f"{where} has {unknown[0]!a:.100}, which is no fact of a network{near(unknown[0], NAMES)}")
        values = {key: READERS[key](value, place(key, where), folder) for key, value in given.items() if key in READERS}
        return cls(**values, **normalisation(given, where))

    @property
    def normalised(self) -> bool:
        """Whether anything is known of how its pixels were changed."""
        return self.mean is not None or self.std is not None or self.bgr

    def as_dict(self) -> dict[str, object]:
        """What is said, as a manifest holds it: ``read`` takes it."""
        values = {name: getattr(self, name) for name in NAMES if getattr(self, name) not in (None, False)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def __bool__(self) -> bool:
        """Whether anything is said."""
        return self != Facts()

    def joined(self, other: Facts, mine: str, theirs: str) -> Facts:
        """Both.

        Args:
            other: what another place says.
            mine, theirs: what the two places are called.

        Raises:
            RequestError: both say something of the same, and not the same.
        """
        changes = {}
        for name in NAMES:
            own, its = getattr(self, name), getattr(other, name)
            if own not in (None, False) and its not in (None, False) and own != its:
                raise RequestError(
                    f"{name.replace('_', '-')} is {shown(own)} by {mine} and {shown(its)} by {theirs}; say it in one place"
                )
            if own in (None, False):
                changes[name] = its
        return replace(self, **changes)


NAMES = tuple(field.name for field in fields(Facts))


def shown(value: object) -> str:
    """A value as it is written: ``0.485,0.456,0.406``."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def place(key: str, where: str) -> str:
    """``--mean`` of the options, ``mean in model.toml`` of a file: how a message calls a fact."""
    name = key.replace("_", "-")
    return f"--{name}" if where == OPTIONS else f"{name} in {where}"


OPTIONS = "the options"
"""How the command line's facts are called."""


# --- the file ---------------------------------------------------------------


@dataclass(frozen=True)
class Beside:
    """What a ``model.toml`` says."""

    path: Path
    facts: Facts
    model: str | None = None
    """The network that it is for, as ``--model`` takes it; every one of its folder unless it says."""
    weights: Path | None = None


def read_beside(path: Path) -> Beside:
    """A ``model.toml``: the fields of ``Facts`` by their options' names, ``model`` and ``weights``; paths relative to it.

    Raises:
        RequestError: it is no TOML, or says what nobody knows.
    """
    content = read_toml(path, "description of a network")
    model, weights = (text_or_none(content.pop(key, None), f"{key} in {path.name}") for key in ("model", "weights"))
    facts = Facts.read(content, path.name, path.parent)
    return Beside(path, facts, model and relative_model(model, path.parent), path.parent / weights if weights else None)


def relative_model(model: str, folder: Path) -> str:
    """A model's name in a file of ``folder``: paths to files and folders are relative to it."""
    scheme, _, rest = model.partition(":")
    if scheme == "hf":
        return f"hf:{folder / rest}"
    return str(folder / model) if ".py:" in model or model.endswith(".pt2") else model


def text_or_none(value: object, what: str) -> str | None:
    """
    Raises:
        RequestError: it is no text.
    """
    if value is not None and not isinstance(value, str):
        raise RequestError(f"{what} takes a text, found {value!a:.100}")
    return value


# --- values -----------------------------------------------------------------


def normalisation(given: Mapping[str, object], where: str) -> dict[str, Any]:
    """``mean`` and ``std`` in [0, 1], and ``bgr``.

    A preset gives both. Numbers above 1 in either are those of pixels from 0 to 255, as OpenMMLab's and Caffe's are.
    """
    bgr = boolean(given.get("bgr", False), place("bgr", where), Path())
    asked = {key: given[key] for key in ("mean", "std") if key in given}
    presets = {key: value.strip().lower() for key, value in asked.items() if isinstance(value, str) and is_preset(value)}
    if not asked:
        return {"bgr": bgr}
    if presets:
        if len(asked) > len(presets) or len(set(presets.values())) > 1:
            both = " and ".join(f"{place(key, where)} {value}" for key, value in asked.items())
            raise RequestError(f"{both} contradict each other; a preset gives mean and std")
        mean, std = PRESETS[next(iter(presets.values()))]
        return {"bgr": bgr, "mean": mean[::-1] if bgr else mean, "std": std[::-1] if bgr else std}
    mean, std = (
        numbers(asked[key], place(key, where)) if key in asked else usual for key, usual in (("mean", (0.0,)), ("std", (1.0,)))
    )
    for key, each in (("mean", mean), ("std", std)):
        if max(map(abs, each)) > 255:
            raise RequestError(f"{place(key, where)} takes numbers up to 255, found {shown(each)}")
    of_bytes = max(*mean, *std) > 1
    scale = 255.0 if of_bytes else 1.0
    if min(std) <= 0:
        raise RequestError(f"{place('std', where)} takes numbers above 0, found {shown(std)}")
    return {"bgr": bgr, "mean": tuple(m / scale for m in mean), "std": tuple(s / scale for s in std)}


def is_preset(value: str) -> bool:
    """Whether it names a mean and std."""
    return value.strip().lower() in PRESETS


def numbers(value: object, what: str) -> tuple[float, ...]:
    """One number or several.

    Raises:
        RequestError: they are none.
    """
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, (list, tuple)) else [value]
    try:
        found = tuple(float(str(part)) for part in parts)
    except ValueError:
        found = ()
    if not found or not all(map(is_real, found)):
        raise RequestError(
            f"{what} takes {' or '.join(PRESETS)}, or numbers with commas between them such as 0.485,0.456,0.406; "
            f"found {value!a:.100}"
        )
    return found


def names(value: object, what: str, folder: Path) -> tuple[str, ...]:
    """Names from a list, a text with commas, or a file: one a line, a JSON list, or a JSON object of numbers and names.

    Raises:
        RequestError: there are none, or one twice.
    """
    if isinstance(value, str):
        path = folder / value
        value = listed(path) if "," not in value and path.is_file() else [part.strip() for part in value.split(",")]
    found = tuple(map(str, value)) if isinstance(value, (list, tuple)) else ()
    if not found or not all(name.strip() and name.isprintable() for name in found) or len(set(found)) < len(found):
        raise RequestError(
            f"{what} takes different names with commas between them, or a file with one on each line; found "
            f"{one_line(str(value))}"
        )
    return found


def colours(value: object, what: str, folder: Path) -> tuple[str, ...]:
    """Colours from a list, or a file: ``#rrggbb`` or ``r g b`` on each line, JSON, or a PNG with a palette.

    Raises:
        RequestError: there are none, or one is none.
    """
    if isinstance(value, (str, Path)):
        path = folder / value
        if not path.is_file():
            raise RequestError(f"{what}: the file {path} does not exist; give one with #rrggbb or r g b on each line, or a PNG")
        value = palette_of(path) if path.suffix.lower() == ".png" else listed(path)
    found = tuple(map(colour, value)) if isinstance(value, (list, tuple)) else ()
    if not found or None in found:
        raise RequestError(f"{what} takes colours, #rrggbb or three numbers from 0 to 255; found {one_line(str(value))}")
    return tuple(each for each in found if each)


def colour(value: object) -> str | None:
    """``#rrggbb`` of that, of ``r g b``, ``r,g,b`` or of three numbers; None for anything else."""
    if isinstance(value, str) and COLOUR.fullmatch(value.strip()):
        return value.strip().lower()
    parts = re.split(r"[\s,]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or len(parts) < 3 or not all(re.fullmatch(r"\d+", str(p)) for p in parts[:3]):
        return None
    red, green, blue = (int(part) for part in parts[:3])
    return f"#{red:02x}{green:02x}{blue:02x}" if max(red, green, blue) < 256 else None


def listed(path: Path) -> list[object]:
    """The lines of a file, or the list that its JSON holds; of an object of numbers, its values in their order.

    Raises:
        RequestError: it cannot be read.
    """
    try:
        text = path.read_bytes()[:LONGEST].decode()
        if path.suffix.lower() != ".json":
            return [line.strip() for line in text.splitlines() if line.strip()]
        content = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise RequestError(f"{path} cannot be read: {one_line(error)}") from error
    if isinstance(content, dict):
        numbered = {int(key): value for key, value in content.items() if str(key).isascii() and str(key).isdigit()}
        return [numbered[key] for key in sorted(numbered)]
    return content if isinstance(content, list) else []


def palette_of(path: Path) -> list[object]:
    """The colours of a PNG with a palette."""
    from onenet.base.masks import read_palette

    return list(read_palette(path))


def whole(least: int) -> Callable[[object, str, Path], int]:
    """A reader of whole numbers from ``least``."""

    def read(value: object, what: str, folder: Path) -> int:
        del folder
        if not isinstance(value, int) or not is_whole(value, least):
            raise RequestError(f"{what} takes a whole number from {least}, found {value!a:.100}")
        return value

    return read


def boolean(value: object, what: str, folder: Path) -> bool:
    del folder
    if not isinstance(value, bool):
        raise RequestError(f"{what} takes true or false, found {value!a:.100}")
    return value


def word(value: object, what: str, folder: Path) -> str:
    """A name that a tensor can have in every format, or the path of an output."""
    del folder
    if not isinstance(value, (str, int)) or not re.fullmatch(r"\w+(\.\w+)*", str(value), re.ASCII):
        raise RequestError(f"{what} takes a name of letters, digits and _, found {value!a:.100}")
    return str(value)


def share(value: object, what: str, folder: Path) -> float:
    del folder
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < 1:
        raise RequestError(f"{what} takes a probability between 0 and 1, found {value!a:.100}")
    return float(value)


def size(value: object, what: str, folder: Path) -> tuple[int, int]:
    """Height and width; one number for both."""
    del folder
    parts: Sequence[object] = value if isinstance(value, (list, tuple)) else [value, value]
    sizes = [part for part in parts if isinstance(part, int) and is_whole(part, 1)]
    if len(parts) != 2 or len(sizes) != 2:
        raise RequestError(f"{what} takes a height and a width in pixels, or one number for both; found {value!a:.100}")
    return sizes[0], sizes[1]


READERS: dict[str, Callable[[object, str, Path], Any]] = {
    "class_names": names,
    "palette": colours,
    "ignore_index": whole(0),
    "threshold": share,
    "input_name": word,
    "channels": whole(1),
    "batch": whole(1),
    "input_size": size,
    "output_key": word,
    "resize_output": boolean,
    "ema": boolean,
}
"""Field -> what makes its value of what a person wrote; ``normalisation`` reads the others."""
