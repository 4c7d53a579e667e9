"""``onenet-agent.pyz``: the agent and what it imports of onenet in one file that any Python since 3.9 runs. No clock in it.

What it imports is read from the sources, and what it finds by name from the cards, so there is no list to keep.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import io
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

from onenet.runtimes import RUNTIMES
from onenet.targets import TARGETS
from onenet.tasks import TASKS

PROGRAM = "onenet.runtimes.agent.program"
MAIN = f"""import sys
if sys.version_info < (3, 9):
    sys.exit("onenet-agent needs Python 3.9 or later; this is %d.%d" % sys.version_info[:2])
try:
    import numpy
except ImportError:
    sys.exit("onenet-agent needs numpy; python3 -m pip install numpy")
from {PROGRAM} import main
sys.exit(main(sys.argv[1:]))
"""
PARSING = threading.Lock()
"""Devices are measured side by side, and CPython 3.11's parser fails in two threads at once ("recursion depth mismatch")."""
NO_DATE = (1980, 1, 1, 0, 0, 0)


def travelling() -> dict[str, Path]:
    """Every module that the agent needs -> its file, the packages around it included."""
    found: dict[str, Path] = {}
    waiting = [PROGRAM, *found_by_name()]
    while waiting:
        name = waiting.pop()
        path = None if name in found else file_of(name)
        if path is None:
            continue
        found[name] = path
        parent = name.rpartition(".")[0]
        waiting += [*([parent] if parent else []), *imported(path)]
    return dict(sorted(found.items()))


def found_by_name() -> list[str]:
    """Modules that the program finds in folders of cards: the runtimes that travel, all targets and tasks."""
    runtimes = RUNTIMES.modules()
    carried = [runtimes[name] for name, card in RUNTIMES.cards().items() if card.travels]
    return list(dict.fromkeys([*carried, *TARGETS.modules().values(), *TASKS.modules().values()]))


def file_of(name: str) -> Path | None:
    """A module's file; None for a name that is something inside a module."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # its parent is no package
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


@functools.cache
def imported(path: Path) -> tuple[str, ...]:
    """What a file imports of onenet, inside functions too; not what only a type checker reads."""
    with PARSING:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    return tuple(imports_in(tree))


def imports_in(tree: ast.Module) -> Iterator[str]:
    """The names that a module's statements import of onenet, those for a type checker left out."""
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "onenet":
            yield str(node.module)
            yield from (f"{node.module}.{each.name}" for each in node.names)
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.partition(".")[0] == "onenet")


def sources() -> dict[str, bytes]:
    """Path inside the archive -> content."""
    found = {"__main__.py": MAIN.encode()}
    for name, path in travelling().items():
        inside = name.replace(".", "/")
        found[f"{inside}/__init__.py" if path.name == "__init__.py" else f"{inside}.py"] = path.read_bytes()
    return found


def pack() -> bytes:
    """The archive; the same bytes from the same sources."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sources().items():
            archive.writestr(zipfile.ZipInfo(name, NO_DATE), content, zipfile.ZIP_DEFLATED)
    return made.getvalue()
