"""Where a network comes from: a file of code, an installed module, a saved program, or another library's collection.

net.py:make   package.module:make   model.pt2   timm:NAME   torchvision:NAME   smp:ARCH/ENCODER   hf:FOLDER
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from onenet.base.text import first_line, near
from onenet.errors import RequestError
from onenet.models import REGISTRY, find
from onenet.models.facts import FILE, Facts

FORMS = "path/to/file.py:factory, module:factory, model.pt2, timm:NAME, torchvision:NAME, smp:ARCH/ENCODER or hf:FOLDER"
"""What ``--model`` takes beside a name of the registry."""
CHECKPOINTS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".pth.tar")
"""Suffixes of what ``--weights`` takes."""
OWN = "from the factory"
"""Which weights a network has where nobody loaded any, as manifests say it."""
OF_LIBRARY = "trained, of"
"""How the description of a library's own weights begins."""
LIBRARIES = ("timm", "torchvision", "smp", "hf")


@dataclass(frozen=True)
class Found:
    """What a reference leads to, before weights are loaded."""

    make: Callable[[], object]
    """Gives the module, or a pair of it and a ``ModelSpec``."""
    name: str = ""
    """For files; the factory's own unless given."""
    known: Facts = field(default_factory=Facts)
    """What the library knows of its own weights."""
    held: str = OWN
    """Which weights it brings, as manifests say it."""


def is_reference(model: str) -> bool:
    """Whether a model's name is anything but one of the registry."""
    return ":" in model or model.endswith((".py", ".pt2", ".toml"))


def folder_of(model: str) -> Path | None:
    """The folder in which a ``model.toml`` lies beside a network; None where it comes from no folder."""
    scheme, _, rest = model.partition(":")
    if scheme == "hf":
        return Path(rest)
    file = model.rpartition(":")[0] if ".py:" in model else model
    return Path(file).parent if file.endswith((".py", ".pt2")) else None


def beside(model: str) -> Path | None:
    """The ``model.toml`` beside a network, where there is one; or the file itself, where that is what was asked for."""
    if model.endswith(".toml"):
        return Path(model)
    folder = folder_of(model)
    return folder / FILE if folder is not None and (folder / FILE).is_file() else None


# --- before any work --------------------------------------------------------


def check_reference(model: str) -> None:
    """Refuse what can be seen to lead nowhere, without running or loading anything.

    Raises:
        RequestError: a name that is not known, or a file that does not exist.
    """
    if not is_reference(model):
        find(model)
        return
    if model.partition(":")[0] in LIBRARIES:
        return
    place = model.rpartition(":")[0] if not model.endswith((".py", ".pt2", ".toml")) else model
    if place.endswith((".py", ".pt2", ".toml")):
        check_file(Path(place), "model file")
    if model.endswith(".py"):
        raise RequestError(f"model {model!r} names no factory; write path/to/file.py:factory or module:factory")


def check_file(path: Path, what: str) -> None:
    """
    Raises:
        RequestError: there is no such file.
    """
    if not path.is_file():
        raise RequestError(f"{what} {path} does not exist")


def check_weights(path: Path) -> None:
    """
    Raises:
        RequestError: there is no such file, or its suffix is none of a checkpoint.
    """
    if not path.name.lower().endswith(CHECKPOINTS):
        raise RequestError(f"weights {path.name}: suffix {path.suffix!r} is not supported; use {', '.join(CHECKPOINTS)}")
    if not path.is_file():
        raise RequestError(f"weights file {path} does not exist; give an existing {' or '.join(CHECKPOINTS)} file")


# --- code -------------------------------------------------------------------


def load_factory(reference: str) -> Callable[[], object]:
    """The callable behind ``path/to/file.py:factory`` or ``package.module:factory``. Runs that code, as importing it would.

    A file's folder is put on the path, as ``python file.py`` does, and so is the present folder for a module.

    Raises:
        RequestError: no such file, module or name, or the code fails to import.
    """
    place, _, name = reference.rpartition(":")
    if not place or not all(part.isidentifier() for part in name.split(".")):
        raise RequestError(f"model {reference!r} names no factory; write path/to/file.py:factory or module:factory")
    module = module_of_file(Path(place)) if place.endswith(".py") else module_of_name(place)
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        public = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__]
        raise RequestError(f"{place} has no callable {name!r}; found: {', '.join(public) or 'none'}{near(name, public)}")
    return found


def module_of_file(path: Path) -> ModuleType:
    """A file, imported; as a part of its package, where it lies in one.

    Raises:
        RequestError: there is no such file, or it fails to import.
    """
    check_file(path, "model file")
    path = path.resolve()
    package = package_of(path)
    root = path.parents[len(package)]
    on_path(root)
    if package:
        return imported(".".join((*package, path.stem)), f"model file {path}")
    spec = importlib.util.spec_from_file_location(f"onenet_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise RequestError(f"model file {path} is no Python file; write path/to/file.py:factory")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    loader = spec.loader
    run_code(lambda: loader.exec_module(module), f"model file {path}")
    return module


def package_of(path: Path) -> tuple[str, ...]:
    """Names of the packages that a file lies in, outermost first."""
    names: list[str] = []
    folder = path.parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        names.insert(0, folder.name)
        folder = folder.parent
    return tuple(names)


def module_of_name(name: str) -> ModuleType:
    """An installed module, or one of the present folder.

    Raises:
        RequestError: there is none, or it fails to import.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise RequestError(
            f"model {name!a:.100} is neither a file nor a module; write {FORMS}{near(name, (*REGISTRY, *LIBRARIES))}"
        )
    on_path(Path.cwd())
    return imported(name, f"module {name}", near(name, LIBRARIES))


def on_path(folder: Path) -> None:
    """Let a folder's modules be imported, before installed ones of the same name."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()


def imported(name: str, what: str, hint: str = "") -> ModuleType:
    """A module by its import name."""
    run_code(lambda: importlib.import_module(name), what, hint)
    return sys.modules[name]


def run_code(code: Callable[[], object], what: str, hint: str = "") -> None:
    """Run somebody's code; ``hint`` ends the message where it fails.

    Raises:
        RequestError: it raises anything.
    """
    try:
        code()
    except (Exception, SystemExit) as error:  # whatever the user's file raises
        raise RequestError(f"{what} fails to import: {type(error).__name__}: {first_line(error)}{hint}") from error
