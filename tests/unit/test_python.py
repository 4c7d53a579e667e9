"""The public names: ``__all__``, what the package shows and the examples of docs/python.md say the same."""

from __future__ import annotations

import ast
import inspect

import pytest

import onenet
from docs.examples import EXAMPLES


def calls(code: str) -> list[tuple[str, ast.Call]]:
    """Each ``onenet.NAME(...)`` of a program."""
    nodes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    return [(node.func.attr, node) for node in nodes if isinstance(node.func, ast.Attribute) and is_onenet(node.func.value)]


def is_onenet(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "onenet"


def test_all_is_what_the_package_shows() -> None:
    assert sorted(onenet.__all__) == dir(onenet)
    assert {*onenet.PLACES, "__version__"} == set(onenet.__all__)
    for name in onenet.__all__:
        value = getattr(onenet, name)
        assert isinstance(value, str) if name == "__version__" else callable(value), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = onenet.nothing


def test_every_public_name_has_an_example() -> None:
    assert set(EXAMPLES) == set(onenet.__all__) - {"__version__"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_shows_the_name_and_fits_its_signature(name: str) -> None:
    used = calls(EXAMPLES[name])
    assert name in [called for called, _ in used]
    for called, call in used:
        keywords = {keyword.arg: None for keyword in call.keywords if keyword.arg}
        inspect.signature(getattr(onenet, called)).bind(*call.args, **keywords)  # TypeError: no such argument


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_public_name_says_what_it_raises(name: str) -> None:
    text = inspect.getdoc(getattr(onenet, name)) or ""
    line, _, _ = text.partition("\n\n")
    assert line.endswith((".", ":")), name
    assert "Raises:" in text, name
