"""Never less than the usual way: where the form that our rules make cannot be converted, or its file fails its check, a form
with fewer of them.

In int8 only the target's own rules can be left out: what was calibrated is the lowered network.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from onenet.base.files import temporary_folder
from onenet.base.progress import Progress
from onenet.base.quiet import quiet
from onenet.calibration.decide import quantize_weights
from onenet.errors import CheckError, ConversionError
from onenet.exporters.exporter import Exporter
from onenet.exporters.failure import explained
from onenet.exporters.job import Job, LeftOut
from onenet.lowering import driver, lower
from onenet.model import RuleResult

Made = TypeVar("Made")
Make = Callable[[Job], Made]
"""Makes a job's file, and returns what is known of it. Raises ConversionError or CheckError where there is no right one."""


def run_converter(exporter: Exporter, job: Job, path: Path) -> None:
    """
    Raises:
        ConversionError: it failed; says how, and at what.
    """
    with explained(job, "converting", float_works=lambda: float_converts(exporter, job)):
        exporter.convert(job, path)


def float_converts(exporter: Exporter, job: Job) -> bool:
    """Whether a job's network can be converted in float: else no other precision helps."""
    floats = dataclasses.replace(job, quantized=None, precision="fp32", io="float")
    try:
        with temporary_folder() as folder, quiet():
            exporter.convert(floats, folder / floats.file_name)
    except Exception:  # converters raise anything
        return False
    return True


def make_or_less(job: Job, path: Path, make: Make[Made], progress: Progress) -> Made:
    """Make a job's file, or where that fails what of it can be made: with fewer rules, and a warning that names them.

    Args:
        path: where ``make`` writes.

    Raises:
        ConversionError: the converter cannot take the network as it was written, either.
        CheckError: so is its file wrong, or the target's form of the network is not exact and there is no other.
    """
    try:
        return make(job)
    except (ConversionError, CheckError) as error:
        reason = str(error).partition("; try ")[0].partition(". Nothing was written")[0]
        wrong = "fails its check" if isinstance(error, CheckError) else "cannot be converted"
        found = first_that_works(job, afresh(path, make), reason)
        if found is None:
            raise
    names, made = found
    rules = f"rule{'s' * (len(names) > 1)} {', '.join(names)}"
    progress.warn(f"{job.file_name} is made without the {rules}, whose form {wrong}: {reason}")
    return made


def first_that_works(job: Job, make: Make[Made | None], reason: str) -> tuple[tuple[str, ...], Made] | None:
    """The fewest rules to leave out so that a job works, and what is made then; None where it fails as it was written, too.

    That comes first: an operator that the converter does not know costs one more conversion, not one for each rule.
    """
    every = (*own_rules(job), *common_rules(job))
    if not every or make(without(job, every, reason)) is None:
        return None
    made = ((names, make(without(job, names, reason))) for names in choices(job))
    return next(((names, each) for names, each in made if each is not None), None)


def choices(job: Job) -> Iterator[tuple[str, ...]]:
    """What to leave out, the least first: one of the target's own rules, all of them, one that is common, all."""
    own, common = own_rules(job), common_rules(job)
    several = [(name,) for name in own] + [own] + [(name,) for name in common] + [(*own, *common)]
    yield from dict.fromkeys(names for names in several if names)


def own_rules(job: Job) -> tuple[str, ...]:
    """The target's rules that changed something, the last one first; all that it has, where one of them failed."""
    try:
        with explained(job, "arranging"):
            return applied(job.arranged.rules)
    except (ConversionError, CheckError):
        return tuple(rule.name for rule in driver.target_order(job.target))[::-1]


def common_rules(job: Job) -> tuple[str, ...]:
    """The rules for every target that changed something, the last one first; none where they cannot be taken back."""
    can_be = job.precision != "int8" and job.model.lowering and job.model.before
    return applied(job.model.lowering.rules) if can_be and job.model.lowering else ()


def applied(rules: Iterable[RuleResult]) -> tuple[str, ...]:
    """The names of the rules that changed something, the last one first."""
    return tuple(rule.rule for rule in rules if rule.applied)[::-1]


def without(job: Job, names: tuple[str, ...], reason: str) -> Job:
    """The same artifact of a network that some rules were not run on."""
    model, quantized = job.model, job.quantized
    if model.before is not None and not set(names).isdisjoint(common_rules(job)):
        model = lower(model.before, without=names)
        quantized = quantize_weights(model) if quantized else None
    return dataclasses.replace(job, model=model, quantized=quantized, left_out=LeftOut(names, reason))


def afresh(path: Path, make: Make[Made]) -> Make[Made | None]:
    """``make`` in place of what a failed attempt left at ``path``; None where it fails."""

    def attempt(job: Job) -> Made | None:
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)
        try:
            return make(job)
        except (ConversionError, CheckError):
            return None

    return attempt
