"""Where rewriting pays: our files beside the usual way's, one thread, in turn.

It decides rules about scales, transposed convolutions, Winograd and activations in int8.

    python -m bench.pays                 # writes docs/benchmarks/pays.md
    python -m bench.pays --only attention

The usual way is ``litert_torch.convert`` and ``torch.onnx.export`` of the same network; where a row says what else, it is our
own file without that. Times are of the processor, so that
what else runs on the machine counts little; a ratio is the median over rounds, in which both are asked in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Annotated

import torch
import typer
from torch import Tensor, nn

import onenet
from bench.networks import ROOT
from bench.timing import in_turn, runner
from onenet.base.files import publish, temporary_folder
from onenet.base.quiet import quiet
from onenet.targets import suffixes

SIZE = (256, 256)
FACTORIES = (
    *("attention_of_one_layer", "attention_of_three", "normalised", "normalised_strided"),
    *("transposed_by_4", "transposed_by_3"),
)
CHANNELS = ((128, 32), (208, 32), (256, 32), (256, 16), (512, 16), (512, 8), (512, 4))
"""Channels and side of the 3x3 convolutions that are computed by Winograd's method, where its rule runs, and directly."""
ACTIVATIONS = (nn.SiLU, nn.Hardswish)
"""What int8 computes by products, where the rule ``gates`` runs, and in float between two conversions."""


class Attention(nn.Module):
    """1024 tokens of 8 x 8 pixels, four heads of 8 channels; the scores are scaled as people write it."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.stem, self.norm, self.out = nn.Conv2d(3, 32, 8, 8), nn.LayerNorm(32), nn.Linear(32, 32)
        self.qkv = nn.ModuleList(nn.Linear(32, 96 // layers) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(self.stem(x).flatten(2).transpose(1, 2))
        parts = [layer(tokens) for layer in self.qkv]
        parts = list(parts[0].chunk(3, -1)) if len(parts) == 1 else parts
        q, k, v = (each.reshape(1, -1, 4, 8).transpose(1, 2) for each in parts)
        scores = (q @ k.transpose(-2, -1) * 0.35).softmax(-1)
        return self.out((scores @ v).transpose(1, 2).reshape(1, -1, 32))  # type: ignore[no-any-return]


class Normalised(nn.Module):
    """(x - mean) / std, then the first layers of a mobile network."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1))
        self.stem, self.head = nn.Conv2d(3, 16, 3, stride, 1), nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.mean) / self.std  # type: ignore[operator]  # buffers
        return self.head(torch.relu(self.stem(x)))  # type: ignore[no-any-return]


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().eval()


def attention_of_one_layer() -> nn.Module:
    return seeded(lambda: Attention(1))


def attention_of_three() -> nn.Module:
    return seeded(lambda: Attention(3))


def normalised() -> nn.Module:
    return seeded(lambda: Normalised(1))


def normalised_strided() -> nn.Module:
    return seeded(lambda: Normalised(2))


def transposed(kernel: int, padding: int) -> nn.Module:
    """A decoder's step, 64 channels from 32 x 32 to twice that."""
    first, last = nn.Conv2d(3, 64, 8, 8), nn.Conv2d(64, 4, 1)
    return nn.Sequential(first, nn.ReLU(), nn.ConvTranspose2d(64, 64, kernel, 2, padding), nn.ReLU(), last)


def transposed_by_4() -> nn.Module:
    return seeded(lambda: transposed(4, 1))


def transposed_by_3() -> nn.Module:
    return seeded(lambda: transposed(3, 0))  # with padding, litert-torch refuses it


def main(
    only: Annotated[str, typer.Option(help="measure what has this in its name")] = "",
    rounds: Annotated[int, typer.Option(min=1, help="how often both are asked")] = 15,
    out: Annotated[Path, typer.Option(help="folder for pays.md")] = ROOT / "docs" / "benchmarks",
) -> None:
    """Time our files and the usual way's against each other."""
    lines = [
        "# Where rewriting pays",
        "",
        "Milliseconds per inference, one thread, processor time. Made by `python -m bench.pays`.",
        "",
        "| network | target | ours | the usual way | ratio |",
        "|---|---|---:|---:|---:|",
    ]
    with temporary_folder(out) as folder:
        for name, target, files in [*pairs(only, folder), *layers(only, folder), *activations(only, folder)]:
            ours, usual, ratio = compared(files, rounds)
            lines.append(f"| {name} | {target} | {1000 * ours:.2f} | {1000 * usual:.2f} | {ratio:.2f} |")
            typer.echo(lines[-1])
        (folder / "pays.md").write_text("\n".join(lines) + "\n")
        publish(folder / "pays.md", out / "pays.md")


def pairs(only: str, folder: Path) -> Iterator[tuple[str, str, list[Path]]]:
    """Ours and the usual way's file of each network and target."""
    for name in FACTORIES:
        if only not in name:
            continue
        image = torch.rand(1, 3, *SIZE)
        for target in ("tflite", "onnx"):
            with quiet():
                model = onenet.build(f"{__file__}:{name}", input_size=SIZE)
                ours = onenet.export(model, target=target, out=folder).path
                usual = folder / f"usual_{name}{ours.suffix}"
                convert_usually(globals()[name](), image, usual)
            yield name.replace("_", " "), target, [ours, usual]


def convert_usually(module: nn.Module, image: Tensor, path: Path) -> None:
    if path.suffix == ".tflite":
        import litert_torch

        litert_torch.convert(module, (image,)).export(str(path))
    else:
        torch.onnx.export(module, (image,), str(path), dynamo=True, external_data=False)


def layers(only: str, folder: Path) -> Iterator[tuple[str, str, list[Path]]]:
    """3x3 convolutions by Winograd's method and directly: below 1 the method gains."""
    from onenet.lowering import arrange, lower_module

    for channels, side in CHANNELS if only in "winograd" else ():
        image = torch.rand(1, channels, side, side)
        lowered = lower_module(nn.Conv2d(channels, channels, 3, padding=1).eval(), (image,)).module
        for target, suffix in suffixes().items():
            if target == "coreml":
                continue  # it has no such rule
            files = [folder / f"{channels}_{side}_{way}{suffix}" for way in ("winograd", "direct")]
            for path in files:
                with quiet():
                    form = arrange(lowered, (image,), target, winograd="winograd" in path.name)
                    convert_usually(form.module, image, path)
            yield f"{channels} channels, {side} x {side}, Winograd and direct", target, files


def activations(only: str, folder: Path) -> Iterator[tuple[str, str, list[Path]]]:
    """Activations of 128 channels of 64 x 64 pixels in int8: as products, and kept in float."""
    images = list(torch.rand(8, 3, *SIZE).numpy())
    for kind in ACTIVATIONS if only in "activations" else ():
        network = seeded(lambda kind=kind: nn.Sequential(nn.Conv2d(3, 128, 4, 4), kind(), nn.Conv2d(128, 4, 1)))
        with quiet():
            model = onenet.build(network, input_size=SIZE)
            forms = {way: onenet.calibrate(onenet.lower(model, without=way), images) for way in ((), ("gates",))}
        for target in ("tflite", "onnx"):
            with quiet():
                files = [
                    onenet.export(form, target=target, precision="int8", out=folder / "_".join(("form", *way))).path
                    for way, form in forms.items()
                ]
            yield f"{kind.__name__} in int8, as a product and in float", target, files


def compared(files: list[Path], rounds: int) -> tuple[float, float, float]:
    """Median seconds of both, and the median of their ratio."""
    ours, usual = in_turn({path: runner(path) for path in files}, rounds).values()
    return median(ours), median(usual), median(a / b for a, b in zip(ours, usual, strict=True))


if __name__ == "__main__":
    typer.run(main)
