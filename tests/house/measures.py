"""Figures of the product's source: ``python -m tests.house.measures [CHECKOUT]`` prints them.

A code line holds something besides a comment, a docstring or blanks. A function's length is what an editor shows, from
``def`` to its last line. Public is what has no leading underscore: modules, classes and their methods, a module's functions.
"""

from __future__ import annotations

import ast
import io
import re
import statistics
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from tests.house.product import REPOSITORY, Module, read

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


@dataclass(frozen=True)
class Measures:
    """The figures of one checkout."""

    files: int
    code_lines: int
    longest_file: int
    median_file: float
    functions: int
    longest_function: int
    median_function: float
    most_parameters: int
    any_per_1000: float
    type_ignores: int
    public_docstrings_percent: float


def measure(modules: Iterable[Module]) -> Measures:
    """The figures of these modules together."""
    modules = list(modules)
    files = [file_length(module) for module in modules]
    lengths = [length for module in modules for length in function_lengths(module).values()]
    parameters = [count for module in modules for count in parameter_counts(module).values()]
    code = sum(code_lines(module) for module in modules)
    inherited = documented_methods(modules)
    public = [documented for module in modules for documented in public_docstrings(module, inherited).values()]
    return Measures(
        files=len(modules),
        code_lines=code,
        longest_file=max(files),
        median_file=statistics.median(files),
        functions=len(lengths),
        longest_function=max(lengths),
        median_function=statistics.median(lengths),
        most_parameters=max(parameters),
        any_per_1000=round(1000 * sum(any_count(module) for module in modules) / code, 1),
        type_ignores=sum(type_ignores(module) for module in modules),
        public_docstrings_percent=round(100 * sum(public) / len(public), 1),
    )


def file_length(module: Module) -> int:
    """Lines of the file, comments and blank lines included."""
    return len(module.text.splitlines())


def code_lines(module: Module) -> int:
    """Lines that hold code."""
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type not in skipped:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docstring_lines(module.tree))


def docstring_lines(tree: ast.Module) -> set[int]:
    """Lines of strings that stand alone: docstrings of modules, classes, functions and attributes."""
    alone = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    return {line for node in alone for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}


def functions(module: Module) -> Iterator[tuple[str, Function]]:
    """Every function with its dotted name inside the product, nested ones too."""
    for name, node in definitions(module.tree, module.name):
        if not isinstance(node, ast.ClassDef):
            yield name, node


def definitions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Definition]]:
    """Every class and function below a node, with its dotted name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            yield f"{prefix}.{child.name}", child
            yield from definitions(child, f"{prefix}.{child.name}")
        else:
            yield from definitions(child, prefix)


def function_lengths(module: Module) -> dict[str, int]:
    """Function -> lines."""
    return {name: (node.end_lineno or node.lineno) - node.lineno + 1 for name, node in functions(module)}


def parameter_counts(module: Module) -> dict[str, int]:
    """Function -> parameters, self and cls left out."""
    return {name: len(parameter_names(node)) for name, node in functions(module)}


def parameter_names(node: Function) -> list[str]:
    """Every parameter that a caller can give."""
    given = node.args
    names = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    return [argument.arg for argument in names if argument.arg not in {"self", "cls"}]


def any_count(module: Module) -> int:
    """Uses of typing.Any; importing it is not one."""
    return sum(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(module.tree))


def type_ignores(module: Module) -> int:
    """Comments that silence the type checker."""
    comments = tokenize.generate_tokens(io.StringIO(module.text).readline)
    return sum(token.type == tokenize.COMMENT and bool(re.match(r"#\s*type:\s*ignore", token.string)) for token in comments)


Methods = dict[str, tuple[tuple[str, ...], set[str]]]
"""Class -> names of its bases, and its methods that have a docstring."""


def documented_methods(modules: Iterable[Module]) -> Methods:
    """The classes of the product. Two of one name are held as one."""
    classes: Methods = {}
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                bases, methods = classes.get(node.name, ((), set()))
                methods |= {each.name for each in node.body if isinstance(each, Function) and ast.get_docstring(each)}
                classes[node.name] = ((*bases, *(last_name(base) for base in node.bases)), methods)
    return classes


def public_docstrings(module: Module, inherited: Methods | None = None) -> dict[str, bool]:
    """Public module, class, function or method -> whether it has a docstring.

    A method that overrides a documented one of the product has that one's docstring, as ``help`` shows it. Overloads and
    ``__main__`` are left out.
    """
    if module.path.name == "__main__.py":
        return {}
    state = {module.name: bool(ast.get_docstring(module.tree)) or not module.tree.body}
    for name, node, owner in public(module.tree, module.name):
        bases = [last_name(base) for base in owner.bases] if owner else []
        state[name] = bool(ast.get_docstring(node)) or any(documents(inherited or {}, base, node.name) for base in bases)
    return state


def documents(classes: Methods, name: str, method: str) -> bool:
    """Whether a class or one of its bases has a docstring for a method."""
    bases, methods = classes.get(name, ((), set()))
    return method in methods or any(documents(classes, base, method) for base in bases if base != name)


def public(
    node: ast.Module | ast.ClassDef, prefix: str, owner: ast.ClassDef | None = None
) -> Iterator[tuple[str, Definition, ast.ClassDef | None]]:
    """The public classes and functions of a module, and the public methods of its classes with their class."""
    for child in node.body:
        if (
            not isinstance(child, Definition)
            or child.name.startswith("_")
            or "overload" in map(last_name, child.decorator_list)
        ):
            continue
        yield f"{prefix}.{child.name}", child, owner
        if isinstance(child, ast.ClassDef):
            yield from public(child, f"{prefix}.{child.name}", child)


def last_name(node: ast.expr) -> str:
    """``c`` of a.b.c, a.b.c(...) and a.b.c[...]."""
    if isinstance(node, ast.Call):
        return last_name(node.func)
    if isinstance(node, ast.Subscript):
        return last_name(node.value)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def main() -> None:
    """Print the figures of one or several checkouts beside each other."""
    roots = [Path(argument).resolve() for argument in sys.argv[1:]] or [REPOSITORY]
    columns = [measure(read(root).values()) for root in roots]
    for field in fields(Measures):
        values = "".join(f"{getattr(column, field.name):>12,}" for column in columns)
        print(f"{field.name.replace('_', ' '):30}{values}")


if __name__ == "__main__":
    main()
