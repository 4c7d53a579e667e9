"""Is the artifact the model? Names, then shapes, then values, against the golden pair and on images.

Every tolerance of the project is in ``TOLERANCES``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onenet.base import metrics
from onenet.base.arrays import paired
from onenet.base.files import sha256_of
from onenet.base.text import one_line
from onenet.errors import CheckError
from onenet.runtimes import golden
from onenet.runtimes.artifact import Artifact, manifest_of, open_artifact, read_sidecar, sidecar_of
from onenet.runtimes.session import RuntimeInfo
from onenet.spec import TensorSpec
from onenet.targets import TARGETS

Array = NDArray[Any]


@dataclass(frozen=True)
class Tolerance:
    """What an artifact may differ by from its reference; None: not asked."""

    relative: float | None = None
    """Largest difference over the largest reference value."""
    sqnr_db: float | None = None
    mean_steps: float | None = None
    """Mean difference in int8 steps of the output."""
    agreement: float | None = None
    """Share of equal labels."""


TOLERANCES: dict[str, Tolerance] = {
    # Another summation order costs 1e-7 to 1e-6 of the largest value; 1.2e-5 was seen between PyTorch and XNNPACK, each about
    # 1e-5 from float64, on a golden picture full of edges. A wrong weight layout costs 1e-1.
    "fp32": Tolerance(relative=2e-5),
    # 11-bit mantissas through some 25 layers measure 55 to 75 dB.
    "fp16": Tolerance(sqnr_db=50.0),
    # Kernels round differently: XNNPACK and the reference kernels differ by one step in about 3 % of values.
    "int8": Tolerance(mean_steps=1.0, agreement=0.99),
    # Against the same int8 weights in float arithmetic.
    "w8": Tolerance(relative=2e-5),
}

NOT_OPENED = RuntimeInfo("not opened", "", "")
"""Stands for the runtime of a file that failed before one was needed."""
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
        return all(check.passed is not False for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
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
    if manifest["precision"] not in TOLERANCES:
        raise CheckError(f"{path.name} has precision {manifest['precision']!r}; this version checks {', '.join(TOLERANCES)}")
    checks = [check_bytes(path)]
    artifact = open_artifact(path, threads, runtime=runtime)
    checks += [*check_structure(artifact), *check_signature(artifact)]
    if all(check.passed is not False for check in checks):
        checks += check_values_here(artifact)
    return Verification(path.name, manifest["target"], manifest["precision"], artifact.session.runtime, tuple(checks))


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
    checks = []
    for (entry, reference), spec in paired(references, artifact.outputs):
        found = golden.sample_like(entry, results[spec.name], spec.canonical().layout == "NCHW")
        if found.shape != reference.shape:
            detail = f"the golden output has shape {reference.shape}, the artifact gives {found.shape}"
            checks.append(Check(f"values of {spec.name}", False, detail))
        else:
            checks.append(compare(spec, tolerance_of(artifact.manifest), reference, found, entry.get("scale")))
    return checks


def read_golden(artifact: Artifact) -> tuple[dict[str, Array], list[tuple[dict[str, Any], Array]]]:
    """Golden inputs by name, and each golden output's entry with its values.

    Raises:
        CheckError: the manifest's golden pair is damaged.
    """
    try:
        pair = artifact.manifest["golden"]
        inputs = {t.name: golden.read_input(e, t.canonical()) for e, t in paired(pair["inputs"], artifact.inputs)}
        references = [(entry, golden.read_output(entry)) for entry, _ in paired(pair["outputs"], artifact.outputs)]
        if min(entry["stride"] for entry, _ in references) < 1:
            raise ValueError("a stride below 1")
        return inputs, references
    except (KeyError, TypeError, ValueError) as error:
        raise CheckError(f"the golden pair of {artifact.path.name} is damaged: {one_line(error)}") from error


def tolerance_of(manifest: dict[str, Any]) -> Tolerance:
    """The precision's tolerance; an untrained network's classes are nearly tied everywhere, so its labels prove less."""
    precision = manifest["precision"]
    tolerance, card = TOLERANCES[precision], TARGETS.cards().get(manifest["target"])
    if card is not None and precision in card.sqnr_db:
        tolerance = replace(tolerance, sqnr_db=card.sqnr_db[precision])
    untrained = (manifest.get("source") or {}).get("weights") == "random"
    return replace(tolerance, agreement=UNTRAINED_AGREEMENT) if untrained and tolerance.agreement else tolerance


def compare(spec: TensorSpec, tolerance: Tolerance, reference: Array, found: Array, step: float | None) -> Check:
    """Hold (pixels, channels) values against a tolerance."""
    passed, details = True, []
    for whose, values in (("output", found), ("reference", reference)):
        if not np.isfinite(values).all():
            return Check(f"values of {spec.name}", False, f"the {whose} holds NaN or infinity")
    if spec.role == "labels":
        agreement = metrics.label_agreement(reference, found)
        needed = tolerance.agreement or 0.99
        return Check(f"values of {spec.name}", agreement >= needed, f"labels agree on {agreement:.2%} (>= {needed:.0%})")
    difference = np.abs(reference.astype(np.float64) - found)
    if tolerance.relative is not None:
        relative = float(difference.max() / max(np.abs(reference).max(), 1e-30))
        passed &= relative <= tolerance.relative
        details.append(f"relative difference {relative:.1e} (<= {tolerance.relative:.0e})")
    if tolerance.sqnr_db is not None:
        sqnr = metrics.sqnr_db(reference, found)
        passed &= sqnr >= tolerance.sqnr_db
        details.append(f"SQNR {sqnr:.1f} dB (>= {tolerance.sqnr_db:.0f})")
    if tolerance.mean_steps is not None and step is not None:
        steps = float(difference.mean() / step)
        passed &= steps <= tolerance.mean_steps
        details.append(f"{steps:.2f} steps off on average (<= {tolerance.mean_steps:.0f})")
    if tolerance.agreement is not None and reference.shape[1] > 1:
        agreement = metrics.label_agreement(reference.argmax(1), found.argmax(1))
        passed &= agreement >= tolerance.agreement
        details.append(f"labels agree on {agreement:.2%} (>= {tolerance.agreement:.0%})")
    return Check(f"values of {spec.name}", passed, ", ".join(details))


def explain_saturation(artifact: Artifact, native: list[Check]) -> list[Check]:
    """Repeat the check with the quantized operators computed in float: right values there mean that the CPU saturates."""
    exact = check_values(open_artifact(artifact.path, runtime=artifact.session.runtime.name, exact_int8=True))
    if not all(check.passed for check in exact):
        return native
    note = "this CPU has no VNNI and its int8 kernels saturate; the artifact is right (in exact arithmetic: {})"
    return [Check(n.name, None, f"{n.detail}; " + note.format(e.detail)) for n, e in paired(native, exact)]


@dataclass(frozen=True)
class Quality:
    """An artifact against the float model on images. What needs masks is None where there are none.

    ``miou``, ``dice`` and ``map50`` are means over the classes: IoU and Dice over all pixels of the set, and
    ``metrics.AveragePrecision``.
    """

    images: int
    sqnr_db: float | None
    label_agreement: float | None
    miou_float: float | None = None
    miou: float | None = None
    dice_float: float | None = None
    dice: float | None = None
    map50_float: float | None = None
    map50: float | None = None

    def as_dict(self) -> dict[str, Any]:
        # JSON has no infinity, which is the SQNR of equal outputs, and no NaN, which is that of an output that overflows.
        values = {k: None if v != v else v for k, v in asdict(self).items()}
        return {k: round(min(max(v, -999.0), 999.0), 6) if isinstance(v, float) else v for k, v in values.items()}


def labels_of(value: Array, role: str) -> Array:
    """Class indices (N, H, W) of an output: as they are, or the largest channel."""
    return value.astype(np.int64) if role == "labels" else value.argmax(1)


def confidence_of(value: Array, role: str) -> Array | None:
    """(N, H, W) probability of each label of ``labels_of``; None where the output holds labels only."""
    if role == "labels":
        return None
    return metrics.confidence_of(value) if role == "logits" else value.max(1)


def quality(role: str, reference: Array, found: Array, truth: Array | None, classes: int) -> Quality:
    """Compare outputs (N, K, H, W), or labels (N, H, W), on images; with ``truth`` (N, H, W), score both against the masks."""
    sqnr = None if role == "labels" else metrics.sqnr_db(reference, found)
    if role not in ("logits", "probabilities", "labels"):
        return Quality(len(reference), sqnr, None)
    agreement = metrics.label_agreement(labels_of(reference, role), labels_of(found, role))
    if truth is None:
        return Quality(len(reference), sqnr, agreement)
    own, other = (scores(role, value, truth, classes) for value in (reference, found))
    pairs = {f"{name}_float": value for name, value in own.items()} | other
    return Quality(len(reference), sqnr, agreement, **pairs)


def scores(role: str, value: Array, truth: Array, classes: int) -> dict[str, float]:
    """``miou``, ``dice`` and ``map50`` of an output against masks (N, H, W)."""
    labels = labels_of(value, role)
    table, precision = metrics.confusion(truth, labels, classes), metrics.AveragePrecision(classes)
    precision.add(truth, labels, confidence_of(value, role))
    return {"miou": metrics.mean_iou(table), "dice": metrics.mean_dice(table), "map50": precision.mean()}
