"""Networks that ``torch.export.save`` wrote: no code of theirs is needed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from onenet.base.text import first_line
from onenet.errors import RequestError
from onenet.models.sources import check_file


class Program(nn.Module):
    """A saved ``torch.export`` program as a module, for the shapes that it was saved with."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        self.module = program.module()
        inputs = [
            node
            for node in program.graph.nodes
            if node.op == "placeholder" and node.name in program.graph_signature.user_inputs
        ]
        self.shapes = [tuple(node.meta["val"].shape) for node in inputs]

    def train(self, mode: bool = True) -> Program:
        """It stays as it was saved: a program has no training mode."""
        del mode
        return self

    def forward(self, *inputs: torch.Tensor) -> object:
        """The program's inputs -> what it returns."""
        return self.module(*inputs)


def load_program(path: Path) -> nn.Module:
    """A program that ``torch.export.save`` wrote.

    Raises:
        RequestError: there is none, it is damaged, or it holds pickled objects, which may carry code.
    """
    check_file(path, "model file")
    pickled = pickled_in(path)
    if pickled:
        raise RequestError(
            f"{path.name} holds the pickled object {pickled}, which may carry code, and is not opened; give the network's code "
            "and --weights"
        )
    try:
        return Program(torch.export.load(path))
    except Exception as error:  # torch raises what it likes for a file that is none
        raise RequestError(
            f"{path.name} cannot be read as a program of torch.export.save: {type(error).__name__}: {first_line(error)}"
        ) from error


def pickled_in(path: Path) -> str:
    """The name of a weight or constant that torch would unpickle as code; empty where there is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(("_weights_config.json", "_constants_config.json")):
                    entries: Mapping[str, Any] = json.loads(archive.read(name)).get("config", {})
                    for key, entry in entries.items():
                        if entry.get("use_pickle"):
                            return str(key)
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile):
        return ""  # torch says what is wrong with it
    return ""
