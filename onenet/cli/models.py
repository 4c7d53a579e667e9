"""``onenet models``: the list, and ``onenet models show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.padding import Padding

from onenet import models
from onenet.cli import console
from onenet.errors import RequestError
from onenet.exporters.options import MODEL_HELP
from onenet.models import measured
from onenet.targets import TARGETS

if TYPE_CHECKING:
    from onenet.lowering import RuleResult
    from onenet.model import Model

COLUMNS = ("name", "M param", "paper", "GFLOP", "its way", "paper", "MB", "paper")
COUNTED = (
    "One image of 256x256. FLOPs its way, and MB of activations, are counted as the paper counts them: docs/models.md says how."
)
FILES = ("name", "MB", "int8", "MB", "int8", "ms", "int8", "ms", "int8")
MEASURED = "Files of these: TFLite in fp32 and int8, then ONNX; then milliseconds of the processor in the same order, "
LIST_EXAMPLE = "onenet models list"
SHOW_EXAMPLE = "onenet models show onenet-ed4 --lowering"


def command(
    context: typer.Context,
    table: Annotated[
        bool,
        typer.Option(
            "--table", help="Parameters, FLOPs and memory of each, beside what its paper prints; sizes and times of its files."
        ),
    ] = False,
) -> None:
    """List the models that can be exported."""
    if context.invoked_subcommand is not None:
        return
    if table:
        print_counts()
    else:
        console.print_models()


def list_command() -> None:
    """List the models that can be exported, as `onenet models` does."""
    console.print_models()


def print_counts() -> None:
    """Count every registered model and print the table."""
    try:
        from onenet.models.counts import count_registered
    except ImportError as error:
        raise RequestError('counting a model needs PyTorch: pip install "onenet-export[export]"') from error
    out = console.stdout()
    rows = console.plain_table(*COLUMNS)
    for name, card in models.REGISTRY.items():
        rows.add_row(name, *count_registered(card).beside(card.published))
    out.print(rows)
    out.print(f"\n{COUNTED}\n", style="dim")
    content = measured.read()
    files = console.plain_table(*FILES)
    for name, found in content["models"].items():
        files.add_row(name, *measured.cells(found))
    out.print(files)
    out.print(f"\n{MEASURED}one thread, on {content['machine']}.", style="dim")


def show_command(
    name: Annotated[str, typer.Argument(help=MODEL_HELP)],
    lowering: Annotated[bool, typer.Option("--lowering", help="List the exact rewrites applied and declined.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """Show a model's signature, size and, with --lowering, what the exact rewrites do to it."""
    run(name, lowering, json)


def run(name: str, lowering: bool, json: bool) -> None:
    """Print a model's signature and, with ``lowering``, what each rule does to it."""
    model = build(name)
    if lowering:
        from onenet.lowering import lower

        model = lower(model)
    if json:
        targets = {name: [rule.as_dict() for rule in rules] for name, rules in target_rules(model).items()} if lowering else {}
        rules = {**model.lowering.as_dict(), "targets": targets} if model.lowering else None
        console.print_json({**model.spec.as_dict(), "lowering": rules})
        return
    out = console.stdout()
    source = model.spec.source
    out.print(f"[bold]{model.spec.name}[/bold]  {source['parameters'] / 1e6:.2f} M parameters, weights: {source['weights']}")
    for kind, tensors in (("input", model.spec.inputs), ("output", model.spec.outputs)):
        for tensor in tensors:
            out.print(
                f"{kind:7}{tensor.name}  {tensor.role}  {'x'.join(map(str, tensor.shape))} {tensor.layout} {tensor.dtype}"
            )
    out.print(f"task    {model.spec.task}")
    out.print(f"classes {', '.join(c.name for c in model.spec.classes) or '-'}")
    if "config" in source:
        out.print("config  " + ", ".join(f"{k} {v}" for k, v in source["config"].items()))
    if model.lowering:
        print_lowering(model)


def build(name: str) -> Model:
    """The shipped network, or where none is shipped, the published shape with random weights."""
    entry = models.REGISTRY.get(name)
    try:
        from onenet.models.build import build as build_model

        return build_model(name, random_weights=entry is not None and entry.weights is None)
    except ImportError as error:
        raise RequestError('showing a model needs PyTorch: pip install "onenet-export[export]"') from error


def print_lowering(model: Model) -> None:
    """Print the common rules, then those of each target."""
    assert model.lowering is not None
    out = console.stdout()
    out.print(f"\nExact lowering; largest difference in float64: {model.lowering.error:.1e} of the largest value\n")
    for rule in model.lowering.rules:
        print_rule(rule)
    for target, rules in target_rules(model).items():
        out.print(f"\nThe form for {target}" + ("\n" if rules else ": as it is"))
        for rule in rules:
            if rule.applied or rule.declined:
                print_rule(rule)


def target_rules(model: Model) -> dict[str, tuple[RuleResult, ...]]:
    """What each target's own form adds to a lowered model."""
    from onenet.lowering import arrange

    return {target: arrange(model.module, model.example(), target).rules for target in TARGETS.cards()}


def print_rule(rule: RuleResult) -> None:
    """Print how often a rule was applied, and why it was declined elsewhere."""
    out = console.stdout()
    out.print(f"[bold]{rule.rule}[/bold]  applied {times(rule.applied)}")
    lines = [f"[dim]{escape(rule.what)}[/dim]"]
    lines += [f"[yellow]declined {times(count)}:[/yellow] {escape(reason)}" for reason, count in rule.declined.items()]
    for line in lines:
        out.print(Padding(line, (0, 0, 0, 2), expand=False))


def times(count: int) -> str:
    """``once``, ``2 times``."""
    return "once" if count == 1 else f"{count} times"
