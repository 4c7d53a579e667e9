"""Which module imports which, lazily or for types only as well, and in which order they may."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from tests.house.product import Module

FACADE = "onenet"
"""``onenet/__init__.py`` shows names of the whole product, loaded when they are asked for. It stands above everything."""
VERSION = "onenet.__version__"
"""The one name of it that everybody may import: it stands at the top of the file and needs nothing."""


@dataclass(frozen=True)
class Level:
    """Modules that may import what stands in the levels above this one in ORDER, and one another without a circle.

    Attributes:
        members: Import names; a name covers what lies inside it, unless another level names that more exactly.
        reason: Why it stands there.
        never: Members of earlier levels that it must not import all the same.
    """

    members: tuple[str, ...]
    reason: str
    never: tuple[str, ...] = ()


ORDER = (
    Level(("onenet.errors", "onenet.base"), "what every device can import: Python 3.9, numpy and Pillow"),
    Level(("onenet.spec", "onenet.model"), "what a model is: signature, labels, program"),
    Level(("onenet.targets", "onenet.tasks"), "cards, data only, read by everything below"),
    Level(("onenet.models",), "the published networks, in PyTorch"),
    Level(("onenet.lowering",), "rewrites what models build"),
    Level(
        ("onenet.runtimes.session", "onenet.runtimes.tensors"),
        "the contract of what opens a file",
        never=("onenet.models", "onenet.lowering"),
    ),
    Level(
        ("onenet.runtimes.backends",),
        "one runtime a file; they know the contract and nothing of artifacts",
        never=("onenet.models", "onenet.lowering"),
    ),
    Level(
        ("onenet.runtimes",),
        "open, run and check an artifact on a device, where no PyTorch is",
        never=("onenet.models", "onenet.lowering"),
    ),
    Level(("onenet.calibration",), "quantizes what lowering wrote", never=("onenet.runtimes",)),
    Level(("onenet.exporters",), "write artifacts and run what they wrote"),
    Level(
        ("onenet.runtimes.agent",),
        "the whole of what travels to a device",
        never=("onenet.models", "onenet.lowering", "onenet.calibration", "onenet.exporters"),
    ),
    Level(
        ("onenet.runtimes.devices",),
        "carry the agent to a device and bring its document back",
        never=("onenet.models", "onenet.lowering", "onenet.calibration", "onenet.exporters"),
    ),
    Level(
        ("onenet.runtimes.measure",),
        "campaigns: which artifacts on which devices; takes the options of an export from onenet.exporters.options",
        never=("onenet.models", "onenet.lowering", "onenet.calibration"),
    ),
    Level(
        ("onenet.runtimes.report",),
        "pages made of documents",
        never=("onenet.models", "onenet.lowering", "onenet.calibration", "onenet.exporters"),
    ),
    Level(("onenet.cli",), "the command line calls the library and is called by nobody"),
)


@dataclass(frozen=True)
class Arrow:
    """One import: ``source`` needs ``target``."""

    source: str
    target: str
    line: int


def arrows(module: Module, known: set[str]) -> Iterator[Arrow]:
    """Every import of one of the ``known`` modules, wherever it stands in the file."""
    for node in ast.walk(module.tree):
        for name in imported_names(module, node):
            target = nearest(name, known)
            if target and target != module.name and name != VERSION:
                yield Arrow(module.name, target, getattr(node, "lineno", 0))


def imported_names(module: Module, node: ast.AST) -> list[str]:
    """The dotted names that a statement or call imports; of ``from a import b``, a.b."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = module.name.split(".")
            base = ".".join([*parts[: len(parts) - node.level + module.is_package], *([node.module] if node.module else [])])
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        literal = node.args[0] if node.args else None
        if name in {"import_module", "__import__"} and isinstance(literal, ast.Constant):
            return [str(literal.value)]
    return []


def nearest(name: str, known: set[str]) -> str | None:
    """The module that ``name`` lies in, or nothing for another project's."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


def level_of(name: str) -> int:
    """The place in ORDER of the longest member that holds this module."""
    places = [(len(member), place) for place, level in enumerate(ORDER) for member in level.members if inside(name, member)]
    if not places:
        raise ValueError(f"{name} stands in no level of tests/house/imports.py")
    return max(places)[1]


def inside(name: str, member: str) -> bool:
    """Whether a module is ``member`` or lies in it."""
    return name == member or name.startswith(f"{member}.")


def against(arrow: Arrow) -> str | None:
    """Why an import runs the wrong way, or nothing."""
    if arrow.source == FACADE:
        return None
    if arrow.target == FACADE:
        return "imports the facade: import the module that holds the name"
    source, target = level_of(arrow.source), level_of(arrow.target)
    level = ORDER[source]
    if target > source:
        return f"{level.members[0]} ({level.reason}) stands below {ORDER[target].members[0]}"
    if target != source and any(inside(arrow.target, member) for member in level.never):
        return f"{level.members[0]} ({level.reason}) never imports it"
    return None


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import one another, each sorted (Tarjan's strongly connected components of two and more)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in sorted(edges.get(name, ())):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                groups.append(sorted(group))

    for name in sorted(edges):
        if name not in index:
            visit(name)
    return groups
