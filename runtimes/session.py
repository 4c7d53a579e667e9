"""What every runtime gives: tensors in and out exactly as the artifact stores them, and the helpers they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from onenet.base.arrays import Array
from onenet.base.data import parse_json
from onenet.base.text import one_line
from onenet.errors import CheckError
from onenet.spec import TensorSpec

METADATA = "onenet"
"""The key that the manifest has in every artifact's own metadata."""
EVALUATOR = "coreml evaluator"
"""``runtime["name"]`` where values are those of our evaluator of Core ML packages, not Core ML's."""


class Session(Protocol):
    """An artifact opened in its runtime.

    The specs say what the file itself says: names, shapes (-1 where it leaves an axis open), dtypes, and the int8 scale
    where it holds one. Roles are guesses and layouts mostly "other": those are in the manifest.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    runtime: dict[str, Any]
    """``name``, ``version`` and ``kernels`` (or, where ``runs_here`` is False, why not)."""
    runs_here: bool
    """False where this machine can read the artifact but not compute with it."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs. ``feeds`` holds every input under its name, in its shape and dtype.

        Raises:
            RequestError: names, shapes or dtypes differ from ``inputs``.
            ToolError: the runtime failed.
        """
        ...


def parse_manifest(text: str | bytes, where: str) -> dict[str, Any]:
    """The manifest found in ``where``.

    Raises:
        CheckError: it is not a JSON object, so something rewrote the artifact.
    """
    try:
        manifest = parse_json(text)
    except ValueError as error:
        raise CheckError(f"the manifest inside {where} is not JSON ({one_line(error)}); export the artifact again") from error
    if not isinstance(manifest, dict):
        raise CheckError(f"the manifest inside {where} is a JSON {type(manifest).__name__}, not an object")
    return manifest
