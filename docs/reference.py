"""Writes the references of docs/ from the code: ``python -m docs.reference``, or ``make docs``.

``commands.md`` comes from the command line, ``rules.md`` from the rules' docstrings, ``cards.md`` from the cards, ``python.md``
from the functions of ``onenet.__all__``, and the worked examples of ``contributing/`` hold the files of ``tests/house/toys``.
A test compares all of them with what stands in docs/.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import typer

import onenet
from docs.examples import EXAMPLES
from onenet.cli.app import app
from onenet.lowering.driver import RULES, common_order
from onenet.models import REGISTRY, measured
from onenet.models.counts import count_registered
from onenet.runtimes import RUNTIMES
from onenet.runtimes.devices import visible_kinds
from onenet.targets import TARGETS
from onenet.tasks import TASKS

FOLDER = Path(__file__).parent
WIDTH = 118
HEAD = "Written by `make docs` from the code. Do not edit: a test compares it.\n"


def main() -> None:
    """Write every page that differs."""
    for path, text in pages().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(FOLDER.parent)}")


def pages() -> dict[Path, str]:
    """File -> what it must hold."""
    made = {FOLDER / name: make() for name, make in PAGES.items()}
    return {**made, **examples()}


# ---- commands -----------------------------------------------------------------------------------------------------


def commands_page() -> str:
    """Every command with its arguments and options, as ``--help`` lists them."""
    parts = ["# Commands\n", HEAD, paragraph("Examples and what the commands mean: [cli.md](cli.md).")]
    for name, command in commands(typer.main.get_command(app), "onenet").items():
        parts.append(command_text(name, command))
    return "\n".join(parts)


class Parameter(Protocol):
    """What a page needs to know of an option or argument; typer has classes of its own for them."""

    name: str
    metavar: str | None
    opts: list[str]
    secondary_opts: list[str]
    nargs: int
    param_type_name: str
    help: str | None


class Command(Protocol):
    """What a page needs to know of a command."""

    params: list[Parameter]
    help: str | None
    epilog: str | None


def commands(command: Command, name: str) -> dict[str, Command]:
    """``onenet export`` -> command, commands below commands included."""
    below: dict[str, Command] = getattr(command, "commands", {})
    table = {name: command}
    for key, inner in below.items():
        table |= commands(inner, f"{name} {key}")
    return table


def command_text(name: str, command: Command) -> str:
    """One command's section."""
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    usage = " ".join([name, "[OPTIONS]", *(metavar(argument) for argument in arguments)])
    parts = [f"## `{name}`\n", f"    {usage}\n", *map(paragraph, plain(command.help or "").split("\n\n"))]
    panels: dict[str, list[Parameter]] = {}
    for param in command.params:
        if param.name != "help":
            heading = "Arguments" if param in arguments else getattr(param, "rich_help_panel", None) or "Options"
            panels.setdefault(heading, []).append(param)
    for heading, params in panels.items():
        parts += [f"**{heading}**\n", "\n".join(param_text(param) for param in params) + "\n"]
    if command.epilog:
        parts.append(paragraph("Example: `" + command.epilog.partition(":")[2].strip() + "`"))
    return "\n".join(parts)


def param_text(param: Parameter) -> str:
    """One option or argument, as an item of a list."""
    names = f"`{metavar(param)}`"
    if param.param_type_name != "argument":
        names = ", ".join(f"`{option}`" for option in (*param.opts, *param.secondary_opts))
        names += "" if getattr(param, "is_flag", False) else f" `{metavar(param)}`"
    return item(f"{names}: {plain(param.help or '')}")


def metavar(param: Parameter) -> str:
    """What stands for its value."""
    return (param.metavar or param.name.upper()) + ("..." if param.nargs == -1 else "")


# ---- rules --------------------------------------------------------------------------------------------------------


def rules_page() -> str:
    """Every lowering rule with its place in the order and its docstring."""
    rules = RULES.cards()
    common = [rule.name for rule in common_order()]
    parts = ["# Lowering rules\n", HEAD]
    parts.append(
        paragraph("Each rule is exact. `onenet models show NAME --lowering` says what each did to a network, and why not.")
    )
    parts += ["## The order that every network goes through\n", paragraph(", ".join(f"`{name}`" for name in common) + ".")]
    parts.append("## The form of each target, behind it\n")
    rows = [(card.title, ", ".join(f"`{name}`" for name in card.rules) or "none") for card in TARGETS.cards().values()]
    parts.append(table(("target", "rules, in order"), rows))
    for name, rule in rules.items():
        text = inspect.cleandoc(vars(inspect.getmodule(type(rule)))["__doc__"]).partition("\n")[2].strip()
        parts += [
            f"## `{name}`\n",
            paragraph(f"`{rule.form}`"),
            *(paragraph(part) for part in plain(text).split("\n\n") if part),
        ]
    return "\n".join(parts)


# ---- cards --------------------------------------------------------------------------------------------------------


def cards_page() -> str:
    """Tables of targets, runtimes, devices, tasks and models."""
    parts = ["# Targets, runtimes, devices, tasks, models\n", HEAD]
    for title, text in (
        ("Targets", targets_table()),
        ("Runtimes", runtimes_table()),
        ("Devices", devices_table()),
        ("Tasks", tasks_table()),
        ("Models", models_table()),
    ):
        parts += [f"## {title}\n", text]
    return "\n".join(parts)


def targets_table() -> str:
    rows = [
        (
            f"`{card.name}`",
            card.title,
            f"`{card.suffix}`",
            card.layout,
            ", ".join(card.precisions),
            yes(card.int8_io),
            words(card.packages),
        )
        for card in TARGETS.cards().values()
    ]
    return table(("`--target`", "format", "file", "layout", "precisions", "int8 inputs and outputs", "converts with"), rows)


def runtimes_table() -> str:
    rows = [
        (f"`{card.name}`", card.title, words(card.suffixes), words(card.packages), yes(card.travels))
        for card in RUNTIMES.cards().values()
    ]
    return table(("`--runtime`", "runtime", "opens", "needs", "goes to devices"), rows)


def devices_table() -> str:
    rows = [(f"`{card.usage}`", card.title, yes(card.on_this_machine)) for card in visible_kinds()]
    return table(("`--device`", "what it is", "on this machine"), rows)


def tasks_table() -> str:
    rows = [
        (f"`{card.name}`", words(card.output_roles), ", ".join(m.title for m in card.metrics), card.labelled_form, card.suffix)
        for card in TASKS.cards().values()
    ]
    return table(("task", "`--output`", "figures", "labelled folder", "`onenet run` writes"), rows)


def models_table() -> str:
    rows = [(f"`{entry.name}`", entry.summary, entry.paper, yes(entry.weights)) for entry in REGISTRY.values()]
    return table(("`--model`", "what it is", "source", "weights are shipped"), rows)


# ---- models -------------------------------------------------------------------------------------------------------

MODELS_TEXT = (
    "The published systems that onenet builds by name, and what one inference of each takes on an image of 256x256 "
    "(`onenet models --table`). Beside it stands table 2 of the paper, arXiv 2411.09838."
)
HOW_COUNTED = (
    "**GFLOP** is two for each multiplication of convolutions and linear layers.",
    "**its way** is how the paper counts. Its figures are torchinfo's: a transposed convolution counts with all of its "
    "weights for every value of its result's plane, four times what a 2x2 one with stride 2 multiplies. That is why e4 has "
    "78.42 there, and 65.43 plainly.",
    "**MB** is what all layers with parameters write, in float32, and once more for a backward pass. No runtime holds that "
    "much: [benchmarks/](benchmarks/) has what they hold.",
    "Table 2 says that OneNet was counted at 512x512. Its figures are those of 256x256, as the baselines' are.",
)
FOUND = (
    "Only the code of OneNet is published, none of the U-Nets that it is compared with. They were found from the table: "
    "these have its parameters, bytes and memory. Where a figure differs:"
)
FILES_TEXT = (
    "What files take, of the models that ship trained, by their width, and of published networks where they were measured, "
    "with random weights; and the processor time of one image of 256x256 with one thread on {machine}. Accuracy, "
    "memory and the other precisions: [benchmarks/front.md](benchmarks/front.md)."
)
SHIPPED_TEXT = (
    "Those that ship with trained weights are smaller: `onenet models show NAME` has their width, and `--random-weights` "
    "builds the published one. How they were trained: [trained.md](trained.md)."
)


def models_page() -> str:
    """What every registered model takes, beside what its paper prints."""
    rows = [(f"`{name}`", *count_registered(card).beside(card.published)) for name, card in REGISTRY.items()]
    head = ("model", "M parameters", "paper", "GFLOP", "its way", "paper", "MB", "paper")
    notes = [(name, card.published.note) for name, card in REGISTRY.items() if card.published and card.published.note]
    content = measured.read()
    files = [(name, *measured.cells(found)) for name, found in content["models"].items()]
    parts = ["# Models\n", HEAD, paragraph(MODELS_TEXT), table(head, rows), *map(item, HOW_COUNTED), "", paragraph(FOUND)]
    parts += [*(item(f"`{name}`: {note}.") for name, note in notes), "", "## Files\n"]
    parts += [paragraph(FILES_TEXT.format(machine=content["machine"])), table(("model", *measured.HEADS), files)]
    return "\n".join([*parts, paragraph(SHIPPED_TEXT)])


# ---- Python -------------------------------------------------------------------------------------------------------


def python_page() -> str:
    """Every public name with its signature, docstring and an example."""
    parts = ["# Python\n", HEAD]
    parts.append(paragraph("These names of `onenet` are public. Everything else may move with any version."))
    for name in sorted(onenet.__all__):
        value = getattr(onenet, name)
        if callable(value):
            parts.append(f"## `onenet.{name}`\n")
            parts.append("```python\n" + signature(name, value) + "\n```\n")
            parts.append(docstring(inspect.getdoc(value) or ""))
            parts.append(f"Example:\n\n```python\n{EXAMPLES[name]}\n```\n")
    return "\n".join(parts)


def signature(name: str, value: Callable[..., object]) -> str:
    """One parameter a line."""
    shape = inspect.signature(value)
    lines, keyword = [], False
    for parameter in shape.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword:
            lines, keyword = [*lines, "    *,"], True
        lines.append(f"    {parameter_text(parameter)},")
    result = "" if shape.return_annotation is shape.empty else f" -> {shape.return_annotation}"
    return "\n".join([f"{name}(", *lines, f"){result}"]) if lines else f"{name}(){result}"


def parameter_text(parameter: inspect.Parameter) -> str:
    """``name: type = default``; a default that is no plain value is left to the text."""
    star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = f"{star}{parameter.name}"
    if parameter.annotation is not parameter.empty:
        text += f": {parameter.annotation}"
    if parameter.default is not parameter.empty:
        plain_value = isinstance(parameter.default, bool | int | float | str | tuple | None)
        text += f" = {parameter.default!r}" if plain_value else " = ..."
    return text


def docstring(text: str) -> str:
    """Paragraphs as they are; the entries of Args, Returns and Raises as lists."""
    parts = []
    for part in plain(text).split("\n\n"):
        head, _, rest = part.partition("\n")
        if re.fullmatch(r"(Args|Returns|Raises|Attributes):", head.strip()):
            entries = re.sub(r"\n\s+(?=\s)", " ", textwrap.dedent(rest)).splitlines()
            parts.append(f"{head.strip()[:-1]}:\n\n" + "\n".join(item(entry) for entry in joined(entries)) + "\n")
        elif part.strip():
            parts.append(paragraph(part))
    return "\n".join(parts)


def joined(lines: Iterable[str]) -> list[str]:
    """Entries whose continuation lines are indented, one string each."""
    entries: list[str] = []
    for line in lines:
        if line.startswith(" ") and entries:
            entries[-1] += " " + line.strip()
        elif line.strip():
            entries.append(line.strip())
    return entries


# ---- worked examples ----------------------------------------------------------------------------------------------


def examples() -> dict[Path, str]:
    """The pages of contributing/, each with the present text of the files that it names."""
    made = {}
    for path in sorted((FOLDER / "contributing").glob("*.md")):
        made[path] = re.sub(
            r"(<!-- file: (\S+) -->\n)```python\n.*?```\n",
            lambda match: f"{match[1]}```python\n{(FOLDER.parent / match[2]).read_text(encoding='utf-8')}```\n",
            path.read_text(encoding="utf-8"),
            flags=re.DOTALL,
        )
    return made


# ---- Markdown -----------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """A docstring's or help text's marks as Markdown's."""
    return re.sub(r"(?<!\\)\[/?[a-z ]+\]", "", text.replace("``", "`")).replace("\\[", "[")


def paragraph(text: str) -> str:
    """Wrapped, with an empty line behind it; an indented block stays as it is."""
    if text.startswith("    ") or "\n    " in text:
        return text + "\n"
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"


def item(text: str) -> str:
    """An item of a list, wrapped."""
    return textwrap.fill(
        " ".join(text.split()),
        WIDTH,
        initial_indent="* ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines) + "\n"


def words(values: Iterable[str]) -> str:
    """Names in code marks, with commas."""
    return ", ".join(f"`{value}`" for value in values)


def yes(value: object) -> str:
    """What a table says of something that is so, or not."""
    return "yes" if value else "no"


PAGES: dict[str, Callable[[], str]] = {
    "models.md": models_page,
    "commands.md": commands_page,
    "rules.md": rules_page,
    "cards.md": cards_page,
    "python.md": python_page,
}

if __name__ == "__main__":
    main()
