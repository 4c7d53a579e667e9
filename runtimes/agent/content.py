"""The content of a measurement's document, put together from what was measured; and the golden pair for runners without Python.

Such a runner (on a phone, in a browser) gets the golden input in the interpreter's own types and gives the output likewise;
the host compares, as ``verify`` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from onenet import __version__
from onenet.base.arrays import Array
from onenet.base.files import sha256_of, size_of
from onenet.base.text import shape_text
from onenet.errors import ToolError
from onenet.runtimes import parity
from onenet.runtimes.agent import latency
from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.agent.records import (
    ArtifactInfo,
    Caution,
    CheckInfo,
    Content,
    DeviceInfo,
    Interpreter,
    OperatorList,
    Parity,
    Round,
    State,
    SustainedRun,
    ThreadsRow,
)
from onenet.runtimes.artifact import Artifact, manifest_of, read_sidecar
from onenet.runtimes.session import RuntimeInfo, Session
from onenet.spec import TensorSpec

TIMED = "one inference: inputs in the interpreter's own types to outputs in them; pre- and post-processing are not in it"


# The golden pair.


class Recorded(Session):
    """Gives outputs that were computed elsewhere.

    Args:
        inputs, outputs: as the artifact's manifest describes them.
        values: the outputs by name.
    """

    def __init__(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], values: Mapping[str, Array]) -> None:
        self.inputs, self.outputs, self.values = inputs, outputs, values
        self.runtime = RuntimeInfo("recorded", "", "")

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The recorded outputs, whatever is fed."""
        del feeds
        return dict(self.values)


def golden_inputs(path: Path) -> dict[str, Array]:
    """The golden input of an artifact as it stores it (layout and type), by name in the file's order.

    Raises:
        RequestError, CheckError, ToolError: as ``manifest_of``.
    """
    artifact = recorded_artifact(path, {})
    feeds, _ = parity.read_golden(artifact)
    return artifact.stored(feeds)


def judge_outputs(path: Path, outputs: Mapping[str, bytes]) -> Parity:
    """Compare outputs that a device computed from ``golden_inputs`` with the golden ones.

    Args:
        outputs: raw little-endian bytes by name.

    Raises:
        ToolError: an output is missing or has another size.
    """
    artifact = recorded_artifact(path, {})
    values = {spec.name: read_tensor(outputs.get(spec.name), spec) for spec in artifact.outputs}
    return parity_of(parity.check_values(recorded_artifact(path, values)), "host")


def parity_of(checks: Sequence[parity.Check], where: str) -> Parity:
    """Checks as a document holds them. ``where``: who compared, "device" or "host"."""
    infos = [CheckInfo(check.name, check.passed, check.detail) for check in checks]
    return Parity(all(info.passed is not False for info in infos), "device" if where == "device" else "host", infos)


def recorded_artifact(path: Path, values: Mapping[str, Array]) -> Artifact:
    """An artifact that gives these outputs."""
    manifest = manifest_of(path)
    artifact = Artifact(path, manifest, Recorded((), (), values))
    artifact.session.inputs, artifact.session.outputs = artifact.inputs, artifact.outputs
    return artifact


def read_tensor(data: bytes | None, spec: TensorSpec) -> Array:
    """A tensor from its raw little-endian bytes.

    Raises:
        ToolError: there are none, or not as many as it has.
    """
    dtype = np.dtype(spec.dtype).newbyteorder("<")
    expected = int(np.prod(spec.shape)) * dtype.itemsize
    if data is None or len(data) != expected:
        sent = "nothing" if data is None else f"{len(data)} bytes"
        raise ToolError(f"the device gave {sent} for {spec.name}, {spec.dtype} {shape_text(spec.shape)} has {expected}")
    return np.frombuffer(data, dtype).reshape(spec.shape)


# The document.


def artifact_info(path: Path) -> ArtifactInfo:
    """What a document says of an artifact.

    Raises:
        RequestError, CheckError, ToolError: as ``manifest_of``.
    """
    manifest = manifest_of(path)
    return ArtifactInfo(
        file=path.name,
        sha256=sha256_of(path),
        bytes=size_of(path),
        model=manifest.name or path.stem,
        target=manifest.target,
        precision=manifest.precision,
        input_shape=list(manifest.inputs[0].shape),
        quality=quality_of(read_sidecar(path) or {}),
    )


def quality_of(sidecar: Mapping[str, object]) -> dict[str, int | float | None]:
    """The figures of the evaluation that the export made, where it made one."""
    quality = sidecar.get("quality")
    return {k: v for k, v in quality.items() if isinstance(v, (int, float))} if isinstance(quality, dict) else {}


def threads_row(
    threads: int,
    rounds: Sequence[Round],
    states: Sequence[State] = (),
    *,
    cores: Sequence[int] = (),
    prepare_ms: float | None = None,
    finish_ms: float | None = None,
    baseline_bytes: int | None = None,
    peak_method: str = "",
    sustained: SustainedRun | None = None,
) -> ThreadsRow:
    """A row from its rounds, with the figures that follow from them. The other arguments are fields of ``ThreadsRow``."""
    peaks = [each.peak_bytes for each in rounds if each.peak_bytes is not None]
    return ThreadsRow(
        threads,
        list(rounds),
        latency.summary([each.samples_ms for each in rounds]),
        load_ms=median(each.load_ms for each in rounds),
        first_ms=median(each.first_ms for each in rounds),
        peak_bytes=max(peaks) if peaks else None,
        states=list(states),
        cores=list(cores),
        prepare_ms=prepare_ms,
        finish_ms=finish_ms,
        baseline_bytes=baseline_bytes,
        peak_method=peak_method,
        sustained=sustained,
    )


def make_content(
    path: Path,
    device: DeviceInfo,
    runtime: Interpreter,
    checked: Parity,
    plan: Plan,
    rows: Sequence[ThreadsRow],
    cautions: Sequence[Caution] = (),
    *,
    timed: str = TIMED,
    operators: OperatorList | None = None,
) -> Content:
    """The content of a document.

    Args:
        path: of the artifact.
        checked: the golden pair's verdict.
        timed: what the samples are the times of.

    Raises:
        RequestError, CheckError, ToolError: as ``manifest_of``.
    """
    return Content(
        schema=1,
        tool=f"onenet {__version__}",
        artifact=artifact_info(path),
        device=device,
        runtime=runtime,
        parity=checked,
        plan=plan.as_dict(),
        timed=timed,
        rows=list(rows),
        operators=operators or OperatorList(),
        warnings=list(cautions),
    )
