"""Train a small SegOne on DSB-2018 nuclei (CC0) with three prompts, on a CPU, in less than an hour.

    python examples/train_segone.py DATA --out segone.safetensors

DATA is as ``train_nuclei.py`` wants it. Beside the weights goes ``segone.json`` with the prompts' embeddings. They are random
vectors, seeded, and no text encoder's: so the network knows these three prompts and no other words.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from safetensors.torch import load_file, save_file
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F
from train_nuclei import batches, cropped, on_image, one_cycle, read_split

from onenet.base.diffusion import level_embedding, signal_of
from onenet.models.onenet import MEAN, STD
from onenet.models.segone import SYSTEM, Denoiser, Pair, SegOneConfig, channel_max
from onenet.runtimes.sampler import ESTIMATE, NAMES, Sampler

PROMPTS = ("nuclei", "background", "bright nuclei")
BRIGHT = 0.2
"""A nucleus is bright whose pixels have a larger mean of red, green and blue than this: about half of them."""
TEXT, TIME = 16, 32
"""Lengths of the embeddings."""
CROP = 128
"""Pixels a side of what it trains on. It sees nothing outside of its 16x16 block, so more would teach it nothing."""
WATCHED = 7
"""Validation images that are looked at while it trains; at the end all are."""


def embeddings(seed: int) -> dict[str, np.ndarray]:
    """A random vector of length 1 for each prompt."""
    rows = np.random.default_rng(seed).standard_normal((len(PROMPTS), TEXT))
    return {text: (row / np.linalg.norm(row)).round(6).astype(np.float32) for text, row in zip(PROMPTS, rows, strict=True)}


def bright(image: Tensor, nuclei: Tensor) -> Tensor:
    """(3, H, W) in [0, 1] and (H, W) of 0 and 1 -> those nuclei that are bright, (H, W). Nuclei that touch count as one."""
    regions, count = ndimage.label(nuclei.numpy())
    if not count:
        return nuclei
    means = ndimage.mean(image.mean(0).numpy(), regions, np.arange(count + 1))
    chosen = means > BRIGHT
    chosen[0] = False
    return torch.from_numpy(chosen[regions]).to(nuclei.dtype)


def wanted(prompt: str, image: Tensor, nuclei: Tensor) -> Tensor:
    """The mask of a prompt, (H, W) of 0 and 1."""
    if prompt == "background":
        return 1 - nuclei
    return bright(image, nuclei) if prompt == "bright nuclei" else nuclei


def pair_on_image(pair: Pair, x: Tensor) -> Tensor:
    """Two 1D blocks."""
    return on_image(pair.second, on_image(pair.first, x))


def estimate(net: Denoiser, image: Tensor, noisy: Tensor, time: Tensor, text: Tensor) -> Tensor:
    """``Denoiser.forward`` with its 1D blocks on images, which trains faster."""
    conditions = net.condition(time, text)
    x = pair_on_image(net.image, (image - MEAN) / STD) + pair_on_image(net.mask, noisy)
    skips: list[Tensor] = []
    for down, condition in zip(net.down, conditions, strict=True):
        x = pair_on_image(down, channel_max(F.pixel_unshuffle(x, 2))) + condition
        skips.append(x)
    x = skips.pop()
    for up, join in zip(net.up, net.join, strict=True):
        x = F.pixel_shuffle(on_image(up, x), 2)
        x = pair_on_image(join, torch.cat([x, skips.pop()], 1) if skips else x)
    return net.head(x)


def noised(mask: Tensor, levels: Tensor, generator: torch.Generator) -> Tensor:
    """Masks (N, 1, H, W) of -1 and 1 with noise of their levels (N,)."""
    signal = torch.tensor([signal_of(float(level)) for level in levels])[:, None, None, None]
    return signal.sqrt() * mask + (1 - signal).sqrt() * torch.randn(mask.shape, generator=generator)


def loss_of(
    net: Denoiser, image: Tensor, label: Tensor, table: dict[str, np.ndarray], generator: torch.Generator, bf16: bool
) -> tuple[Tensor, Tensor]:
    """L1 between the masks of prompts drawn by chance and their estimates from noise of chance levels; and soft Dice."""
    chosen = [PROMPTS[i] for i in torch.randint(len(PROMPTS), (len(image),), generator=generator)]
    mask = torch.stack([wanted(*each) for each in zip(chosen, image, label, strict=True)])[:, None] * 2.0 - 1
    levels = torch.rand(len(image), generator=generator).sqrt()  # a few steps of a sampler see more noise than signal
    time = torch.from_numpy(np.stack([level_embedding(float(level), TIME) for level in levels]))
    text = torch.from_numpy(np.stack([table[prompt] for prompt in chosen]))
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        found = estimate(net, image, noised(mask, levels, generator), time, text)
    inside, truth = (found.float().clamp(-1, 1) + 1) / 2, (mask + 1) / 2
    dice = 1 - (2 * (inside * truth).sum((1, 2, 3)) + 1) / (inside.sum((1, 2, 3)) + truth.sum((1, 2, 3)) + 1)
    return F.l1_loss(found.float(), mask), dice.mean()


@torch.no_grad()
def evaluate(net: Denoiser, x: Tensor, y: Tensor, table: dict[str, np.ndarray], steps: int) -> dict[str, float]:
    """IoU of each prompt's mask over all pixels, by the sampler that artifacts are run with."""
    net.eval()
    inputs = SYSTEM.inputs(net.config, (x.shape[2], x.shape[3]))

    def step(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {ESTIMATE: estimate(net, *(torch.from_numpy(feeds[name]) for name in NAMES)).numpy()}

    sampler = Sampler(step, inputs, steps)
    scores = {}
    for prompt, embedding in table.items():
        both = either = 0
        for image, label in zip(x, y, strict=True):
            pixels = image[None].float() / 255
            found = sampler.masks(pixels.numpy(), embedding[None])[-1][0, 0] > 0
            truth = wanted(prompt, pixels[0], label).numpy() > 0
            both, either = both + int((found & truth).sum()), either + int((found | truth).sum())
        scores[prompt] = round(both / max(either, 1), 4)
    return scores


def describe(table: dict[str, np.ndarray], out: Path, scores: dict[str, float], images: int) -> None:
    """The prompts, beside the weights."""
    content = {
        "prompts": {text: [round(float(value), 6) for value in row] for text, row in table.items()},
        "text_encoder": "none: random vectors, seeded; only these prompts are known",
        "data": "2018 Data Science Bowl stage 1 (BBBC038v1), CC0-1.0: 480 training and 70 validation images, 256x256",
        "command": "python examples/train_segone.py DATA --out segone.safetensors",
        "validation": {"images": images, "steps": 4, "iou": scores},
    }
    out.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n")


def main(
    data: Annotated[Path, typer.Argument(help="folder with train/ and val/", exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option(help="safetensors file to write")],
    width: Annotated[int, typer.Option(help="channels at full resolution")] = 18,
    epochs: Annotated[int, typer.Option(help="of 480 images")] = 18,
    batch: Annotated[int, typer.Option(help="images per step")] = 8,
    dice: Annotated[float, typer.Option(help="weight of soft Dice beside the proposal's L1")] = 1.0,
    start: Annotated[Path | None, typer.Option(help="safetensors file to go on from")] = None,
    rate: Annotated[float, typer.Option(help="peak learning rate of the one-cycle schedule")] = 3e-3,
    seed: Annotated[int, typer.Option(help="random seed")] = 0,
) -> None:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    table = embeddings(0)  # the same for a network that is trained on
    net = Denoiser(SegOneConfig(width=width, text=TEXT, time=TIME))
    if start is not None:
        net.load_state_dict(load_file(start))
    x, y = read_split(data / "train")
    x_val, y_val = read_split(data / "val")
    optimizer, schedule = one_cycle(net, rate, epochs * (len(x) // batch))
    bf16 = torch.cpu._is_avx512_bf16_supported()
    began = time.monotonic()
    for epoch in range(epochs):
        net.train()
        total = 0.0
        for images, labels in batches(x, y, batch, generator):
            image, label = cropped(images, labels, CROP, generator)
            l1, overlap = loss_of(net, image, label, table, generator, bf16)
            loss = l1 + dice * overlap
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        line = f"epoch {epoch + 1}/{epochs}  loss {total / (len(x) // batch):.4f}  {(time.monotonic() - began) / 60:.1f} min"
        last = epoch + 1 == epochs
        if (epoch + 1) % 5 == 0 or last:
            save_file({key: value.contiguous() for key, value in net.state_dict().items()}, out)
            each = 1 if last else len(x_val) // WATCHED
            scores = evaluate(net, x_val[::each], y_val[::each], table, 4)
            describe(table, out, scores, len(x_val[::each]))
            line += f"  val {json.dumps(scores)}"
        print(line, flush=True)


if __name__ == "__main__":
    typer.run(main)
