"""Is the artifact the model? Names, then shapes, then values, against the golden pair.

What values may differ by is the matter of ``onenet.runtimes.values``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from onenet.base.arrays import Array, paired
from onenet.base.files import sha256_of
from onenet.base.text import one_line
from onenet.errors import CheckError, ToolError
from onenet.runtimes import golden, read_manifest
from onenet.runtimes.artifact import Artifact, manifest_of, open_artifact, read_sidecar, sidecar_of
from onenet.runtimes.seal import is_whole
from onenet.runtimes.session import RuntimeInfo
from onenet.runtimes.values import NOT_COMPARED, TOLERANCES, Known, Limits, as_numbers, judge
from onenet.spec import TensorSpec
from onenet.targets import TARGETS
from onenet.tasks import Task, task_of

SAME_LABELS = 0.99
"""Share of equal labels where the labels themselves are the output, or the task checks them in every precision."""
NOT_OPENED = RuntimeInfo("not opened", "", "")
"""Stands for the runtime of a file that failed before one was needed."""
SATURATES = "this CPU has no VNNI and its int8 kernels saturate; the artifact is right"


@dataclass(frozen=True)
class Check:
    """One question asked of an artifact. ``passed`` is None where it could not be answered here; ``detail`` says why."""

    name: str
    passed: bool | None
    detail: str

    @property
    def compared(self) -> bool:
        """Whether it is more than an excuse: what could not be compared is no pass."""
        return not self.detail.startswith(NOT_COMPARED)


@dataclass(frozen=True)
class Verification:
    """What ``verify`` found."""

    artifact: str
    target: str
    precision: str
    runtime: RuntimeInfo
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed, and values were compared. Another one that could not be done, ``passed`` None, is fine."""
        return all(check.passed is not False and check.compared for check in self.checks)

    def as_dict(self) -> dict[str, object]:
        """The checks as JSON values, with ``passed``."""
        return {**asdict(self), "passed": self.passed}


def verify_here(path: Path, threads: int | None = None, runtime: str | None = None) -> Verification:
    """``onenet.runtimes.verify.verify`` of a file that may be trusted not to harm this process, such as one's own.

    Args:
        threads: CPU threads; None takes all cores that this process may use.
        runtime: the runtime's name; None takes the first that opens the format and is installed.

    Raises:
        RequestError, CheckError, ToolError: as there.
    """
    manifest = manifest_of(path)
    if manifest.precision not in TOLERANCES:
        raise CheckError(f"{path.name} has precision {manifest.precision!r}; this version checks {', '.join(TOLERANCES)}")
    checks = [check_content(path)]
    artifact = open_artifact(path, threads, runtime=runtime)
    checks += [*check_structure(artifact), *check_signature(artifact)]
    if all(check.passed is not False for check in checks):
        checks += check_values_here(artifact)
    return Verification(path.name, manifest.target, manifest.precision, artifact.session.runtime, tuple(checks))


def check_bytes(path: Path) -> Check:
    """The file is the one that the manifest beside it describes."""
    sidecar = read_sidecar(path)
    described = (sidecar or {}).get("artifact")
    expected = described.get("sha256") if isinstance(described, dict) else None
    if not isinstance(expected, str):
        return Check("bytes", None, "no manifest beside the artifact: nothing to compare its SHA-256 with")
    found = sha256_of(path)
    if found == expected:
        return Check("bytes", True, f"SHA-256 {found[:12]}")
    detail = (
        f"SHA-256 {found[:12]}, {expected[:12]!a} expected: not the file that {sidecar_of(path).name} describes, so it was not "
    )
    return Check("bytes", False, detail + "opened; copy or export both again")


def check_content(path: Path) -> Check:
    """``check_bytes``, or without a manifest beside the file whether its content is what the manifest inside was sealed with.

    That is no reason to trust a file: whoever made it may have sealed it.
    """
    check = check_bytes(path)
    if check.passed is not None:
        return check
    try:
        whole = is_whole(path, read_manifest(path) or {})
    except (CheckError, OSError, ToolError):  # a damaged one: what it is, others say
        return check
    if whole is None:
        return check
    detail = "content as exported" if whole else "its content was changed since it was exported, so it was not opened"
    return Check("bytes", whole, detail + ("" if whole else "; copy or export it again"))


def check_structure(artifact: Artifact) -> list[Check]:
    """Where the runtime can look into the file without running it: is everything there that it refers to?"""
    try:
        what = artifact.session.check()
    except CheckError as error:
        return [Check("structure", False, one_line(error))]
    return [] if what is None else [Check("structure", True, what)]


def check_signature(artifact: Artifact) -> list[Check]:
    """Names first, then shapes and types, of inputs and outputs."""
    checks = []
    for kind, expected, found in (
        ("inputs", artifact.inputs, artifact.session.inputs),
        ("outputs", artifact.outputs, artifact.session.outputs),
    ):
        names, own = [t.name for t in expected], [t.name for t in found]
        if names != own:
            checks.append(Check(kind, False, f"names {names} expected, found {own}"))
            continue
        wrong = [
            f"{a.name}: {a.dtype} {a.shape} expected, found {b.dtype} {b.shape}"
            for a, b in paired(expected, found)
            if (a.shape, a.dtype) != (b.shape, b.dtype)
        ]
        good = ", ".join(f"{t.name} {t.dtype} {'x'.join(map(str, t.shape))}" for t in expected)
        checks.append(Check(kind, not wrong, "; ".join(wrong) or good))
    return checks


def check_values_here(artifact: Artifact) -> list[Check]:
    """``check_values`` where this machine can run the artifact, and the reason where it cannot."""
    if not artifact.session.runs_here:
        return [Check("values", None, one_line(f"{NOT_COMPARED}: {artifact.session.runtime.kernels}"))]
    checks = check_values(artifact)
    if artifact.session.runtime.is_evaluator:
        return [replace(check, detail=f"{check.detail} (evaluator parity)") for check in checks]
    if any(check.passed is False for check in checks) and artifact.session.may_saturate:
        return explain_saturation(artifact, checks, check_values)
    return checks


def check_values(artifact: Artifact) -> list[Check]:
    """Run the golden input and compare the sampled outputs, every one."""
    inputs, entries = read_golden(artifact)
    results = artifact.run(inputs)
    if not entries:
        return [Check("values", None, f"{NOT_COMPARED}: it was not made by onenet, and nobody knows what it should give")]
    manifest = artifact.manifest
    task = task_of(manifest.task, manifest.threshold)
    checks = []
    for entry, spec in paired(entries, artifact.outputs):
        canonical = spec.canonical()
        found, known = golden.sample_like(entry.content, results[spec.name], canonical.has_channels), entry.known
        if found.shape != known.reference.shape:
            detail = f"the golden output has shape {known.reference.shape}, the artifact gives {found.shape}"
            checks.append(Check(f"values of {spec.name}", False, detail))
        else:
            limits = entry.limits or asked_of(manifest.target, manifest.precision, task, spec)
            checks.append(Check(f"values of {spec.name}", *judge(task, canonical, limits, known, found)))
    return checks


@dataclass(frozen=True)
class GoldenOutput:
    """One output of the golden pair."""

    content: golden.Entry
    known: Known
    limits: Limits | None
    """None where the manifest gives none."""


def read_golden(artifact: Artifact) -> tuple[dict[str, Array], list[GoldenOutput]]:
    """Golden inputs by name, and each golden output.

    Raises:
        CheckError: the manifest's golden pair is damaged.
    """
    try:
        pair = artifact.manifest.content["golden"]
        inputs = {t.name: golden.read_input(e, t.canonical()) for e, t in paired(pair["inputs"], artifact.inputs)}
        foreign = artifact.manifest.is_foreign and pair["outputs"] == []
        entries = [] if foreign else paired(pair["outputs"], artifact.outputs)
        return inputs, [read_golden_output(entry) for entry, _ in entries]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckError(f"the golden pair of {artifact.path.name} is damaged: {one_line(error)}") from error


def read_golden_output(entry: golden.Entry) -> GoldenOutput:
    """
    Raises:
        KeyError, TypeError, ValueError: the entry is damaged.
    """
    if entry["stride"] < 1:
        raise ValueError("a stride below 1")
    reference = as_numbers(golden.read_output(entry))
    known = Known(as_numbers(golden.read_floats(entry, reference)), reference, step=entry.get("scale"))
    return GoldenOutput(entry, known, Limits.from_dict(entry["limits"]) if "limits" in entry else None)


def asked_of(target: str, precision: str, task: Task, spec: TensorSpec) -> Limits:
    """What is asked of an output unless its network's own arithmetic asks for more."""
    asked, card = TOLERANCES[precision], TARGETS.cards().get(target)
    if spec.role == "labels":
        return Limits() if precision == "int8" else Limits(labels=SAME_LABELS)
    if card is not None and precision in card.sqnr_db:
        asked = replace(asked, sqnr_db=card.sqnr_db[precision])
    return replace(asked, labels=SAME_LABELS) if task.checks_labels and precision != "int8" else asked


def explain_saturation(artifact: Artifact, native: list[Check], again: Callable[[Artifact], list[Check]]) -> list[Check]:
    """Repeat checks with the quantized operators computed in float: right values there mean that the CPU saturates."""
    exact = again(open_artifact(artifact.path, runtime=artifact.session.runtime.name, exact_int8=True))
    if not all(check.passed for check in exact):
        return native
    return [Check(n.name, None, f"{n.detail}; {SATURATES} (in exact arithmetic: {e.detail})") for n, e in paired(native, exact)]
