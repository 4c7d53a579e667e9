"""Train a registered segmentation system on DSB-2018 nuclei (CC0), on a CPU. Each shipped checkpoint takes less than an hour.

    python examples/train_nuclei.py DATA --model onenet-ed4 --out onenet-ed4.safetensors
    python examples/train_nuclei.py DATA --model unet4 --out unet4.safetensors

DATA holds ``train/images/*.jpg``, ``train/labels/*.png`` (0 background, 1 nucleus) and the same under ``val``.
The weights written are those of the last step: nothing is selected on the validation images.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

import onenet
from onenet.errors import RequestError
from onenet.models.onenet import Conv1DBlock, OneNet

SHIPPED = {"onenet-ed4": (20, 40, None), "onenet-e4": (16, 45, None), "unet4": (8, 36, None), "lsnet": (32, 24, 128)}
"""Width, epochs and crop of the checkpoints that are shipped."""
EPOCHS = 40
"""Of any other system, at its published width, unless others are asked for."""
CLASSES = 2


def read_split(folder: Path) -> tuple[Tensor, Tensor]:
    """Images (N, 3, H, W) uint8 and labels (N, H, W) uint8."""
    images = sorted((folder / "images").glob("*.jpg"))
    if not images:
        raise SystemExit(f"no images under {folder / 'images'}")
    pixels = [np.asarray(Image.open(path).convert("RGB")) for path in images]
    labels = [np.asarray(Image.open(folder / "labels" / f"{path.stem}.png")) for path in images]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), torch.from_numpy(np.stack(labels))


def warp(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random rotation, flip, zoom (0.75 to 1.5) and shift: one affine map per sample, mirrored at the border."""
    n = len(x)
    angle = torch.rand(n, generator=generator) * 2 * math.pi
    zoom = torch.exp((torch.rand(n, generator=generator) - 0.42) * 0.7)
    flip = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    shift = (torch.rand(n, 2, generator=generator) - 0.5) * 0.5
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    theta = torch.stack([torch.stack([cos * flip, -sin, shift[:, 0]], 1), torch.stack([sin * flip, cos, shift[:, 1]], 1)], 1)
    grid = F.affine_grid(theta, [n, 1, *x.shape[2:]], align_corners=False)
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    y = F.grid_sample(y[:, None].float(), grid, mode="nearest", padding_mode="reflection", align_corners=False)
    return x, y[:, 0].long()


def recolour(x: Tensor, generator: torch.Generator) -> Tensor:
    """Random gamma, gain per channel, offset and noise: microscopes differ more than nuclei do."""
    n = len(x)

    def spread(low: float, high: float, channels: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(n, channels, 1, 1, generator=generator)

    x = x.clamp(1e-4, 1) ** torch.exp(spread(-0.3, 0.3))
    x = x * torch.exp(spread(-0.35, 0.35)) * spread(0.95, 1.05, 3) + spread(-0.03, 0.03)
    return (x + torch.randn(x.shape, generator=generator) * spread(0, 0.01)).clamp(0, 1)


def cropped(image: Tensor, label: Tensor, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The same square of each picture of a batch."""
    top, left = (int(torch.randint(size - side + 1, (), generator=generator)) for size in image.shape[2:])
    return image[..., top : top + side, left : left + side], label[..., top : top + side, left : left + side]


def batches(x: Tensor, y: Tensor, size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of augmented batches."""
    for index in torch.randperm(len(x), generator=generator).split(size):
        if len(index) == size:
            image, label = warp(x[index].float() / 255, y[index], generator)
            yield recolour(image, generator), label


def on_image(block: Conv1DBlock, x: Tensor) -> Tensor:
    """A 1D block as a 1x1 convolution on images: the same function of the same parameters, 2-5 times faster to train."""
    x = F.conv2d(x, block.conv.weight.reshape(block.conv.out_channels, -1, 1, 1), block.conv.bias)
    x = F.relu(x) if block.relu else x
    bn = block.bn
    if bn is None:
        return x
    return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, block.training, bn.momentum or 0.1, bn.eps)


def as_images(model: OneNet) -> OneNet:
    """Run the 1D blocks on images."""

    def encode(x: Tensor) -> list[Tensor]:
        x = (x - 0.45) / 0.225
        for block in model.encoder.bottleneck.blocks:
            x = on_image(block, x)
        features = [x]
        for i in range(model.config.layers):
            x = F.pixel_unshuffle(x, 2)
            for name in (f"channel_1_{i}", f"channel_2_{i}"):
                x = on_image(model.encoder.convs[name], x)
            features.append(x)
        return features

    def decode(features: list[Tensor]) -> Tensor:
        x = on_image(model.decoder.bottleneck, features[-1])
        for i in range(model.config.layers, 0, -1):
            x = F.pixel_shuffle(x, 2)
            x = torch.cat([x, features[i - 1]], 1) if i > 1 else x
            for name in (f"channel_1_{i}", f"channel_2_{i}"):
                x = on_image(model.decoder.convs[name], x)
        return on_image(model.decoder.convs["head_1"], x)

    model.encoder.forward = encode  # type: ignore[method-assign]
    if model.config.variant == "ed":
        model.decoder.forward = decode  # type: ignore[method-assign]
    return model


def network_of(name: str, width: int | None, seed: int) -> nn.Module:
    """A registered system, untrained, as it is trained: two classes, OneNets without spatial convolution and on images."""
    spatial = False if name.startswith("onenet") else None
    try:
        model = onenet.build(name, width=width, classes=CLASSES, spatial=spatial, random_weights=True, seed=seed)
    except RequestError as error:
        raise SystemExit(str(error)) from error
    if model.spec.task != "segmentation" or model.spec.outputs[0].role != "logits":
        raise SystemExit(
            f"{name} gives {model.spec.task} {model.spec.outputs[0].role}; this example trains class logits of pixels"
        )
    if isinstance(model.module, OneNet):
        return as_images(model.module)
    return model.module


def is_flat(network: nn.Module) -> bool:
    """Whether it has only 1x1 convolutions, which train faster on planes; others train twice as fast on pixels."""
    return isinstance(network, OneNet) and network.config.variant == "ed"


def logits_of(returned: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """What a network returns, as a list: side outputs are trained like the first one."""
    return [returned] if isinstance(returned, Tensor) else list(returned)


def loss_of(logits: Tensor, label: Tensor) -> Tensor:
    """Cross entropy + soft Dice of the foreground."""
    p = logits.softmax(1)[:, 1]
    dice = 1 - (2 * (p * label).sum() + 1) / (p.sum() + label.sum() + 1)
    return F.cross_entropy(logits, label) + dice


def one_cycle(
    network: nn.Module, rate: float, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW, and its one-cycle schedule of ``steps`` steps with the peak ``rate``."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.15)


@torch.no_grad()
def evaluate(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, float]:
    """IoU and Dice over all pixels of the split (not the mean over images)."""
    model.eval()
    predicted = torch.cat([logits_of(model(image[None].float() / 255))[0].argmax(1) for image in x])
    scores = {}
    for k, name in enumerate(("background", "nucleus")):
        a, b = predicted == k, y == k
        both = float((a & b).sum())
        scores[f"iou_{name}"] = both / float((a | b).sum())
        scores[f"dice_{name}"] = 2 * both / float(a.sum() + b.sum())
    scores["miou"] = (scores["iou_background"] + scores["iou_nucleus"]) / 2
    scores["mdice"] = (scores["dice_background"] + scores["dice_nucleus"]) / 2
    return {key: round(value, 4) for key, value in scores.items()}


def main(
    data: Annotated[Path, typer.Argument(help="folder with train/ and val/", exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option(help="safetensors file to write")],
    model: Annotated[str, typer.Option(help="a segmentation system of `onenet models`")] = "onenet-ed4",
    width: Annotated[int | None, typer.Option(help="default: the shipped checkpoint's, or else the published one")] = None,
    epochs: Annotated[int | None, typer.Option(help=f"default: the shipped checkpoint's, or else {EPOCHS}")] = None,
    crop: Annotated[int | None, typer.Option(help="pixels a side of what the first three quarters of the epochs see")] = None,
    batch: Annotated[int, typer.Option(help="images per step")] = 8,
    rate: Annotated[float, typer.Option(help="peak learning rate of the one-cycle schedule")] = 3e-3,
    start: Annotated[Path | None, typer.Option(help="safetensors file to go on from")] = None,
    seed: Annotated[int, typer.Option(help="random seed")] = 0,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    shipped_width, shipped_epochs, shipped_crop = SHIPPED.get(model, (None, EPOCHS, None))
    epochs, crop = epochs or shipped_epochs, crop or shipped_crop
    network = network_of(model, width or shipped_width, seed)
    if start is not None:
        network.load_state_dict(load_file(start))
    layout = torch.contiguous_format if is_flat(network) else torch.channels_last
    network = network.to(memory_format=layout)
    x, y = read_split(data / "train")
    x_val, y_val = read_split(data / "val")
    optimizer, schedule = one_cycle(network, rate, epochs * (len(x) // batch))
    bf16 = torch.cpu._is_avx512_bf16_supported()
    began = time.monotonic()
    for epoch in range(epochs):
        network.train()
        total = 0.0
        for image, label in batches(x, y, batch, generator):
            if crop and 4 * epoch < 3 * epochs:
                image, label = cropped(image, label, crop, generator)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                outputs = logits_of(network(image.contiguous(memory_format=layout)))
            loss = sum((loss_of(logits.float(), label) for logits in outputs), torch.zeros(()))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        line = f"epoch {epoch + 1}/{epochs}  loss {total / (len(x) // batch):.4f}  {(time.monotonic() - began) / 60:.1f} min"
        if (epoch + 1) % 5 == 0 or epoch + 1 == epochs:
            line += f"  val {json.dumps(evaluate(network, x_val, y_val))}"
            save_file({k: v.contiguous() for k, v in network.state_dict().items()}, out)
        print(line, flush=True)


if __name__ == "__main__":
    typer.run(main)
