"""Networks of other libraries by name, where those are installed: ``timm:``, ``torchvision:``, ``smp:`` and ``hf:``.

A library's own trained weights come with what is known of them: mean and std, input size, names of classes. With weights of
your own that is not known, and is said by options.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from onenet.base.data import read_json
from onenet.base.quiet import quiet
from onenet.base.text import first_line, near
from onenet.errors import RequestError, ToolError
from onenet.models.facts import Facts
from onenet.models.sources import OF_LIBRARY, OWN, Found

NEEDS = {"timm": "timm", "torchvision": "torchvision", "smp": "segmentation_models_pytorch", "hf": "transformers"}
"""Scheme -> import name."""
PACKAGES = {"segmentation_models_pytorch": "segmentation-models-pytorch"}
"""Import name -> the package's, where it is another."""


def find(scheme: str, name: str, asked: Mapping[str, object]) -> Found:
    """A network of a library.

    Args:
        scheme: one of ``NEEDS``.
        name: of the network there; a folder for ``hf``.
        asked: as ``resolve.find_source`` takes it.

    Raises:
        RequestError: the library has no such network.
        ToolError: it is not installed.
    """
    needed = NEEDS[scheme]
    try:
        with quiet():
            library = importlib.import_module(needed)
    except Exception as error:  # one that was built for another torch raises anything
        package = PACKAGES.get(needed, needed)
        raise ToolError(
            f"--model {scheme}:{name} needs {package}, which does not import ({first_line(error)}): pip install {package}"
        ) from error
    return FINDERS[scheme](library, name, asked)


def safe_name(text: str) -> str:
    """A name that a file can have."""
    return "".join(each if each.isalnum() or each in "-_." else "-" for each in text).strip("-.") or "model"


def made_by(library: str, name: str, make: Callable[[], object]) -> Callable[[], object]:
    """A factory whose failure names the library: of a download above all, which is not possible everywhere."""

    def made() -> object:
        try:
            return make()
        except OSError as error:
            raise RequestError(
                f"{library} could not get the weights of {name}: {first_line(error)}; give --weights FILE, or --random-weights"
            ) from error

    return made


# --- timm -------------------------------------------------------------------


def of_timm(library: ModuleType, name: str, asked: Mapping[str, object]) -> Found:
    """A classifier of timm by its name, with or without the tag of its weights."""
    known = library.list_models()
    if name.partition(".")[0] not in known:
        raise RequestError(f"timm has no model {name!a:.100}{near(name, known)}; timm.list_models() has all {len(known)}")
    options = {"num_classes": asked.get("classes"), "in_chans": asked.get("channels")}
    given = {key: value for key, value in options.items() if value is not None}
    own = bool(asked.get("own"))
    cfg = library.get_pretrained_cfg(name)
    facts = Facts()
    if cfg is not None:
        size = tuple((cfg.fixed_input_size and cfg.input_size) or cfg.input_size)[1:]
        facts = Facts(input_size=(int(size[0]), int(size[1])))
        if own:
            facts = Facts(mean=tuple(cfg.mean), std=tuple(cfg.std), input_size=facts.input_size)
    make = made_by("timm", name, lambda: library.create_model(name, pretrained=own, **given))
    return Found(make, safe_name(name), facts, f"{OF_LIBRARY} timm {name}" if own else OWN)


# --- torchvision ------------------------------------------------------------


def of_torchvision(library: ModuleType, name: str, asked: Mapping[str, object]) -> Found:
    """A network of torchvision by its name."""
    known = library.models.list_models()
    if name not in known:
        raise RequestError(
            f"torchvision has no model {name!a:.100}{near(name, known)}; supported: torchvision.models.list_models()"
        )
    refuse_channels("torchvision", name, asked)
    own, classes = bool(asked.get("own")), asked.get("classes")
    weights = library.models.get_model_weights(name).DEFAULT if own else None
    takes = library.models.get_model_builder(name)
    given: dict[str, object] = {"num_classes": classes} if classes is not None else {}
    if own and classes is not None:
        raise RequestError(f"--classes {classes} of torchvision:{name} needs weights of that many; give --weights FILE")
    backbone = {"weights_backbone": None} if "weights_backbone" in code_names(takes) and not own else {}
    facts = facts_of_torchvision(weights) if own else Facts()
    if name in library.models.list_models(module=library.models.segmentation):
        facts = facts.joined(Facts(output_key="out"), "torchvision", "torchvision")
    make = made_by("torchvision", name, lambda: takes(weights=weights, **backbone, **given))
    return Found(make, safe_name(name), facts, f"{OF_LIBRARY} torchvision {weights}" if own else OWN)


def code_names(function: Callable[..., object]) -> tuple[str, ...]:
    """Names of a function's parameters, behind decorators."""
    inner: Any = function
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    return tuple(inner.__code__.co_varnames[: inner.__code__.co_argcount + inner.__code__.co_kwonlyargcount])


def facts_of_torchvision(weights: Any) -> Facts:
    """What its metadata and its transforms say."""
    transforms = weights.transforms()
    size = getattr(transforms, "crop_size", None)
    pair = (int(size[0]), int(size[-1])) if size else None
    names = tuple(dict.fromkeys(map(str, weights.meta["categories"])))
    unique = names if len(names) == len(weights.meta["categories"]) else None
    return Facts(mean=tuple(transforms.mean), std=tuple(transforms.std), input_size=pair, class_names=unique)


def refuse_channels(library: str, name: str, asked: Mapping[str, object]) -> None:
    """
    Raises:
        RequestError: other channels than three were asked for.
    """
    if asked.get("channels") not in (None, 3):
        raise RequestError(f"--channels {asked['channels']} was asked for; {library}:{name} takes 3")


# --- segmentation_models_pytorch ---------------------------------------------


def of_smp(library: ModuleType, name: str, asked: Mapping[str, object]) -> Found:
    """A network of segmentation_models_pytorch; it ships no trained decoder."""
    arch, _, encoder = name.partition("/")
    if not encoder:
        raise RequestError(f"--model smp:{name} names no encoder; write smp:unet/resnet34")
    if asked.get("own"):
        raise RequestError(f"smp has no trained weights of {name}, only of encoders; give --weights FILE, or --random-weights")
    classes, channels = asked.get("classes") or 1, asked.get("channels") or 3

    def make() -> nn.Module:
        made: nn.Module = library.create_model(arch, encoder, encoder_weights=None, classes=classes, in_channels=channels)
        return made

    return Found(make, safe_name(f"{arch}-{encoder}"))


# --- transformers -----------------------------------------------------------


def of_transformers(library: ModuleType, name: str, asked: Mapping[str, object]) -> Found:
    """A folder that ``save_pretrained`` wrote; nothing is downloaded, and no code in the folder is run."""
    folder = Path(name)
    config = folder / "config.json"
    if not config.is_file():
        raise RequestError(f"--model hf:{name} is no folder with a config.json; hf download NAME --local-dir FOLDER gets one")
    refuse_channels("hf", name, asked)
    content = read_json(config, "configuration of a network")
    classes = content.get("architectures") or []
    kind = next((each for each in map(str, classes) if hasattr(library, each)), None)
    if kind is None:
        raise RequestError(
            f"{config} names the network {', '.join(map(str, classes)) or 'none'}, which transformers does not have"
        )
    own = bool(asked.get("own"))
    if asked.get("classes") is not None:
        raise RequestError(f"--classes {asked['classes']} was asked for; {config} says how many {kind} has")

    def network() -> object:
        model = getattr(library, kind)
        if not own:
            return model(model.config_class.from_pretrained(folder))
        return model.from_pretrained(folder, local_files_only=True, trust_remote_code=False)

    held = f"{OF_LIBRARY} {folder.resolve().name}" if own else OWN
    make = made_by("transformers", name, network)
    return Found(make, safe_name(folder.resolve().name), facts_of_folder(folder, content), held)


def facts_of_folder(folder: Path, config: Mapping[str, Any]) -> Facts:
    """Names of classes from ``config.json``, mean, std and size from ``preprocessor_config.json``."""
    labels = config.get("id2label") or {}
    names = tuple(str(labels[key]) for key in sorted(labels, key=int)) if all(str(key).isdigit() for key in labels) else ()
    unique = names if names and len(set(names)) == len(names) else None
    file = folder / "preprocessor_config.json"
    if not file.is_file():
        return Facts(class_names=unique, output_key="logits")
    content = read_json(file, "configuration of pixels")
    mean, std = content.get("image_mean"), content.get("image_std")
    normalised = content.get("do_normalize", True) and isinstance(mean, list) and isinstance(std, list)
    size = content.get("size")
    pair = size_of(size)
    if not normalised:
        return Facts(class_names=unique, output_key="logits", input_size=pair)
    return Facts(tuple(map(float, mean)), tuple(map(float, std)), class_names=unique, output_key="logits", input_size=pair)


def size_of(size: object) -> tuple[int, int] | None:
    """Height and width of a preprocessor's ``size``: a number, or an object with ``height`` and ``width``."""
    if isinstance(size, int):
        return size, size
    if isinstance(size, dict) and isinstance(size.get("height"), int) and isinstance(size.get("width"), int):
        return size["height"], size["width"]
    return None


FINDERS: dict[str, Callable[[ModuleType, str, Mapping[str, object]], Found]] = {
    "timm": of_timm,
    "torchvision": of_torchvision,
    "smp": of_smp,
    "hf": of_transformers,
}
