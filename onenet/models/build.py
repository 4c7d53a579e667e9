"""From a name, a configuration file or anyone's own module to a ``Model``."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from torch import Tensor, nn

from onenet.base.text import first_line
from onenet.errors import RequestError
from onenet.model import Model
from onenet.models import DEFAULT, REGISTRY, Entry, find
from onenet.models.checkpoint import load_into, read_state, state_sha256
from onenet.spec import ClassSpec, ModelSpec, TensorSpec, numbered_classes

Output = Literal["logits", "probabilities", "labels"]
OUTPUTS: tuple[Output, ...] = ("logits", "probabilities", "labels")
INPUT_SIZE = (256, 256)
"""Height and width when nothing else says so: the paper's mask resolution (section 4)."""


class WithOutput(nn.Module):
    """Class logits turned into probabilities, or labels (int32), over the channel axis."""

    def __init__(self, module: nn.Module, output: Output) -> None:
        super().__init__()
        self.module = module
        self.output = output

    def forward(self, *inputs: Tensor) -> Tensor:
        logits: Tensor = self.module(*inputs)
        if self.output == "probabilities":
            return logits.softmax(1)
        return logits.argmax(1).to(torch.int32)


def build(
    model: str | nn.Module | Callable[[], Any] = DEFAULT,
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
) -> Model:
    """Make a model ready for ``lower``.

    Args:
        model: a registry name (``onenet models``), ``path/to/file.py:factory``, a module, or a factory of one. A factory
            returns an ``nn.Module``, or a pair of it and a ``ModelSpec`` if it takes anything but one image.
        width, classes, kernel, spatial: override the registry's shape; without ``weights`` they must be the shipped ones.
        weights: a ``.safetensors``, ``.pt`` or ``.pth`` state dict; a OneNet's shape is read off it.
        random_weights: build untrained, seeded by ``seed``, for benchmarks.
        config: a YAML file of the official repository; its ``model:`` section replaces the registry name.
        input_size: height and width in pixels; 256x256 unless ``config`` has a resolution.
        output: what the network returns per pixel.

    Raises:
        RequestError: unknown name, missing or mismatching weights, an input size that the network cannot take.
    """
    if output not in OUTPUTS:
        raise RequestError(f"output {output!r} is not known; supported: {', '.join(OUTPUTS)}")
    if weights and random_weights:
        raise RequestError("a weights file and random weights were both asked for; give one of them")
    torch.manual_seed(seed)
    shape_options = {"width": width, "classes": classes, "kernel": kernel, "spatial": spatial}
    if isinstance(model, str) and not is_file_reference(model):
        entry = find(model)
        options = read_config(Path(config)) if config else None
        size = input_size or (options or {}).get("resolution") or INPUT_SIZE
        built = build_registered(entry, options, shape_options, weights, random_weights, size)
    else:
        given = [f"--{name}" for name, value in shape_options.items() if value is not None] + ["--config"] * bool(config)
        if given:
            raise RequestError(f"{', '.join(given)} shape the registry's models; your own factory decides its shape itself")
        built = build_foreign(model, weights, input_size or INPUT_SIZE)
    return built if output == "logits" else with_output(built, output)


def build_registered(
    entry: Entry,
    config_options: dict[str, Any] | None,
    shape_options: dict[str, Any],
    weights: Path | str | None,
    random_weights: bool,
    size: tuple[int, int],
) -> Model:
    system = importlib.import_module(f"onenet.models.{entry.system}")
    path = Path(weights) if weights else None
    if path is None and config_options is None and not random_weights:
        path = entry.weights
        if path is None:
            raise RequestError(f"no trained weights are shipped for {entry.name}; {how_to_get_weights()}")
    state = read_state(path) if path else None
    published = config_options["model"] if config_options else None
    config = system.configure(entry.options, published, state, shape_options)
    if path is None and not random_weights:
        raise RequestError(
            f"the configuration {config_options and config_options['file']} names no weights; {how_to_get_weights()}"
        )
    module = system.create(config)
    shipped = path is not None and path == entry.weights
    if state is not None:
        if shipped and system.configure(entry.options, None, state, {}) != config:
            has = ", ".join(f"{k} {v}" for k, v in config_difference(system, entry, state, config).items())
            raise RequestError(f"the weights shipped for {entry.name} have {has}; {how_to_get_weights()}")
        load_into(module, state, f"weights {path.name if path else ''}")
    name = entry.name if not config_options else system.name_of(config)
    height, width = size
    if height % config.divisor or width % config.divisor:
        raise RequestError(
            f"input size {height}x{width} is not divisible by {config.divisor}, which {name} needs; "
            f"nearest: {nearest(height, config.divisor)}x{nearest(width, config.divisor)}"
        )
    source = {
        "model": name,
        "paper": entry.paper,
        "config": config.as_dict(),
        "weights": "random" if path is None else "shipped" if shipped else path.name,
    }
    return finish(module, name, size, config.channels_in, source, class_names(entry, shipped, config.classes))


def how_to_get_weights() -> str:
    shipped = [name for name, entry in REGISTRY.items() if entry.weights]
    return f"give --weights FILE, --random-weights for an untrained network, or one of {', '.join(shipped) or 'none'}"


def config_difference(system: Any, entry: Entry, state: dict[str, Tensor], config: Any) -> dict[str, Any]:
    """Where the shipped checkpoint's configuration differs from the one asked for: field -> shipped value."""
    shipped = system.configure(entry.options, None, state, {}).as_dict()
    return {key: value for key, value in shipped.items() if value != config.as_dict()[key]}


def class_names(entry: Entry, shipped: bool, count: int) -> tuple[ClassSpec, ...]:
    described = entry.weights.with_suffix(".json") if shipped and entry.weights else None
    if described is None or not described.exists():
        return numbered_classes(count)
    return tuple(ClassSpec(**each) for each in json.loads(described.read_text())["classes"])


def nearest(size: int, divisor: int) -> int:
    return max(divisor, round(size / divisor) * divisor)


def read_config(path: Path) -> dict[str, Any]:
    """``{"model": ..., "resolution": (H, W) or None, "file": name}`` of an official YAML configuration.

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
    return {"model": content["model"], "resolution": tuple(resolution) if resolution else None, "file": path.name}


def is_file_reference(model: str) -> bool:
    return ".py:" in model or model.endswith(".py")


def load_factory(reference: str) -> Callable[[], Any]:
    """The callable behind ``path/to/file.py:factory``. Runs that file's code, as importing it would.

    Raises:
        RequestError: no such file or name, or the file fails to import.
    """
    file, _, name = reference.rpartition(":")
    if not file or not name.isidentifier():
        raise RequestError(f"model {reference!r} names no factory; write path/to/file.py:factory")
    path = Path(file)
    if not path.is_file():
        raise RequestError(f"model file {file} does not exist")
    spec = importlib.util.spec_from_file_location(f"onenet_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise RequestError(f"model file {file} is no Python file; write path/to/file.py:factory")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the user's file raises
        raise RequestError(f"model file {file} fails to import: {type(error).__name__}: {first_line(error)}") from error
    factory = getattr(module, name, None)
    if not callable(factory):
        public = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == spec.name]
        raise RequestError(f"{file} has no callable {name!r}; found: {', '.join(public) or 'none'}")
    return factory  # type: ignore[no-any-return]  # a user's callable


def build_foreign(model: str | nn.Module | Callable[[], Any], weights: Path | str | None, size: tuple[int, int]) -> Model:
    module, spec, name = make_foreign(load_factory(model) if isinstance(model, str) else model)
    if weights:
        load_into(module, read_state(Path(weights)), f"weights {Path(weights).name}")
    module.eval()
    if spec is not None:
        check_signature(module, spec)
        return Model(dataclasses.replace(spec, source={**spec.source, **provenance(module)}), module)
    source = {"model": name, "weights": Path(weights).name if weights else "from the factory"}
    return finish(module, name, size, channels_in(module, size), source, None)


def make_foreign(factory: nn.Module | Callable[[], Any]) -> tuple[nn.Module, ModelSpec | None, str]:
    """The module, its signature if the factory brings one, and a name that a file can have."""
    if isinstance(factory, nn.Module):
        return factory, None, type(factory).__name__
    name = getattr(factory, "__name__", "")
    name = name if name.isidentifier() else "model"  # a lambda, or an object that can be called
    try:
        made = factory()
    except (Exception, SystemExit) as error:  # whatever the user's factory raises
        raise RequestError(f"factory {name}() failed: {type(error).__name__}: {first_line(error)}") from error
    module, spec = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, nn.Module) or not isinstance(spec, (ModelSpec, type(None))):
        found = ", ".join(type(each).__name__ for each in made) if isinstance(made, tuple) else type(made).__name__
        raise RequestError(f"factory {name}() returned {found}; an nn.Module, or one and a ModelSpec, is needed")
    return module, spec, name


def check_signature(module: nn.Module, spec: ModelSpec) -> None:
    """Run a module once on zeros and compare with the signature that came with it.

    Raises:
        RequestError: it does not run on these inputs, gives other outputs, or its name cannot be a file's.
    """
    if not re.fullmatch(r"\w[\w.-]*", spec.name):
        raise RequestError(f"model name {spec.name!r} cannot be a file's: use letters, digits, '.', '_' and '-'")
    found = [(tuple(r.shape), str(r.dtype).removeprefix("torch.")) for r in run_once(module, spec.name, spec.inputs)]
    expected = [(t.shape, t.dtype) for t in spec.outputs]
    if found != expected:
        raise RequestError(f"{spec.name} returns {found}, its ModelSpec says {expected}; make them agree")


def run_once(module: nn.Module, name: str, inputs: tuple[TensorSpec, ...]) -> list[Tensor]:
    """All outputs on zeros.

    Raises:
        RequestError: the module does not run on these shapes, or returns anything but tensors.
    """
    try:
        with torch.no_grad():
            result = module(*(torch.zeros(t.shape, dtype=getattr(torch, t.dtype)) for t in inputs))
    except Exception as error:  # a user's network may raise anything for a size it cannot take
        shapes = " and ".join(str(t.shape) for t in inputs)
        raise RequestError(f"{name} does not run on {shapes}: {first_line(error)}; try another --input-size") from error
    results = list(result) if isinstance(result, (tuple, list)) else [result]
    if not results or not all(isinstance(r, Tensor) for r in results):
        raise RequestError(f"{name} returns {type(result).__name__}; a tensor, or a list or tuple of tensors, is needed")
    return results


def channels_in(module: nn.Module, size: tuple[int, int]) -> int:
    """3 where the module runs on it, else the input channels of its first convolution."""
    image = TensorSpec("image", "image", (1, 3, *size), "NCHW")
    with contextlib.suppress(RequestError):
        run_once(module, "", (image,))
        return 3
    first = next((m for m in module.modules() if isinstance(m, nn.Conv2d)), None)
    return 3 if first is None else first.in_channels


def provenance(module: nn.Module) -> dict[str, Any]:
    return {"weights_sha256": state_sha256(module), "parameters": sum(p.numel() for p in module.parameters())}


def finish(
    module: nn.Module,
    name: str,
    size: tuple[int, int],
    channels: int,
    source: dict[str, Any],
    classes: tuple[ClassSpec, ...] | None,
) -> Model:
    """A one-image model with its signature read off one run on zeros."""
    module = module.eval()
    image = TensorSpec("image", "image", (1, channels, *size), "NCHW", value_range=(0.0, 1.0))
    results = run_once(module, name, (image,))
    masks = len(results) == 1 and results[0].dim() == 4
    outputs = tuple(
        TensorSpec(
            "logits" if masks else f"output_{i}",
            "logits" if masks else "scores",
            tuple(r.shape),
            "NCHW" if r.dim() == 4 else "other",
            str(r.dtype).removeprefix("torch."),
        )
        for i, r in enumerate(results)
    )
    classes = classes if classes is not None else numbered_classes(outputs[0].shape[1]) if masks else ()
    task = "segmentation" if masks else "other"
    return Model(ModelSpec(name, task, (image,), outputs, classes, source={**source, **provenance(module)}), module)


def with_output(model: Model, output: Output) -> Model:
    logits = model.spec.outputs[0]
    if len(model.spec.outputs) != 1 or logits.role != "logits" or len(logits.shape) != 4:
        gives = ", ".join(f"{t.role} {t.shape}" for t in model.spec.outputs)
        raise RequestError(f"output {output!r} needs class logits (N, classes, H, W) alone; {model.spec.name} gives {gives}")
    n, _, height, width = logits.shape
    if output == "labels":
        changed = dataclasses.replace(
            logits, name="labels", role="labels", shape=(n, height, width), layout="other", dtype="int32"
        )
    else:
        changed = dataclasses.replace(logits, name="probabilities", role="probabilities", value_range=(0.0, 1.0))
    return Model(dataclasses.replace(model.spec, outputs=(changed,)), WithOutput(model.module, output).eval())
