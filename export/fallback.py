"""Never less than the usual way: where a converter cannot take the form that our rules make, a form with fewer of them.

Only in float: int8 needs the lowered network, which was calibrated.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from onenet.base.progress import Progress
from onenet.calibration.decide import quantize_weights
from onenet.errors import CheckError, ConversionError
from onenet.exporters.exporter import Exporter
from onenet.exporters.failure import explained
from onenet.exporters.job import Job, LeftOut
from onenet.lowering import driver, lower
from onenet.model import RuleResult


def run_converter(exporter: Exporter, job: Job, path: Path) -> None:
    """
    Raises:
        ConversionError: it failed; says how, and at what.
    """
    with explained(job, "converting"):
        exporter.convert(job, path)


def convert(exporter: Exporter, job: Job, path: Path, progress: Progress) -> Job:
    """Convert a job, or where that fails what of it can be converted: with fewer rules, and a warning that names them.

    Returns:
        The job that was converted.

    Raises:
        ConversionError: the converter cannot take the network as it was written, either.
        CheckError: the target's form of the network is not exact, and it cannot be converted without.
    """
    try:
        run_converter(exporter, job, path)
    except (ConversionError, CheckError) as error:
        reason = str(error).partition("; try ")[0]
        simpler = first_that_converts(exporter, job, path, reason)
        if simpler is None or simpler.left_out is None:
            raise
        rules = f"rule{'s' * (len(simpler.left_out.rules) > 1)} {', '.join(simpler.left_out.rules)}"
        progress.warn(f"{job.file_name} is made without the {rules}, whose form cannot be converted: {reason}")
        return simpler
    return job


def first_that_converts(exporter: Exporter, job: Job, path: Path, reason: str) -> Job | None:
    """The job with the fewest rules left out whose conversion works; None where the network as it was written fails too.

    That comes first: an operator that the converter does not know costs one more conversion, not one for each rule.
    """
    every = (*own_rules(job), *common_rules(job))
    if job.precision == "int8" or not every or not converts(exporter, without(job, every, reason), path):
        return None
    jobs = (without(job, names, reason) for names in choices(job))
    return next((each for each in jobs if converts(exporter, each, path)), None)


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
    return applied(job.model.lowering.rules) if job.model.lowering and job.model.before else ()


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


def converts(exporter: Exporter, job: Job, path: Path) -> bool:
    """Whether a job can be converted; its artifact is at ``path`` then, in place of what a failed one left there."""
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)
    try:
        run_converter(exporter, job, path)
    except (ConversionError, CheckError):
        return False
    return True
