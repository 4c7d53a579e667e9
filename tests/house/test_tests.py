"""Tests mirror the tree: what a module does is tested in a file of its own name, or one list says where and why."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.house.product import REPOSITORY, Module, product
from tests.house.untested import ELSEWHERE

TESTS = REPOSITORY / "tests"


def expected_files(module: Module) -> tuple[Path, ...]:
    """Where the tests of a module may stand, from ``tests``. Those of a package are named as its folder."""
    parts = module.name.split(".")[1:]
    folder, name = Path(*parts[:-1]), f"test_{parts[-1]}.py"
    inside = Path(*parts) / name
    files = [Path("unit") / folder / name, Path("unit") / inside]
    if parts[:2] in (["lowering", "rules"], ["runtimes", "backends"]):  # the folder that is a table may be left out
        files.append(Path("unit") / parts[0] / name)
    if parts[0] == "exporters":
        files.append(Path("export") / name)
    if parts[:2] == ["runtimes", "devices"]:
        files.append(Path("device") / name)
    return tuple(files)


def has_code(module: Module) -> bool:
    """Whether there is something to test: not a docstring and imports alone."""
    harmless = ast.Import | ast.ImportFrom | ast.Expr
    return not all(isinstance(node, harmless) for node in module.tree.body)


def missing() -> dict[str, tuple[Path, ...]]:
    """Modules without a test file of their own, and where it could stand."""
    modules = {module.name: module for module in product().values() if "." in module.name and has_code(module)}
    files = {name: expected_files(module) for name, module in modules.items()}
    return {name: paths for name, paths in files.items() if not any((TESTS / path).is_file() for path in paths)}


def test_every_module_has_tests_of_its_name() -> None:
    new = [f"{name}: {paths[0]} is missing" for name, paths in missing().items() if name not in ELSEWHERE]
    assert not new, "\n".join(new)


def test_the_list_is_not_longer_than_it_must_be() -> None:
    assert set(ELSEWHERE) <= set(missing())


def test_the_list_names_files_that_are_there() -> None:
    for module, (place, reason) in ELSEWHERE.items():
        assert reason, module
        assert (TESTS / place).is_file(), f"{module}: {place}"


def test_no_test_imports_another_test_file() -> None:
    wrong = []
    for file in sorted(TESTS.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module or ''}.{alias.name}" for alias in node.names]
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            wrong += [f"{file.relative_to(TESTS)}: {name}" for name in names if ".test_" in f".{name}" and "tests." in name]
    assert not wrong, "\n".join(wrong)
