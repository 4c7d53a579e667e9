"""From a name, a configuration file or anyone's own module to a ``Model``."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from onenet.base.arrays import Array
from onenet.base.text import first_line
from onenet.errors import RequestError
from onenet.model import Model
from onenet.models import DEFAULT, REGISTRY, ModelCard, find
from onenet.models.checkpoint import read_state, unwrapped
from onenet.models.facts import Facts
from onenet.models.fitting import load_into
from onenet.models.foreign import (
    INPUT_SIZE,
    build_foreign,
    check_signature,
    finish,
    image_of,
    provenance,
    run_once,
)
from onenet.models.output import OUTPUTS, Output, with_output
from onenet.models.prepare import with_facts
from onenet.models.prompts import with_prompts
from onenet.models.resolve import Asked
from onenet.models.sources import is_reference
from onenet.models.system import Config, System
from onenet.spec import ClassSpec, ModelSpec, numbered_classes

BOTH_WEIGHTS = "a weights file and random weights were both asked for; give one of them"


def build(
    model: str | nn.Module | Callable[[], object] = DEFAULT,
    *,
    width: int | None = None,
    classes: int | None = None,
    kernel: int | None = None,
    spatial: bool | None = None,
    weights: Path | str | None = None,
    random_weights: bool = False,
    seed: int = 0,
    config: Path | str | None = None,
    input_size: tuple[int, int] | None = None,
    output: Output = "logits",
    facts: Facts | None = None,
) -> Model:
    """Make a model ready for ``lower``.

    Args:
        model: a registry name (``onenet models``), a reference (``path/to/file.py:factory``, ``module:factory``,
            ``model.pt2``, ``timm:NAME``, ``torchvision:NAME``, ``smp:ARCH/ENCODER``, ``hf:FOLDER``), a module, or a factory
            of one. A factory returns an ``nn.Module``, or a pair of it and a ``ModelSpec`` if it takes anything but one
            image. Keys and fields of what the network returns are its outputs' names.
        width, classes, kernel, spatial: override the registry's shape; without ``weights`` they must be the shipped ones.
            ``classes`` is for networks of timm, torchvision and smp as well.
        weights: a checkpoint: ``.safetensors``, or a PyTorch file that holds a state dict. A OneNet's shape is read off it.
        random_weights: build untrained, seeded by ``seed``, for benchmarks. A factory's network is initialised anew.
        config: a YAML file of the official repository; its ``model:`` section replaces the registry name.
        input_size: height and width in pixels; 256x256 unless ``config`` has a resolution.
        output: what the network returns: class logits, probabilities or labels.
        facts: what else is known of it: normalisation, names of classes, which of its outputs. A ``model.toml`` beside the
            network is read as well.

    Raises:
        RequestError: unknown name, missing or mismatching weights, an input size that the network cannot take, random weights
            for a network that cannot be initialised anew.
    """
    if output not in OUTPUTS:
        raise RequestError(f"output {output!r} is not known; supported: {', '.join(OUTPUTS)}")
    torch.manual_seed(seed)
    shape_options = {"width": width, "classes": classes, "kernel": kernel, "spatial": spatial}
    facts = Facts(input_size=input_size).joined(facts or Facts(), "input_size", "facts")
    if isinstance(model, str) and not is_reference(model):
        entry = find(model)
        refuse_shape(entry.name, facts)
        options = read_config(Path(config)) if config else None
        size = facts.input_size or (options and options.resolution) or INPUT_SIZE
        built = build_registered(entry, options, shape_options, weights, random_weights, size, facts.ema)
        built = with_facts(built, facts)
    else:
        own = ("classes",) if isinstance(model, str) else ()
        given = [f"--{name}" for name, value in shape_options.items() if value is not None and name not in own]
        given += ["--config"] * bool(config)
        if given:
            raise RequestError(f"{', '.join(given)} shape the registry's models; your own factory decides its shape itself")
        if weights and random_weights:
            raise RequestError(BOTH_WEIGHTS)
        asked = Asked(Path(weights) if weights else None, seed if random_weights else None, classes, facts)
        built = build_foreign(model, asked)
    return built if output == "logits" else with_output(built, output)


def refuse_shape(name: str, facts: Facts) -> None:
    """
    Raises:
        RequestError: something was said of a model by name that it says itself.
    """
    known = {"input_name": "--input-name", "channels": "--channels", "batch": "--batch", "output_key": "--output-key"}
    given = [option for field, option in known.items() if getattr(facts, field) is not None]
    if given:
        raise RequestError(f"{', '.join(given)} describe networks of your own; {name} has its own inputs and outputs")


def build_registered(
    entry: ModelCard,
    published: Published | None,
    shape_options: Mapping[str, object],
    weights: Path | str | None,
    random_weights: bool,
    size: tuple[int, int],
    ema: bool = False,
) -> Model:
    """A registered system's network, with the weights that were asked for or are shipped."""
    system: System[Config] = importlib.import_module(entry.builder).SYSTEM
    path = Path(weights) if weights else None
    if path is None and published is None and not random_weights:
        path = entry.weights
        if path is None:
            raise RequestError(f"no trained weights are shipped for {entry.name}; {how_to_get_weights()}")
    state = system.own_keys(unwrapped(read_state(path, ema))) if path else None
    config = system.configure(entry.options, published.model if published else None, state, shape_options)
    if path is None and not random_weights:
        raise RequestError(f"the configuration {published and published.file} names no weights; {how_to_get_weights()}")
    module = system.create(config)
    shipped = path is not None and path == entry.weights
    drawn: list[str] = []
    if state is not None and path is not None:
        if shipped:
            check_shipped(system, entry, state, config)
        drawn = drawn_parts(module, state, path.name, random_weights)
        own = {key: value for key, value in module.state_dict().items() if part_of(key) in drawn}
        load_into(module, {**own, **state}, f"weights {path.name}")
    name = system.name_of(config) if published else entry.name
    check_size(name, size, config.divisor)
    source = {
        "model": name,
        "paper": entry.paper,
        "config": config.as_dict(),
        "weights": "random" if path is None else "shipped" if shipped else weights_text(path, drawn),
    }
    facts, told = shipped_facts(entry) if shipped else {}, system.outputs(config, size)
    if told is None:
        return finish(module, name, image_of(config.channels_in, size), source, class_names(facts, config.classes))
    task, outputs = told
    spec = ModelSpec(name, task, system.inputs(config, size), outputs, source={**source, **provenance(module)})
    check_signature(run_once(module.eval(), name, spec.inputs).tensors, spec)
    model = Model(spec, module)
    return with_prompts(model, prompt_table(facts)) if "prompts" in facts else model


def part_of(key: str) -> str:
    """``encoder`` of ``encoder.conv1.weight``: the part of a network that a tensor belongs to."""
    return key.partition(".")[0]


def drawn_parts(module: nn.Module, state: Mapping[str, Tensor], file: str, random_weights: bool) -> list[str]:
    """Parts of a network that a checkpoint has nothing of, and that are drawn: a pretrained encoder has no decoder.

    Raises:
        RequestError: parts are missing and random weights were not asked for, or the other way round.
    """
    given = {part_of(key) for key in state}
    parts = dict.fromkeys(part_of(key) for key in module.state_dict())
    missing = [part for part in parts if part not in given] if given & set(parts) else []
    if missing and not random_weights:
        raise RequestError(
            f"weights {file} hold the {' and '.join(part for part in parts if part in given)} only; for a network whose "
            f"{' and '.join(missing)} is untrained, give --random-weights as well"
        )
    if random_weights and not missing:
        raise RequestError(BOTH_WEIGHTS)
    return missing


def weights_text(path: Path, drawn: list[str]) -> str:
    """``resnet34.pth, decoder random``: where weights are from."""
    return ", ".join([path.name, *(f"{part} random" for part in drawn)])


def check_size(name: str, size: tuple[int, int], divisor: int) -> None:
    """Refuse an input size that the network cannot halve often enough, with a RequestError that names the nearest."""
    height, width = size
    if height % divisor or width % divisor:
        raise RequestError(
            f"input size {height}x{width} is not divisible by {divisor}, which {name} needs; "
            f"nearest: {nearest(height, divisor)}x{nearest(width, divisor)}"
        )


def check_shipped(system: System[Config], entry: ModelCard, state: Mapping[str, Tensor], config: Config) -> None:
    """Refuse a shape that the shipped checkpoint does not have."""
    shipped, asked = system.configure(entry.options, None, state, {}).as_dict(), config.as_dict()
    has = ", ".join(f"{key} {value}" for key, value in shipped.items() if value != asked[key])
    if has:
        raise RequestError(f"the weights shipped for {entry.name} have {has}; {how_to_get_weights()}")


def how_to_get_weights() -> str:
    """The end of a message about missing weights: what can be given instead."""
    shipped = [name for name, entry in REGISTRY.items() if entry.weights]
    return f"give --weights FILE, --random-weights for an untrained network, or one of {', '.join(shipped) or 'none'}"


def shipped_facts(entry: ModelCard) -> dict[str, Any]:
    """What is written beside a shipped checkpoint: its classes, or the texts that it was trained with."""
    described = entry.weights.with_suffix(".json") if entry.weights else None
    content: dict[str, Any] = json.loads(described.read_text()) if described and described.exists() else {}
    return content


def class_names(facts: Mapping[str, Any], count: int) -> tuple[ClassSpec, ...]:
    """The classes that belong to a shipped checkpoint; numbered ones for any other."""
    return tuple(ClassSpec(**each) for each in facts["classes"]) if "classes" in facts else numbered_classes(count)


def prompt_table(facts: Mapping[str, Any]) -> dict[str, Array]:
    """The texts of a shipped checkpoint, with their embeddings."""
    return {text: np.asarray(values, np.float32) for text, values in facts["prompts"].items()}


def nearest(size: int, divisor: int) -> int:
    """The multiple of ``divisor`` that is nearest to ``size``, and at least ``divisor``."""
    return max(divisor, round(size / divisor) * divisor)


@dataclass(frozen=True)
class Published:
    """What an official YAML configuration says."""

    file: str
    model: Mapping[str, object]
    resolution: tuple[int, int] | None
    """(height, width), where it has one."""


def read_config(path: Path) -> Published:
    """An official YAML configuration.

    Raises:
        RequestError: no such file, not YAML, no ``model:`` section, or a resolution that is not two numbers.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RequestError(f"configuration {path} cannot be read: {first_line(error)}") from error
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise RequestError(f"configuration {path.name} has no 'model:' section; see the official repository's configs/*.yaml")
    data = content.get("data")
    resolution = data.get("resolution") if isinstance(data, dict) else None
    if resolution is not None and not (isinstance(resolution, list) and [type(n) for n in resolution] == [int, int]):
        raise RequestError(f"configuration {path.name}: data.resolution must be [height, width], found {resolution!r}")
    return Published(path.name, content["model"], tuple(resolution) if resolution else None)
