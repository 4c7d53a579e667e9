"""What ``onenet models show`` prints."""

from __future__ import annotations

import onenet
from onenet import console, models
from onenet.errors import RequestError
from onenet.model import Model


def run(name: str, lowering: bool, json: bool) -> None:
    model = build(name)
    model = onenet.lower(model) if lowering else model
    if json:
        rules = model.lowering.as_dict() if model.lowering else None
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
    out.print(f"classes {', '.join(c.name for c in model.spec.classes) or '-'}")
    if "config" in source:
        out.print("config  " + ", ".join(f"{k} {v}" for k, v in source["config"].items()))
    if model.lowering:
        print_lowering(model)


def build(name: str) -> Model:
    """The shipped network, or where none is shipped, the published shape with random weights."""
    entry = models.REGISTRY.get(name)
    try:
        return onenet.build(name, random_weights=entry is not None and entry.weights is None)
    except ImportError as error:
        raise RequestError('showing a model needs PyTorch: pip install "onenet[export]"') from error


def print_lowering(model: Model) -> None:
    assert model.lowering is not None
    out = console.stdout()
    out.print(f"\nExact lowering; largest difference in float64: {model.lowering.error:.1e} of the largest value\n")
    for rule in model.lowering.rules:
        out.print(f"[bold]{rule.rule}[/bold]  applied {rule.applied} times")
        out.print(f"  {rule.what}", style="dim")
        for reason, count in rule.declined.items():
            out.print(f"  [yellow]declined {count} times:[/yellow] {reason}")
