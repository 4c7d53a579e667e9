"""The networks that every toolchain gets: the paper's literal form, its weights, calibration images and expected output.

``prepare`` writes, once per network, what the peers start from:

* ``weights.pt`` and ``network.json``: state dict and configuration of ``onenet.models.onenet.OneNet``, input size,
  number of parameters, operations per inference;
* ``data.npz``: ``calibration`` (8, 3, H, W) and ``image`` (1, 3, H, W), both float32 in [0, 1], and PyTorch's ``logits`` of
  that image in fp32, (1, classes, H, W).
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onenet.models.onenet import OneNet

ROOT = Path(__file__).parents[1]
CALIBRATION_IMAGES = 8
SEED = 0


@dataclass(frozen=True)
class Network:
    """A OneNet at one input size; ``shipped`` names a trained checkpoint, otherwise weights are random and seeded."""

    name: str
    summary: str
    options: dict[str, Any] = field(default_factory=dict)
    size: int = 256
    shipped: str = ""


def random_network(name: str, variant: str, kernel: int | None, width: int = 64, size: int = 256) -> Network:
    form = "with" if kernel else "without"
    summary = f"OneNet {variant},4, width {width}, {form} spatial convolution, random weights, {size}x{size}"
    return Network(name, summary, dict(variant=variant, layers=4, width=width, kernel=kernel), size)


NETWORKS: dict[str, Network] = {
    each.name: each
    for each in (
        random_network("ed4-w64", "ed", None),
        random_network("e4-w64", "e", None),
        random_network("ed4-w64-spatial", "ed", 9),
        random_network("e4-w64-spatial", "e", 9),
        Network("onenet-ed4", "the shipped checkpoint onenet-ed4 (width 20, trained), 256x256", shipped="onenet-ed4"),
        Network("onenet-e4", "the shipped checkpoint onenet-e4 (width 16, trained), 256x256", shipped="onenet-e4"),
    )
}
SMALL: dict[str, Network] = {
    each.name: each
    for each in (
        random_network("small-ed4-spatial", "ed", 9, width=8, size=64),
        random_network("small-e4", "e", None, width=8, size=64),
    )
}
"""To try the harness with: conversions take seconds. Measured only when named."""


def hash_of(*files: Path) -> str:
    """SHA-256 over the names and contents of files and of the Python files below folders.

    Of Python files what counts is the syntax tree: a comment or a line break changes no result.
    """
    digest = hashlib.sha256()
    for each in files:
        for path in sorted(each.rglob("*.py")) if each.is_dir() else [each]:
            content = ast.dump(ast.parse(path.read_text())).encode() if path.suffix == ".py" else path.read_bytes()
            digest.update(path.name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()


def network_id(network: Network) -> str:
    """What a cached conversion depends on: the definition, the model's code, the shipped weights."""
    from onenet.models import WEIGHTS

    sources = [Path(__file__), ROOT / "onenet" / "models" / "onenet.py"]
    if network.shipped:
        sources.append(WEIGHTS / f"{network.shipped}.safetensors")
    return hashlib.sha256(f"{network}{hash_of(*sources)}".encode()).hexdigest()


def load_literal(folder: Path) -> OneNet:
    """The network of a prepared folder, in evaluation mode. Needs torch and nothing else."""
    import torch

    from onenet.models.onenet import OneNet, OneNetConfig

    module = OneNet(OneNetConfig(**json.loads((folder / "network.json").read_text())["config"]))
    module.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    return module.eval()


def load_data(folder: Path) -> dict[str, NDArray[Any]]:
    import numpy as np

    with np.load(folder / "data.npz") as content:
        return dict(content)


def prepare(network: Network, folder: Path) -> None:
    """Write the folder's files; ``network.json`` is written last."""
    import numpy as np
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    import onenet
    from onenet.calibration.samples import default_calibration, default_evaluation

    folder.mkdir(parents=True, exist_ok=True)
    size = network.size
    calibration = np.stack(onenet.load_samples(default_calibration(), size, size, limit=CALIBRATION_IMAGES).arrays)
    image = onenet.load_samples(default_evaluation(), size, size, limit=1).arrays[0][None]
    module = build(network, torch.from_numpy(calibration))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        logits = module(torch.from_numpy(image)).numpy()
    torch.save(module.state_dict(), folder / "weights.pt")
    np.savez(folder / "data.npz", calibration=calibration, image=image, logits=logits)
    facts = {
        "id": network_id(network),
        "name": network.name,
        "summary": network.summary,
        "config": module.config.as_dict(),
        "size": size,
        "parameters": sum(p.numel() for p in module.parameters()),
        "operations": counter.get_total_flops(),
    }
    (folder / "network.json").write_text(json.dumps(facts, indent=1) + "\n")


def build(network: Network, images: Any) -> Any:
    import torch

    import onenet
    from onenet.models.onenet import OneNet, OneNetConfig

    if network.shipped:
        return onenet.build(network.shipped).module
    torch.manual_seed(SEED)
    return settle(OneNet(OneNetConfig(**network.options)), images)


def settle(module: Any, images: Any) -> Any:
    """BatchNorm as training leaves it: statistics of real images, uneven scales, one in eight of them negative.

    With initial values (mean 0, variance 1, scale 1) folding would be trivial. Channels that hardly vary keep a small scale, as
    they do in trained networks: scaled up to the others they would drown the output in int8 noise, in every toolchain.
    """
    import torch

    def observe(norm: Any, inputs: tuple[Any, ...]) -> None:
        variance, mean = torch.var_mean(inputs[0], [0, *range(2, inputs[0].dim())])
        norm.running_mean, norm.running_var = mean, variance
        norm.weight.data.uniform_(0.5, 1.5).mul_((variance / variance.mean()).sqrt())
        norm.weight.data[::8] *= -1
        norm.bias.data.normal_(std=0.3)

    norms = [m for m in module.modules() if isinstance(m, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d))]
    hooks = [norm.register_forward_pre_hook(observe) for norm in norms]
    with torch.no_grad():
        logits = module.eval()(images)
        head = module.decoder.convs["head_1"].conv
        getattr(head, "conv", head).bias -= logits.mean([0, 2, 3])  # every class somewhere
    for hook in hooks:
        hook.remove()
    return module


if __name__ == "__main__":
    prepare({**NETWORKS, **SMALL}[sys.argv[1]], Path(sys.argv[2]))
