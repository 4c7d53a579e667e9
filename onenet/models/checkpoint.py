"""Reading checkpoints: safetensors, or PyTorch files as data only, never as code."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from onenet.base.text import first_line
from onenet.errors import RequestError

SUFFIXES = (".safetensors", ".pt", ".pth")
COUNTER = "num_batches_tracked"


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in a checkpoint file.

    PyTorch files may nest it under ``state_dict`` or ``model``; a ``module.`` prefix (DataParallel) is taken off.

    Raises:
        RequestError: no such file, unknown suffix, damaged, or no tensors inside.
    """
    if path.suffix not in SUFFIXES:
        raise RequestError(f"weights {path.name}: suffix {path.suffix!r} is not supported; use {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise RequestError(f"weights file {path} does not exist; give an existing {' or '.join(SUFFIXES)} file")
    try:
        content: Any = load_safetensors(path) if path.suffix == ".safetensors" else load_pytorch(path)
    except pickle.UnpicklingError as error:
        raise RequestError(
            f"weights {path.name} hold Python objects, which may carry code, or are damaged; only tensors are read: "
            "save model.state_dict()"
        ) from error
    except Exception as error:  # each reader has its own exceptions
        raise RequestError(
            f"weights {path.name} cannot be read, the file is damaged or cut off: {first_line(error)}"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise RequestError(f"weights {path.name} holds no state dict (names with tensors); save model.state_dict()")
    return {key.removeprefix("module."): value for key, value in content.items()}


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file, by name."""
    from safetensors.torch import load_file

    return load_file(path)


def load_pytorch(path: Path) -> Any:
    """What a PyTorch file holds, read as data: it may run no code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pickle protocols, before it refuses them
        return torch.load(path, "cpu", weights_only=True)


def load_into(module: nn.Module, state: dict[str, Tensor], where: str) -> None:
    """Load a state dict strictly.

    Raises:
        RequestError: names the first key that differs, with the shape expected and the shape found.
    """
    own = module.state_dict()
    for key, value in own.items():
        if key not in state:
            if key.endswith(COUNTER):
                continue
            raise RequestError(f"{where} does not fit: {key} is expected with shape {tuple(value.shape)}, found no such key")
        if state[key].shape != value.shape:
            raise RequestError(
                f"{where} does not fit: {key} is expected with shape {tuple(value.shape)}, found {tuple(state[key].shape)}"
            )
    unexpected = [key for key in state if key not in own]
    if unexpected:
        raise RequestError(f"{where} does not fit: it holds {unexpected[0]}, which this model does not have")
    module.load_state_dict(state, strict=False)


def state_sha256(module: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())  # numpy has no bfloat16
    return digest.hexdigest()
