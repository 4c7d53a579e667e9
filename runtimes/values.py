"""Is an output right? It is where it is as good as what the artifact was made from. numpy only.

An exporter measures what that is, on the same input, and gives each output its ``Limits``; they travel in the manifest. The
rules, with the reason of each number, are in docs/verification.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from onenet.base import metrics
from onenet.base.arrays import Array
from onenet.base.data import is_real
from onenet.spec import TensorSpec
from onenet.tasks import Task


@dataclass(frozen=True)
class Limits:
    """What an output may differ by; None: not asked."""

    relative: float | None = None
    """Largest difference from the reference over its largest value."""
    sqnr_db: float | None = None
    """Least SQNR against the float model."""
    reference_db: float | None = None
    """Least SQNR against the reference, whose mean is no signal."""
    most: float | None = None
    """Largest difference from the reference of one class, where an image has one row of them: one wrong class of a thousand
    hardly moves an SQNR."""
    labels: float | None = None
    """Least share of labels that are the float model's."""
    reference_labels: float | None = None
    """Least share of labels that are the reference's."""

    def as_dict(self) -> dict[str, float]:
        """Those that are asked, as a manifest holds them."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Limits:
        """From a manifest. Raises TypeError or ValueError where it holds anything but known names with numbers."""
        if not isinstance(data, Mapping):
            raise TypeError(f"limits are {type(data).__name__}, not an object")
        numbers = {name: float(value) for name, value in data.items() if isinstance(value, (int, float)) and is_real(value)}
        if len(numbers) < len(data):
            raise ValueError(f"limits that are no numbers: {', '.join(sorted(data.keys() - numbers.keys()))}")
        return cls(**numbers)


TOLERANCES: dict[str, Limits] = {
    # Another summation order costs 1e-7 to 1e-6 of the largest value; 1.2e-5 was seen between PyTorch and XNNPACK, each about
    # 1e-5 from float64, on a golden picture full of edges. A wrong weight layout costs 1e-1.
    "fp32": Limits(relative=2e-5),
    # 11-bit mantissas through some 25 layers measure 55 to 75 dB.
    "fp16": Limits(sqnr_db=50.0),
    # All of it follows from the network.
    "int8": Limits(),
    # Against the same int8 weights in float arithmetic.
    "w8": Limits(relative=2e-5),
}
"""What an output may differ by unless its network's own arithmetic asks for more."""

OWN_ERRORS = 4
"""A float artifact may be so many times as far from float64 as PyTorch's float32 is: it sums in another order."""
HALF_MARGIN_DB = 3.0
"""How much worse than a simulation fp16 may be: twice its noise. Kernels differ in where they round."""
INT8_MARGIN_DB = 1.0
"""How much worse than the int8 program an int8 artifact may be, against the float model."""
LEAST_FLOOR_DB = 1.0
"""Least SQNR against the int8 program of an output, however chaotic. One that holds nothing of the program has 0 dB."""
ENOUGH_DB = 15.0
"""An error of a sixth of the signal: more is asked only where the program itself is nearer than that to the float model."""
QUARTER_DB = 6.0
"""Noise of a quarter's power: so much more than the program's own is what ``INT8_MARGIN_DB`` against the float model allows."""
HIGHEST_DB = 80.0
"""More is asked of no int8 artifact: what a recipe leaves in float is computed in float32."""
LABELS_MARGIN = 0.01
"""Share of labels that may be other ones."""
DEVIATIONS = 3.0
"""What chance does: an error of more deviations is a fault."""
MOST_STEPS = 8.0
"""How many int8 steps one class of a row may be off, unless the program's own error is larger."""
NOT_COMPARED = "not compared"
"""How the detail begins of a check that had nothing to compare with."""


@dataclass(frozen=True)
class Known:
    """One output of what an artifact is made from, on one input: (pixels, channels) each, at the same places."""

    floats: Array
    """The float model's."""
    reference: Array
    """The artifact's source's: the int8 program's, or the float model's."""
    others: tuple[Array, ...] = ()
    """The int8 program's where ties were rounded another way."""
    step: float | None = None
    """The int8 step; None where the output is not quantized."""


# --- limits -----------------------------------------------------------------


def exact_limits(reference: Array, own: Array) -> Limits:
    """fp32 and w8: what PyTorch's float32 loses on the same input, several times.

    Args:
        reference: computed in float64.
        own: by PyTorch in float32.
    """
    least, finite = TOLERANCES["fp32"], comparable(reference, own)
    if least.relative is None or finite is None:
        return least
    return Limits(relative=max(least.relative, rounded_up(OWN_ERRORS * largest_difference(*finite))))


def half_limits(floats: Array, simulated: Array, asked: float) -> Limits:
    """fp16: ``HALF_MARGIN_DB`` below a simulation in half precision, and never more than ``asked`` dB."""
    finite = comparable(floats, simulated)
    if finite is None:  # beyond 65504: right where sums are float32, infinite where they are not
        return Limits(sqnr_db=asked)
    floats, simulated = finite
    noise = power(floats.astype(np.float64) - simulated)
    return Limits(sqnr_db=min(asked, rounded_down(decibels(power(floats), noise) - HALF_MARGIN_DB)))


def int8_limits(task: Task, spec: TensorSpec, known: Known) -> Limits:
    """int8: as near to the float model as the program is, and like the program rather than like anything else."""
    finite = comparable(known.floats, known.reference, *known.others)
    if finite is None:
        return Limits()  # nothing passes then
    floats, reference, *others = finite
    known = Known(floats, reference, tuple(others), known.step)
    if spec.role == "labels":
        labels = [metrics.label_agreement(floats, each) for each in (reference, *others)]
        same = [metrics.label_agreement(reference, each) for each in others]
        chance = chance_of(same, len(reference))
        return Limits(labels=least_share(labels, chance), reference_labels=least_share([1.0, *same], chance))
    shares = [task.agreement(floats, each, spec.role, tie_margin(known)) for each in (reference, *others)]
    kept = [task.agreement(reference, each, spec.role) for each in others]
    return Limits(
        sqnr_db=rounded_down(decibels(power(floats), allowed_noise(known)) - INT8_MARGIN_DB),
        reference_db=rounded_down(least_likeness(known)),
        most=rounded_up(most_of(known)) if spec.layout == "NC" else None,
        labels=least_share([share for share in shares if share is not None], chance_of(kept, len(reference))),
    )


def least_likeness(known: Known) -> float:
    """dB to the int8 program. No fault is: twice the noise of its other roundings; a step everywhere; a quarter of its own.

    A fault may move an output by as much as int8 itself costs without being farther from the float model: it is farther from
    the program.
    """
    step = known.step or natural_step(known.reference)
    alike = [centred_db(known.reference, each, known.step) - HALF_MARGIN_DB for each in known.others]
    off_by_one = centred_db(known.reference, known.reference + step, known.step)
    own = centred_db(known.reference, known.floats, known.step) + QUARTER_DB
    return max(LEAST_FLOOR_DB, min([off_by_one, max(own, ENOUGH_DB), *alike]))


def allowed_noise(known: Known) -> float:
    """Mean square of the program's error against the float model, with what another rounding of the same program may add.

    Two right kernels round ties to different sides, and later layers carry that on. The noise of the others that were tried
    bounds it, and what chance adds in few values: noise and change are independent, but of n values their product is not 0.
    """
    noise = power(known.reference - known.floats)
    largest = max([noise, *(power(each - known.floats) for each in known.others)])
    change = max([0.0, *(power(each - known.reference) for each in known.others)])
    return largest + 4 * math.sqrt(noise * change / known.reference.size)


def most_of(known: Known) -> float:
    """How far one class may be from the program's."""
    step = known.step or natural_step(known.reference)
    noise = math.sqrt(power(known.reference - known.floats))
    changes = [float(np.abs(each - known.reference).max()) for each in known.others]
    return max([MOST_STEPS * step, 6 * noise, *(2 * each for each in changes)])


def tie_margin(known: Known) -> float:
    """How far apart two values of the float model may be and still change places: each may be off by three deviations of the
    program's noise. Among a thousand classes there always are some at the edge of one."""
    noise = math.sqrt(power(known.reference - known.floats))
    return 2 * max(known.step or natural_step(known.reference), DEVIATIONS * noise)


def natural_step(reference: Array) -> float:
    """The step that int8 would have for these values: their range in 255 parts."""
    return float(np.ptp(reference)) / 255


def least_share(shares: list[float], chance: float = 0.0) -> float | None:
    """What share of labels is needed where these were found; None without any."""
    return max(0.0, rounded_down(min(shares) - LABELS_MARGIN - chance, 4)) if shares else None


def chance_of(same: Sequence[float | None], count: int) -> float:
    """How far a share of ``count`` labels is off by chance where other roundings keep these shares: each label that they change
    may become right or wrong, so three deviations of as many coins."""
    changed = max([0.0, *(1 - share for share in same if share is not None)])
    return DEVIATIONS * math.sqrt(changed / count)


# --- figures ----------------------------------------------------------------


def power(values: Array) -> float:
    """Mean of the squares."""
    return float(np.square(values, dtype=np.float64).mean())


def largest_difference(reference: Array, found: Array) -> float:
    """Largest difference over the largest reference value."""
    gap = np.abs(reference.astype(np.float64) - found)
    return float(gap.max() / max(float(np.abs(reference).max()), 1e-30))


def centred_db(reference: Array, found: Array, step: float | None = None) -> float:
    """SQNR where only what varies is signal: over the pixels of each channel, or over the channels of a single pixel.

    An artifact whose weights are lost gives its biases everywhere, which may be near to the mean. Within one int8 step two
    outputs are alike, however little they vary.
    """
    mean = reference.mean(0 if len(reference) > 1 else None, keepdims=True, dtype=np.float64)
    whole = power(reference)
    signal = whole if reference.size == 1 else max(power(reference - mean), (2 * (step or 0.0)) ** 2)
    noise = power(reference.astype(np.float64) - found)
    return HIGHEST_DB if noise <= whole * 10 ** (-HIGHEST_DB / 10) else decibels(signal, noise)


def decibels(signal: float, noise: float) -> float:
    """Their ratio in dB, at most ``HIGHEST_DB`` and at least its opposite."""
    if noise == 0.0 or signal == 0.0:
        return HIGHEST_DB if noise == 0.0 else -HIGHEST_DB
    return float(np.clip(10 * math.log10(signal / noise), -HIGHEST_DB, HIGHEST_DB))


def rounded_up(value: float) -> float:
    """To two digits, away from 0: a limit does not change with a machine's last bits."""
    if value == 0.0:
        return value
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit - 1e-9) * unit:.2g}")


def rounded_down(value: float, digits: int = 1) -> float:
    """So many digits behind the point, downwards."""
    return float(math.floor(value * 10**digits) / 10**digits)


def as_numbers(values: Array) -> Array:
    """Values that can be subtracted: booleans and whole numbers become floats."""
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def comparable(*values: Array) -> list[Array] | None:
    """Arrays with 0 where all hold the same infinity, as a mask makes it; None with NaN, or where one's infinities differ."""
    infinite = np.isinf(values[0])
    places = [np.where(np.isfinite(each), 0, each) for each in values]
    if not all(np.array_equal(each, np.where(infinite, values[0], 0)) for each in places):
        return None
    return [np.where(infinite, 0, each) for each in values]


# --- judgement --------------------------------------------------------------


def judge(task: Task, spec: TensorSpec, limits: Limits, known: Known, found: Array) -> tuple[bool | None, str]:
    """Hold an artifact's (pixels, channels) values against their limits.

    Args:
        task: what the values are for; it says what labels are.
        known: what they are compared with; ``others`` are not needed.

    Returns:
        Whether they are right, None where nothing was compared; and the figures with their limits.
    """
    found = as_numbers(found)
    for whose, values in (("output", found), ("reference", known.reference), ("float model", known.floats)):
        if np.isnan(values).any():
            return False, f"the {whose} holds NaN"
    finite = comparable(known.reference, known.floats, found)
    if finite is None:
        is_half = limits.sqnr_db is not None and limits.reference_db is None
        hint = "; half precision ends at 65504: take -p fp32" if is_half and not np.isinf(known.reference).any() else ""
        return False, f"infinity is not where the reference has it{hint}"
    known, found = Known(finite[1], finite[0], step=known.step), finite[2]
    answers = list(labels_kept(task, spec, limits, known, found))
    if spec.role != "labels":
        answers = [*values_kept(spec, limits, known, found), *answers]
    if not answers:
        return None, f"{NOT_COMPARED}: the manifest says nothing of what it may differ by; export it again"
    return all(kept for kept, _ in answers), ", ".join(text for _, text in answers)


def values_kept(spec: TensorSpec, limits: Limits, known: Known, found: Array) -> Iterator[tuple[bool, str]]:
    """Each limit of values that is asked: whether it is kept, and the figure."""
    if limits.relative is not None:
        relative = largest_difference(known.reference, found)
        yield relative <= limits.relative, f"relative difference {relative:.1e} (<= {limits.relative:.1e})"
    if limits.sqnr_db is not None:
        sqnr = metrics.sqnr_db(known.floats, found)
        yield sqnr >= limits.sqnr_db, f"SQNR {sqnr:.1f} dB (>= {limits.sqnr_db:.1f})"
    if limits.reference_db is not None:
        alike = centred_db(known.reference, found, known.step)
        yield alike >= limits.reference_db, f"{alike:.1f} dB to the int8 program (>= {limits.reference_db:.1f})"
        steps = np.abs(known.reference - found) / max(known.step or natural_step(known.reference), 1e-30)
        yield True, f"{steps.mean():.2f} steps off on average"
    if limits.most is not None and spec.layout == "NC":
        most = float(np.abs(known.reference - found).max())
        yield most <= limits.most, f"{most:.2g} off at most (<= {limits.most:.2g})"


def labels_kept(task: Task, spec: TensorSpec, limits: Limits, known: Known, found: Array) -> Iterator[tuple[bool, str]]:
    """Each limit of labels that is asked: whether it is kept, and the share."""
    for reference, least, whose in (
        (known.floats, limits.labels, ""),
        (known.reference, limits.reference_labels, " with the int8 program"),
    ):
        if least is None:
            continue
        margin = allowed_gap(limits, known)
        share = (
            metrics.label_agreement(reference, found)
            if spec.role == "labels"
            else task.agreement(reference, found, spec.role, margin)
        )
        if share is not None:
            yield share >= least, f"{task.agree_text} {share:.2%}{whose} (>= {100 * least:.4g}%)"


def allowed_gap(limits: Limits, known: Known) -> float:
    """How far apart two values of the float model can be and still change places within the limits: twice the error."""
    if limits.reference_db is not None:
        return tie_margin(known)
    if limits.sqnr_db is not None:
        return 2 * math.sqrt(power(known.floats)) * 10 ** (-limits.sqnr_db / 20)
    return 2 * (limits.relative or 0.0) * float(np.abs(known.reference).max())
