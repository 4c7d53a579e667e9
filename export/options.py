"""The options of an export, once: the command line, a campaign's ``[[export]]`` and Python read these fields.

Light: loads neither torch nor a converter.
"""

# ruff: noqa: RUF009  # `option` makes the field itself

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NewType, TypeVar, get_args, get_type_hints

from onenet.errors import RequestError
from onenet.targets import PRECISIONS, TARGETS
from onenet.tasks import headlines, metrics, output_roles

T = TypeVar("T")
FileSize = NewType("FileSize", int)
"""Bytes; asked for as ``800kB`` or ``2.5MB`` too."""
Panel = Literal["How to export it", "How to quantize it (int8)", "What to export", "What comes with it", "Result"]
FORM: Panel = "How to export it"
INT8: Panel = "How to quantize it (int8)"
MODEL: Panel = "What to export"
FACTS: Panel = "What comes with it"
RESULT: Panel = "Result"
MODEL_HELP = (
    "A name from `onenet models`; or of any other network file.py:factory, module:factory, model.pt2, timm:NAME, "
    "torchvision:NAME, smp:ARCH/ENCODER, hf:FOLDER, or a model.toml."
)


@dataclass(frozen=True)
class Option:
    """How a field is asked for on the command line."""

    panel: Panel
    help: str | Callable[[], str]
    """A text, or what makes it where it names the cards of a folder."""
    flags: tuple[str, ...] = ()
    """Empty: ``--`` and the field's name."""
    metavar: str | None = None
    least: int | None = None
    """The smallest number that is taken."""

    @property
    def text(self) -> str:
        """The help line; where it is a function, it is called only now."""
        return self.help if isinstance(self.help, str) else self.help()


def option(
    default: T,
    panel: Panel,
    help: str | Callable[[], str],  # noqa: A002  # the word that the command line has for it
    *flags: str,
    metavar: str | None = None,
    least: int | None = None,
) -> T:
    """A field with its default, and how it is asked for."""
    value: T = field(default=default, metadata={"option": Option(panel, help, flags, metavar, least)})
    return value


def target_help() -> str:
    """Help of --target, from the cards of the targets."""
    *names, last = TARGETS.cards()
    return f"{', '.join(names)} or {last}; repeat for several, or write commas. Default: {names[0]}."


def precision_help() -> str:
    """Help of --precision, from the precisions of the targets."""
    *names, last = PRECISIONS
    return f"{', '.join(names)} or {last} (int8 weights); repeat for several, or write commas. Default: fp32."


def io_help() -> str:
    """Help of --io; it names the targets that take integer inputs and outputs."""
    able = ", ".join(card.title for card in TARGETS.cards().values() if card.int8_io)
    return f"float, or int8 for integer inputs and outputs ({able})."


def output_help() -> str:
    *roles, last = output_roles()
    return f"What the network returns: {', '.join(roles)} or {last}."


def max_drop_help() -> str:
    return f"Keep the fewest layers in float that hold the drop of {metrics()[headlines()[0]].title} to this."


@dataclass(frozen=True)
class ExportOptions:
    """Everything that ``onenet.export_all`` can be asked for.

    Fields take what their type says; one text stands for a list of one, and a text for a path. In a campaign and on the
    command line they are called by their long names: ``calibration-samples``.

    Raises:
        RequestError: a value of another type.
    """

    target: Sequence[str] = option(("tflite",), FORM, target_help, "--target", "-t", metavar="NAME")
    precision: Sequence[str] = option((), FORM, precision_help, "--precision", "-p", metavar="NAME")
    int8: bool = option(False, FORM, "Short for --precision int8.", "--int8")
    io: str = option("float", FORM, io_help, metavar="TYPE")
    output: str = option("logits", FORM, output_help, metavar="ROLE")
    winograd: bool = option(
        True,
        FORM,
        "In fp32, wide 3x3 convolutions by Winograd's method: faster, and a larger file.",
        "--winograd/--no-winograd",
    )
    max_size: FileSize | None = option(
        None,
        FORM,
        "Bytes, kB or MB that a file may take: rewrites that cost space are left out, then it is refused.",
        metavar="SIZE",
    )
    calibration: Path | None = option(
        None,
        INT8,
        "Images: a folder or an .npz; or a record (.json). Default: 32 shipped images.",
        metavar="PATH",
    )
    calibration_samples: int = option(32, INT8, "Use at most this many, evenly spaced by name.", metavar="N", least=1)
    calibration_record: Path | None = option(
        None,
        INT8,
        "Write what was seen and decided; --calibration FILE repeats it without the images.",
        metavar="FILE",
    )
    estimator: str | None = option(
        None,
        INT8,
        "How a range follows from the values seen: auto (default: mse where it is clearly better than min-max), min-max, "
        "percentile, mse, entropy.",
        metavar="NAME",
    )
    recipe: Path | None = option(None, INT8, "JSON rules that say which layers are int8, w8 or float.", metavar="FILE")
    max_drop: float | None = option(
        None,
        INT8,
        max_drop_help,
        metavar="POINTS",
        least=0,
    )
    min_sqnr: float | None = option(
        None,
        INT8,
        "Keep the fewest layers in float that reach this SQNR; needs no masks.",
        metavar="DB",
    )
    x86_safe: str = option(
        "auto",
        INT8,
        "yes, no or auto: weights within ±63, right in onnxruntime on x86 CPUs without VNNI. auto: ONNX alone, made on such a "
        "CPU.",
        metavar="WHEN",
    )
    model: str = option("onenet-ed4", MODEL, MODEL_HELP, "--model", "-m", metavar="MODEL")
    weights: Path | None = option(
        None,
        MODEL,
        "Checkpoint: .safetensors, .pt, .pth, .ckpt, .bin or .pth.tar. Default: the shipped one, or the factory's own weights.",
        metavar="FILE",
    )
    ema: bool = option(False, MODEL, "Take the averaged weights (EMA) of the checkpoint.", "--ema")
    text_encoder: Path | None = option(
        None,
        MODEL,
        "Folder of a CLIP text encoder, for a network that takes a text. Needs --prompt, and transformers.",
        metavar="DIR",
    )
    prompt: Sequence[str] = option(
        (), MODEL, "A text that `onenet run --prompt` shall know; repeat it. Its embedding goes into the file.", metavar="TEXT"
    )
    random_weights: bool = option(False, MODEL, "Export an untrained network, seeded (for benchmarks).", "--random-weights")
    config: Path | None = option(None, MODEL, "YAML configuration of the official repository.", metavar="FILE")
    width: int | None = option(None, MODEL, "Channels at full resolution.", metavar="N", least=1)
    classes: int | None = option(
        None, MODEL, "Number of classes, of a model by name or of timm, torchvision or smp.", metavar="N", least=1
    )
    kernel: int | None = option(None, MODEL, "Length of the spatial 1D convolution (odd).", metavar="N", least=1)
    no_spatial: bool = option(False, MODEL, "No spatial convolution.", "--no-spatial")
    input_size: tuple[int, int] | None = option(
        None, MODEL, "Height and width of the images; one number is both. Default: 256 256.", metavar="H W"
    )
    tile: int | None = option(
        None,
        MODEL,
        "Take N x N pieces of images of --input-size, for `onenet run` on images of any size.",
        metavar="N",
    )
    mean: str | None = option(
        None,
        FACTS,
        "The network was trained on (x - mean) / std of RGB in [0, 1]: numbers such as 0.485,0.456,0.406; or imagenet or "
        "0-255, which give both. Above 1: of pixels from 0 to 255.",
        metavar="NUMBERS",
    )
    std: str | None = option(None, FACTS, "See --mean.", metavar="NUMBERS")
    bgr: bool = option(False, FACTS, "The network takes blue, green, red; --mean and --std are in that order.", "--bgr")
    class_names: str | None = option(
        None, FACTS, "Names of the classes: a,b,c or a file with one on each line.", metavar="NAMES"
    )
    palette: Path | None = option(
        None, FACTS, "Their colours: #rrggbb or r g b on each line, or a PNG with a palette.", metavar="FILE"
    )
    ignore_index: int | None = option(
        None, FACTS, "Value in masks of pixels that are not scored, such as 255.", metavar="N", least=0
    )
    threshold: float | None = option(
        None,
        FACTS,
        "Of a network with one output channel: the probability above which a pixel is the class. Default: 0.5.",
        metavar="P",
    )
    input_name: str | None = option(None, FACTS, "Name of the image in the file. Default: image.", metavar="NAME")
    channels: int | None = option(
        None, FACTS, "Channels of the image. Default: 3, or what the network takes.", metavar="N", least=1
    )
    batch: int | None = option(None, FACTS, "Images in one call. Default: 1.", metavar="N", least=1)
    output_key: str | None = option(
        None, FACTS, "Which of several outputs: its key, field or place, such as out or 0.", metavar="KEY"
    )
    resize_output: bool = option(False, FACTS, "Enlarge the output to the image's size, inside the file.", "--resize-output")
    out: Path = option(Path("build"), RESULT, "Folder for the artifacts.", "--out", "-o", metavar="DIR")
    evaluation: Path | None = option(
        None,
        RESULT,
        "Images to compare with the float model on; with images/ and masks/ or labels/, mIoU as well.",
        metavar="DIR",
    )
    for_android: Path | None = option(
        None,
        RESULT,
        "Copy TFLite and ONNX files and their manifests into the assets of this Android project, such as android_demo.",
        metavar="DIR",
    )
    preview: bool = option(False, RESULT, "Draw what the artifact predicts, beside it.", "--preview/--no-preview")
    tests: Path | None = option(
        None,
        RESULT,
        "Golden cases for your app's own code, with checkers for Java and Kotlin, Swift, JavaScript, C++.",
        metavar="DIR",
    )
    verify: bool = option(True, RESULT, "Check each artifact before it is written.", "--verify/--no-verify")

    def __post_init__(self) -> None:
        for name, kind in kinds().items():
            value = getattr(self, name)
            value = as_text(value) if name in LISTS else value
            object.__setattr__(self, name, kind.read(long_name(name), value))
        for name in ("target", "precision"):
            texts = [part.strip() for text in getattr(self, name) for part in text.split(",")]
            object.__setattr__(self, name, tuple(texts))

    @property
    def facts(self) -> dict[str, object]:
        """What is said of the network, as ``onenet.models.facts.Facts.read`` takes it."""
        return {name: value for name, value in ((each, getattr(self, each)) for each in FACT_NAMES) if value is not None}

    @property
    def precisions(self) -> list[str]:
        """Those that were asked for; fp32 unless any was."""
        return [*self.precision, *(["int8"] if self.int8 else [])] or ["fp32"]

    @classmethod
    def from_entry(cls, entry: Mapping[str, object]) -> ExportOptions:
        """Options by their long names, as a campaign's ``[[export]]`` has them.

        Raises:
            RequestError: a name that is no option, or a value of another type.
        """
        names = {long_name(name): name for name in kinds()}
        for name in entry:
            if name not in names:
                near = difflib.get_close_matches(str(name), names, 1)
                raise RequestError(f"{name!a:.100} is no option of an export" + (f"; did you mean {near[0]}" if near else ""))
        return cls(**{names[name]: value for name, value in entry.items()})  # type: ignore[arg-type]  # read looks at each


FACT_NAMES = (
    *("mean", "std", "bgr", "class_names", "palette", "ignore_index", "threshold", "input_name", "channels", "batch"),
    *("output_key", "resize_output", "ema"),
)
"""Fields that describe a network beside its code and weights."""


LISTS = ("mean", "std", "class_names")
"""Those that Python and a campaign may also give as lists."""


def as_text(value: object) -> object:
    """A list of numbers or names as the command line has it, with commas; any other value as it is."""
    parts = [str(part) for part in value] if isinstance(value, (list, tuple)) else []
    return ",".join(parts) if parts and not any("," in part for part in parts) else value


def long_name(name: str) -> str:
    """``calibration-samples`` of the field ``calibration_samples``."""
    return name.replace("_", "-")


def option_of(name: str) -> Option:
    """What the command line shows for a field."""
    found: Option = ExportOptions.__dataclass_fields__[name].metadata["option"]
    return found


@dataclass(frozen=True)
class Kind:
    """The type of a field."""

    plain: object
    """Its type without None."""
    optional: bool
    least: int | None

    def read(self, name: str, value: object) -> object:
        """A value as the field keeps it.

        Raises:
            RequestError: it is of another type, or too small.
        """
        if value is None and self.optional:
            return None
        words, reader = READERS[self.plain]
        made = reader(value)
        words = words if self.least is None else f"{words} from {self.least}"
        too_small = self.least is not None and isinstance(made, (int, float)) and made < self.least
        if made is None or too_small:
            raise RequestError(f"{name} takes {words}, found {value!a:.100}")
        return made


def kinds() -> dict[str, Kind]:
    """Field -> its type."""
    result = {}
    for name, hint in get_type_hints(ExportOptions).items():
        parts = get_args(hint)
        optional = type(None) in parts
        plain = next(part for part in parts if part is not type(None)) if optional else hint
        result[name] = Kind(plain, optional, option_of(name).least)
    return result


def read_whole(value: object) -> int | None:
    """The value where it is an int, else None; a bool is refused."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_number(value: object) -> float | None:
    """The value as a float where it is an int or a float, else None; a bool is refused."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def read_texts(value: object) -> tuple[str, ...] | None:
    """One text or a list of texts as a tuple; None for any other value."""
    values = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, (list, tuple)) else ()
    texts = tuple(text for text in values if isinstance(text, str))
    return texts if texts == values and (values or value in ([], ())) else None


def read_size(value: object) -> tuple[int, int] | None:
    """Two whole numbers as a tuple; None for any other value."""
    values = tuple(value) if isinstance(value, (list, tuple)) else ()
    sizes = [size for size in map(read_whole, values) if size is not None]
    return (sizes[0], sizes[1]) if len(values) == len(sizes) == 2 else None


UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
"""Decimal, as sizes are printed."""


def read_file_size(value: object) -> int | None:
    """A whole number of bytes, or a text such as ``800kB``, in bytes; None for any other value, and for nothing at all."""
    if isinstance(value, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", value.strip().lower())
        value = int(float(found[1]) * UNITS[found[2]]) if found and found[2] in UNITS else None
    size = read_whole(value)
    return size if size is not None and size > 0 else None


READERS: dict[object, tuple[str, Callable[[object], object]]] = {
    str: ("a text", lambda value: value if isinstance(value, str) else None),
    bool: ("true or false", lambda value: value if isinstance(value, bool) else None),
    int: ("a whole number", read_whole),
    float: ("a number", read_number),
    Path: ("a path", lambda value: Path(value) if isinstance(value, (str, Path)) else None),
    FileSize: ("a size such as 800kB or 2.5MB", read_file_size),
    Sequence[str]: ("a text or a list of texts", read_texts),
    tuple[int, int]: ("two whole numbers", read_size),
}
"""Type -> what it takes in words, and what makes a value of it; None where that is no such value."""
