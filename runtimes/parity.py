"""Is the artifact the model? Names, then shapes, then values, against the golden pair and on images.

Every tolerance of the project is in ``TOLERANCES``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from onenet.base import metrics
from onenet.base.arrays import Array, paired
from onenet.base.files import sha256_of
from onenet.base.text import one_line
from onenet.errors import CheckError
from onenet.runtimes import golden
from onenet.runtimes.artifact import Artifact, manifest_of, open_artifact, read_sidecar, sidecar_of
from onenet.runtimes.manifest import Manifest
from onenet.runtimes.session import RuntimeInfo
from onenet.spec import TensorSpec
from onenet.targets import TARGETS
from onenet.tasks import Task, task_of


@dataclass(frozen=True)
class Tolerance:
    """What an artifact may differ by from its reference; None: not asked."""

    relative: float | None = None
    """Largest difference over the largest reference value."""
    sqnr_db: float | None = None
    mean_steps: float | None = None
    """Mean difference in int8 steps of the output."""
    most_steps: float | None = None
    """Largest such difference in class values of a whole image: two of a thousand that changed places hardly move a mean."""
    agreement: float | None = None
    """Share of equal labels."""


LABEL_AGREEMENT = 0.99
"""Share of equal labels where the labels themselves are the output, or the task checks them in every precision."""
TOLERANCES: dict[str, Tolerance] = {
    # Another summation order costs 1e-7 to 1e-6 of the largest value; 1.2e-5 was seen between PyTorch and XNNPACK, each about
    # 1e-5 from float64, on a golden picture full of edges. A wrong weight layout costs 1e-1.
    "fp32": Tolerance(relative=2e-5),
    # 11-bit mantissas through some 25 layers measure 55 to 75 dB.
    "fp16": Tolerance(sqnr_db=50.0),
    # Kernels round differently: XNNPACK and the reference kernels differ by one step in about 3 % of values.
    "int8": Tolerance(mean_steps=1.0, most_steps=8.0, agreement=0.99),
    # Against the same int8 weights in float arithmetic.
    "w8": Tolerance(relative=2e-5),
}

NOT_OPENED = RuntimeInfo("not opened", "", "")
"""Stands for the runtime of a file that failed before one was needed."""
SATURATES = "this CPU has no VNNI and its int8 kernels saturate; the artifact is right"
UNTRAINED_AGREEMENT = 0.9
"""Share of equal labels asked of random weights in int8: 0.7 steps of rounding measured 1.6 % of other labels there."""


@dataclass(frozen=True)
class Check:
    """One question asked of an artifact. ``passed`` is None where it could not be answered here; ``detail`` says why."""

    name: str
    passed: bool | None
    detail: str


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
        """Whether no check failed; one that could not be done has ``passed`` None and counts as fine."""
        return all(check.passed is not False for check in self.checks)

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
    checks = [check_bytes(path)]
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
        return [Check("values", None, one_line(f"unchecked: {artifact.session.runtime.kernels}"))]
    checks = check_values(artifact)
    if artifact.session.runtime.is_evaluator:
        return [replace(check, detail=f"{check.detail} (evaluator parity)") for check in checks]
    if any(check.passed is False for check in checks) and artifact.session.may_saturate:
        return explain_saturation(artifact, checks)
    return checks


def check_values(artifact: Artifact) -> list[Check]:
    """Run the golden input and compare the sampled outputs."""
    inputs, references = read_golden(artifact)
    results = artifact.run(inputs)
    task = task_of(artifact.manifest.task)
    checks = []
    for (entry, reference), spec in paired(references, artifact.outputs):
        found = golden.sample_like(entry, results[spec.name], spec.canonical().has_channels)
        if found.shape != reference.shape:
            detail = f"the golden output has shape {reference.shape}, the artifact gives {found.shape}"
            checks.append(Check(f"values of {spec.name}", False, detail))
        else:
            tolerance, step = tolerance_of(artifact.manifest), entry.get("scale")
            checks.append(compare(task, spec, tolerance, reference, found, step))
    return checks


def read_golden(artifact: Artifact) -> tuple[dict[str, Array], list[tuple[golden.Entry, Array]]]:
    """Golden inputs by name, and each golden output's entry with its values.

    Raises:
        CheckError: the manifest's golden pair is damaged.
    """
    try:
        pair = artifact.manifest.content["golden"]
        inputs = {t.name: golden.read_input(e, t.canonical()) for e, t in paired(pair["inputs"], artifact.inputs)}
        references = [(entry, golden.read_output(entry)) for entry, _ in paired(pair["outputs"], artifact.outputs)]
        if min(entry["stride"] for entry, _ in references) < 1:
            raise ValueError("a stride below 1")
        return inputs, references
    except (KeyError, TypeError, ValueError) as error:
        raise CheckError(f"the golden pair of {artifact.path.name} is damaged: {one_line(error)}") from error


def tolerance_of(manifest: Manifest) -> Tolerance:
    """The precision's tolerance; an untrained network's classes are nearly tied everywhere, so its labels prove less."""
    precision = manifest.precision
    tolerance, card = TOLERANCES[precision], TARGETS.cards().get(manifest.target)
    if card is not None and precision in card.sqnr_db:
        tolerance = replace(tolerance, sqnr_db=card.sqnr_db[precision])
    return replace(tolerance, agreement=UNTRAINED_AGREEMENT) if manifest.untrained and tolerance.agreement else tolerance


def compare(task: Task, spec: TensorSpec, tolerance: Tolerance, reference: Array, found: Array, step: float | None) -> Check:
    """Hold (pixels, channels) values against a tolerance.

    Args:
        task: what the values are for; it says what labels are.
        step: of int8 values; None where an output is not quantized.
    """
    passed, details = True, []
    for whose, values in (("output", found), ("reference", reference)):
        if not np.isfinite(values).all():
            return Check(f"values of {spec.name}", False, f"the {whose} holds NaN or infinity")
    if spec.role == "labels":
        return replace(check_labels(task, spec, tolerance, reference, found, step), name=f"values of {spec.name}")
    difference = np.abs(reference.astype(np.float64) - found)
    if tolerance.relative is not None:
        relative = float(difference.max() / max(np.abs(reference).max(), 1e-30))
        passed &= relative <= tolerance.relative
        details.append(f"relative difference {relative:.1e} (<= {tolerance.relative:.0e})")
    if tolerance.sqnr_db is not None:
        sqnr = metrics.sqnr_db(reference, found)
        passed &= sqnr >= tolerance.sqnr_db
        details.append(f"SQNR {sqnr:.1f} dB (>= {tolerance.sqnr_db:.0f})")
    labels = None
    if tolerance.agreement is not None or task.checks_labels:
        labels = check_labels(task, spec, tolerance, reference, found, step)
    if tolerance.mean_steps is not None and (step is not None or labels is None or labels.passed is None):
        size = max(step or natural_step(reference), 1e-30)
        steps = float(difference.mean() / size)
        passed &= steps <= tolerance.mean_steps
        details.append(f"{steps:.2f} steps off on average (<= {tolerance.mean_steps:.0f})")
        if tolerance.most_steps is not None and spec.layout == "NC":
            most = float(difference.max() / size)
            passed &= most <= tolerance.most_steps
            details.append(f"{most:.1f} at most (<= {tolerance.most_steps:.0f})")
    if labels is not None and labels.passed is not None:
        passed &= labels.passed
        details.append(labels.detail)
    return Check(f"values of {spec.name}", passed, ", ".join(details))


def check_labels(
    task: Task,
    spec: TensorSpec,
    tolerance: Tolerance,
    reference: Array,
    found: Array,
    step: float | None,
    unit: str = "",
) -> Check:
    """Whether two outputs, classes in axis 1, lead to the same labels; ``passed`` is None where there are none.

    Args:
        unit: what the share is of, where the sentence needs it (``of 70 images``).
    """
    if spec.role == "labels":
        share: float | None = metrics.label_agreement(reference, found)
    else:
        share = task.agreement(reference, found, spec.role, tie_margin(tolerance, reference, step))
    if share is None:
        return Check("labels", None, f"{task.title} has no labels to compare in {spec.role} {reference.shape}")
    needed = LABEL_AGREEMENT if tolerance.agreement is None else tolerance.agreement
    return Check("labels", share >= needed, f"{task.agree_text} {share:.2%}{unit} (>= {needed:.0%})")


def tie_margin(tolerance: Tolerance, reference: Array, step: float | None) -> float:
    """How far apart two of the reference's values can be and still change places within the tolerance: twice its error."""
    if tolerance.mean_steps is not None:
        return 2 * tolerance.mean_steps * (step or natural_step(reference))
    if tolerance.sqnr_db is not None:
        return 2 * float(np.sqrt(np.square(reference, dtype=np.float64).mean())) * 10 ** (-tolerance.sqnr_db / 20)
    return 2 * (tolerance.relative or 0.0) * float(np.abs(reference).max())


def natural_step(reference: Array) -> float:
    """The step that int8 would have for these values: their range in 255 parts."""
    return float(np.ptp(reference)) / 255


def explain_saturation(artifact: Artifact, native: list[Check]) -> list[Check]:
    """Repeat the check with the quantized operators computed in float: right values there mean that the CPU saturates."""
    exact = check_values(open_artifact(artifact.path, runtime=artifact.session.runtime.name, exact_int8=True))
    if not all(check.passed for check in exact):
        return native
    return [Check(n.name, None, f"{n.detail}; {SATURATES} (in exact arithmetic: {e.detail})") for n, e in paired(native, exact)]
