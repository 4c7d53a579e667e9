"""Opens toys and multiplies with numpy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from onenet.base.arrays import Array
from onenet.runtimes.session import Operators, Runtime, RuntimeInfo, Session, parse_manifest
from onenet.runtimes.tensors import check_feeds
from onenet.spec import TensorSpec


class ToySession(Session):
    """One matrix product a pixel."""

    def __init__(self, path: Path, threads: int | None, exact_int8: bool) -> None:
        del threads, exact_int8  # numpy decides
        self.path, self.runtime = path, RuntimeInfo("toy-runtime", np.__version__, "numpy")
        with np.load(path) as content:
            self.weight, self.bias = content["weight"], content["bias"]
            self.inputs = (spec_of(content["inputs"]),)
            self.outputs = (spec_of(content["outputs"]),)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        check_feeds(feeds, self.inputs)
        products = np.einsum("kc,nchw->nkhw", self.weight, feeds[self.inputs[0].name])
        return {self.outputs[0].name: products + self.bias[:, None, None]}

    def operators(self) -> Operators:
        return Operators({"MATRIX": 1})


def spec_of(text: Array) -> TensorSpec:
    """A name and four sizes."""
    name, *shape = map(str, text)
    return TensorSpec(name, "image", tuple(map(int, shape)), "NCHW")


def read_manifest(path: Path) -> dict[str, object] | None:
    """The manifest that the exporter put there."""
    with np.load(path) as content:
        return parse_manifest(str(content["manifest"]), path.name) if "manifest" in content.files else None


RUNTIMES = (
    Runtime(
        name="toy-runtime",
        title="Toy runtime",
        suffixes=(".toy",),
        order=90,
        open=ToySession,
        read_manifest=read_manifest,
        packages=("numpy",),
        measures=True,
    ),
)
