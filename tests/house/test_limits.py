"""Sizes and types of the product's source stay within limits. ``python -m tests.house.measures`` prints the figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house import measures
from tests.house.product import Module, product

FILE, FUNCTION, PARAMETERS = 400, 60, 12
ANY_PER_1000, TYPE_IGNORES, DOCSTRINGS_PERCENT = 8, 15, 90

EXCEPTIONS = {
    "onenet.cli.run.command": "typer reads the options of a command from its signature: one parameter each",
    "onenet.cli.bench.command": "typer reads the options of a command from its signature: one parameter each",
}
"""Module or function that may be larger, and why."""


def above(limit: int, figures: Callable[[Module], dict[str, int]]) -> list[str]:
    """What is larger than it may be."""
    sizes = {name: size for module in product().values() for name, size in figures(module).items()}
    return [f"{name}: {size}, at most {limit}" for name, size in sizes.items() if size > limit and name not in EXCEPTIONS]


def test_files() -> None:
    assert above(FILE, lambda module: {module.name: measures.file_length(module)}) == []


def test_functions() -> None:
    assert above(FUNCTION, measures.function_lengths) == []


def test_parameters() -> None:
    assert above(PARAMETERS, measures.parameter_counts) == []


def test_every_exception_is_needed() -> None:
    modules = product().values()
    large = {module.name for module in modules if measures.file_length(module) > FILE}
    large |= {name for module in modules for name, size in measures.function_lengths(module).items() if size > FUNCTION}
    large |= {name for module in modules for name, count in measures.parameter_counts(module).items() if count > PARAMETERS}
    assert set(EXCEPTIONS) <= large
    assert all(EXCEPTIONS.values())


def test_types_and_docstrings() -> None:
    figures = measures.measure(product().values())
    assert figures.any_per_1000 <= ANY_PER_1000
    assert figures.type_ignores <= TYPE_IGNORES
    assert figures.public_docstrings_percent >= DOCSTRINGS_PERCENT


SAMPLE = '''"""What it is."""

from typing import Any  # a comment


class Thing:
    """A thing."""

    def method(self, a: Any, *rest: int, key: str = "", **more: Any) -> None:
        """Say what.

        Twice.
        """
        x: int = "1"  # type: ignore[assignment]  # a string

    def _private(self): ...


def bare(): ...
'''


def sample() -> Module:
    return Module("sample", Path("sample.py"), SAMPLE)


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        (measures.file_length, 19),
        (measures.code_lines, 6),
        (measures.any_count, 2),
        (measures.type_ignores, 1),
        (measures.function_lengths, {"sample.Thing.method": 6, "sample.Thing._private": 1, "sample.bare": 1}),
        (measures.parameter_counts, {"sample.Thing.method": 4, "sample.Thing._private": 0, "sample.bare": 0}),
        (
            measures.public_docstrings,
            {"sample": True, "sample.Thing": True, "sample.Thing.method": True, "sample.bare": False},
        ),
    ],
)
def test_a_figure_of_a_known_file(figure: Callable[[Module], object], value: object) -> None:
    assert figure(sample()) == value


def test_an_override_has_the_docstring_of_what_it_overrides() -> None:
    text = 'class A:\n    def f(self):\n        """Say."""\nclass B(A[int]):\n    def f(self): ...\n    def g(self): ...'
    module = Module("m", Path("m.py"), text)
    state = measures.public_docstrings(module, measures.documented_methods([module]))
    assert (state["m.B.f"], state["m.B.g"]) == (True, False)
