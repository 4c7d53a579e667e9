"""What this machine does for a runner without Python (phones, browsers): inputs as bytes, judging outputs, the document.

Such a runner gets the golden input in the interpreter's own types, gives the output likewise and the samples of every round;
the comparison is the one that ``verify`` makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onenet import __version__
from onenet.base.files import sha256_of, size_of
from onenet.base.text import shape_text
from onenet.errors import ToolError
from onenet.runtimes import parity
from onenet.runtimes.agent import latency
from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.artifact import Artifact, manifest_of, read_sidecar
from onenet.runtimes.session import RuntimeInfo, Session
from onenet.spec import TensorSpec

SCHEMA = 1
TIMED = "one inference: inputs in the interpreter's own types to outputs in them; pre- and post-processing are not in it"


class Recorded(Session):
    """Gives outputs computed elsewhere."""

    def __init__(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], values: Mapping[str, NDArray[Any]]):
        self.inputs, self.outputs, self.values = inputs, outputs, values
        self.runtime = RuntimeInfo("recorded", "", "")

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        del feeds
        return dict(self.values)


def golden_inputs(path: Path) -> dict[str, NDArray[Any]]:
    """The golden input of an artifact as it stores it (layout and type), by name in the file's order.

    Raises:
        RequestError, CheckError, ToolError: as ``manifest_of``.
    """
    artifact = recorded(path, {})
    feeds, _ = parity.read_golden(artifact)
    return artifact.stored(feeds)


def judge(path: Path, outputs: Mapping[str, bytes]) -> dict[str, Any]:
    """``document.Parity`` of outputs that a device computed from ``golden_inputs``: raw little-endian bytes by name.

    Raises:
        ToolError: an output is missing or has another size.
    """
    artifact = recorded(path, {})
    values = {spec.name: from_bytes(outputs.get(spec.name), spec) for spec in artifact.outputs}
    checks = parity.check_values(recorded(path, values))
    return {"passed": all(c.passed is not False for c in checks), "where": "host", "checks": [asdict(c) for c in checks]}


def recorded(path: Path, values: Mapping[str, NDArray[Any]]) -> Artifact:
    manifest = manifest_of(path)
    artifact = Artifact(path, manifest, Recorded((), (), values))
    artifact.session.inputs, artifact.session.outputs = artifact.inputs, artifact.outputs
    return artifact


def from_bytes(data: bytes | None, spec: TensorSpec) -> NDArray[Any]:
    dtype = np.dtype(spec.dtype).newbyteorder("<")
    expected = int(np.prod(spec.shape)) * dtype.itemsize
    if data is None or len(data) != expected:
        found = "nothing" if data is None else f"{len(data)} bytes"
        raise ToolError(f"the device gave {found} for {spec.name}, {spec.dtype} {shape_text(spec.shape)} has {expected}")
    return np.frombuffer(data, dtype).reshape(spec.shape)


def artifact_info(path: Path) -> dict[str, Any]:
    """``document.ArtifactInfo``."""
    manifest = manifest_of(path)
    return {
        "file": path.name,
        "sha256": sha256_of(path),
        "bytes": size_of(path),
        "model": manifest.get("name") or path.stem,
        "target": manifest["target"],
        "precision": manifest["precision"],
        "input_shape": list(manifest["inputs"][0]["shape"]),
        "quality": quality_of(read_sidecar(path) or {}),
    }


def quality_of(sidecar: dict[str, Any]) -> dict[str, Any]:
    """The figures of the evaluation that the export made, where it made one."""
    quality = sidecar.get("quality")
    return {k: v for k, v in quality.items() if isinstance(v, (int, float))} if isinstance(quality, dict) else {}


def row(
    threads: int,
    rounds: Sequence[Mapping[str, Any]],
    states: Sequence[Mapping[str, Any]] = (),
    **more: Any,
) -> dict[str, Any]:
    """``document.Row`` of its rounds (``document.Round`` each)."""
    peaks = [each["peak_bytes"] for each in rounds if each.get("peak_bytes") is not None]
    return {
        "threads": threads,
        "rounds": [dict(each) for each in rounds],
        "summary": latency.summary([each["samples_ms"] for each in rounds]),
        "load_ms": median(each["load_ms"] for each in rounds),
        "first_ms": median(each["first_ms"] for each in rounds),
        "peak_bytes": max(peaks) if peaks else None,
        "states": [dict(each) for each in states],
        **more,
    }


def content(
    path: Path,
    device: Mapping[str, Any],
    runtime: Mapping[str, Any],
    parity: Mapping[str, Any],
    plan: Plan,
    rows: Sequence[Mapping[str, Any]],
    warnings: Sequence[Mapping[str, str]] = (),
    **more: Any,
) -> dict[str, Any]:
    """The content of a document; ``more``: operators."""
    return {
        "schema": SCHEMA,
        "tool": f"onenet {__version__}",
        "artifact": artifact_info(path),
        "device": dict(device),
        "runtime": dict(runtime),
        "parity": dict(parity),
        "plan": plan.as_dict(),
        "timed": TIMED,
        "rows": [dict(each) for each in rows],
        "warnings": [dict(each) for each in warnings],
        **more,
    }
