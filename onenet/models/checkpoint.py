"""Reading checkpoints: safetensors, or PyTorch files as data only, never as code.

Which of a checkpoint's names are a network's own is found in ``fitting``.
"""

from __future__ import annotations

import hashlib
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from onenet.base.text import first_line, one_line
from onenet.errors import RequestError
from onenet.models.sources import check_weights

AVERAGED = ("state_dict_ema", "ema_state_dict", "model_ema", "params_ema", "ema_model", "ema")
"""Under these keys training scripts keep averaged weights (EMA)."""
PLAIN = ("state_dict", "model_state_dict", "model", "net", "network", "params", "weights", "module", "shadow")
"""And under these the others."""
WRAPPERS = ("module", "model", "net", "network", "_orig_mod")
"""What DataParallel, Lightning, a training class or ``torch.compile`` puts in front of every name."""
AS_DATA = (
    'python -c "import torch; c = torch.load({file!r}, weights_only=False); '
    "torch.save(c['state_dict'] if isinstance(c, dict) else c.state_dict(), 'weights.pth')\""
)
"""What makes a file of tensors of one with Python objects. It runs what the file holds."""


def read_state(path: Path, ema: bool = False) -> dict[str, Tensor]:
    """The state dict of ``read_checkpoint``."""
    return read_checkpoint(path, ema)[0]


def read_checkpoint(path: Path, ema: bool = False) -> tuple[dict[str, Tensor], bool]:
    """The state dict in a checkpoint file, by the file's own names, and whether it lay under a key of averaged weights.

    PyTorch files may nest it under the keys of ``PLAIN``. Averaged weights (``AVERAGED``) are taken where ``ema`` asks for
    them, and where there are no others.

    Raises:
        RequestError: no such file, unknown suffix, damaged, or no tensors inside.
    """
    check_weights(path)
    try:
        content: Any = load_safetensors(path) if path.suffix.lower() == ".safetensors" else load_pytorch(path)
    except pickle.UnpicklingError as error:
        raise RequestError(objects_text(path)) from error
    except Exception as error:  # each reader has its own exceptions
        raise RequestError(
            f"weights {path.name} cannot be read, the file is damaged or cut off: {first_line(error)}"
        ) from error
    averaged = False
    while isinstance(content, dict):
        key = next((key for key in (AVERAGED + PLAIN if ema else PLAIN + AVERAGED) if isinstance(content.get(key), dict)), None)
        if key is None:
            break
        content, averaged = content[key], averaged or key in AVERAGED
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise RequestError(f"weights {path.name} holds no state dict (names with tensors){held(content)}; {STATE_DICT}")
    return content, averaged


STATE_DICT = "save model.state_dict()"


def held(content: object) -> str:
    """``: it holds a, b`` of a dictionary, for a message; else empty."""
    names = [str(key) for key in content] if isinstance(content, dict) else []
    return f": it holds {one_line(', '.join(names[:6]))}" if names else ""


def objects_text(path: Path) -> str:
    """What to do with a file that holds more than tensors, or is damaged."""
    found = objects_in(path)
    named = f" ({one_line(', '.join(found[:3]))}{', ...' if found[3:] else ''})" if found else ""
    doubt = "" if found else ", or are damaged"
    return (
        f"weights {path.name} hold Python objects{named}, which may carry code{doubt}; only tensors are read: "
        f"{STATE_DICT}, or where you trust the file, run {AS_DATA.format(file=str(path))} and give weights.pth"
    )


def objects_in(path: Path) -> list[str]:
    """Names of the classes and functions that a PyTorch file would call, read without calling them."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # an older form, or damaged: they are not known
        return []


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file, by name."""
    from safetensors.torch import load_file

    return load_file(path)


def load_pytorch(path: Path) -> Any:
    """What a PyTorch file holds, read as data: it may run no code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pickle protocols, before it refuses them
        return torch.load(path, "cpu", weights_only=True)


def unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict without what is in front of names, of ``WRAPPERS``, however often.

    For published systems, whose names never begin so. What stands beside the network, such as a loss, is left out.
    """
    state = {key.replace("_orig_mod.", ""): value for key, value in state.items()}
    while len(heads := {key.partition(".")[0] for key in state} & set(WRAPPERS)) == 1:
        prefix = f"{heads.pop()}."
        state = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return state


def state_sha256(module: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())  # numpy has no bfloat16
    return digest.hexdigest()
