"""``onenet.bench``: artifacts on devices, or a campaign; a document for each artifact and device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from onenet.base.files import check_folder, publish, temporary_folder
from onenet.base.tables import html_table, text_table
from onenet.errors import RequestError
from onenet.runtimes import RUNTIMES, measured_suffixes, measuring
from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.artifact import manifest_of
from onenet.runtimes.foreign import adopted
from onenet.runtimes.measure import budget as budgets
from onenet.runtimes.measure import matrix
from onenet.runtimes.measure.budget import Gate
from onenet.runtimes.measure.campaign import Campaign, Cell, Store, cells_of
from onenet.runtimes.measure.document import Measurement
from onenet.runtimes.measure.documents import Documents, Failure, failure_document
from onenet.runtimes.measure.executors import Export, Exported, open_executor
from onenet.targets import TARGETS

FAILED = "failed.txt"
"""In the folder of an ``[[export]]``: the artifacts that could not be made, and why."""
HEADS = ("artifact", "device", "threads", "p50 ms", "p99 ms", "golden")


class Watcher(Protocol):
    """Is told what happens meanwhile, from several threads."""

    def tell(self, cell: Cell, text: str) -> None:
        """What happens to a cell."""

    def note(self, text: str) -> None:
        """What happens to an export."""


class Nobody:
    """A watcher that keeps it to itself."""

    def tell(self, cell: Cell, text: str) -> None:
        """Nothing is done with it."""

    def note(self, text: str) -> None:
        """Nothing is done with it."""


@dataclass(frozen=True)
class Measurements:
    """What ``bench`` measured."""

    measurements: tuple[Measurement, ...]
    failures: tuple[Failure, ...]
    """What could not be exported or measured, and why."""
    gates: tuple[Gate, ...]
    """What the budget says; none where no budget was given."""
    folder: Path
    """Where the documents are."""

    @property
    def passed(self) -> bool:
        """Whether every golden check and every gate passed; what was not measured is in ``failures``."""
        return all(each.parity.passed for each in self.measurements) and budgets.passed(self.gates)

    @property
    def documents(self) -> Documents:
        """As reports and comparisons take them."""
        return Documents(self.measurements, self.failures)

    def as_dict(self) -> dict[str, object]:
        """As JSON holds it."""
        contents = [each.as_dict() for each in (*self.measurements, *self.failures)]
        return {"documents": contents, "gates": [gate.as_dict() for gate in self.gates]}

    def cells(self) -> list[list[str]]:
        """The table's rows: one for each number of threads, then the failures."""
        rows = [
            [
                line.file,
                line.device,
                str(line.row.threads),
                f"{line.p50_ms:.4g}",
                f"{line.row.summary.p99_ms:.4g}",
                line.verdict,
            ]
            for line in self.documents.lines()
        ]
        failed = [[each.file, each.device, "", "", "", f"{each.error}: {each.text}"] for each in self.failures]
        return [*rows, *failed]

    def __repr__(self) -> str:
        count = len(self.measurements)
        title = f"{count} measurement{'s' * (count != 1)}, {len(self.failures)} failed, in {self.folder}"
        return f"{title}\n{text_table(HEADS, self.cells())}"

    def _repr_html_(self) -> str:
        return html_table(HEADS, self.cells())


def bench(
    artifacts: Path | str | Iterable[Path | str] = (),
    devices: str | Sequence[str] = (),
    *,
    plan: Plan | Mapping[str, object] | None = None,
    out: Path | str = "build/measurements",
    runtimes: Sequence[str] = (),
    budget: Path | str | None = None,
    campaign: Path | str | None = None,
    executor: str = "local",
    again: bool = True,
    watcher: Watcher | None = None,
) -> Measurements:
    """Measure artifacts on devices: the golden pair is checked there, then latency, memory and load time.

    Args:
        artifacts: files made by onenet; others are measured as well, without a golden check.
        devices: as ``--device`` names them (``local``, ``ssh:pi@raspberrypi``); none: this machine, or the campaign's.
        plan: a whole plan, or those of its fields that are not as usual (or not as the campaign says).
        out: folder for the documents, which ``report`` and ``compare`` read.
        runtimes: names of runtimes, where a device has several for a format.
        budget: TOML file of limits.
        campaign: TOML file that says what to export, what to measure, and where.
        executor: where its exports run: ``local``, ``ray`` or ``ray://HOST:PORT``.
        again: measure what is finished in ``out`` as well.
        watcher: is told what happens.

    Raises:
        RequestError: something that was asked for cannot be; nothing was measured then.
        CheckError: an artifact was not made by onenet.
        ToolError: an artifact cannot be read. A device that fails is one of the ``failures``.
    """
    given = [Path(artifacts)] if isinstance(artifacts, (str, Path)) else [Path(each) for each in artifacts]
    for path in given:
        check_measurable(path)
    given = [adopted(path, Path(out)) for path in given]
    wanted = Wanted(
        given,
        [devices] if isinstance(devices, str) else list(devices),
        list(runtimes),
        plan.as_dict() if isinstance(plan, Plan) else plan or {},
        Path(out),
    )
    limits = None if budget is None else budgets.read(Path(budget))
    check_folder(wanted.out)
    watcher = watcher or Nobody()
    if campaign is None:
        todo, lost = plan_artifacts(wanted), list[Failure]()
    else:
        todo, lost = plan_campaign(wanted, matrix.read(Path(campaign)), executor, watcher)
    cells = Campaign(todo.cells, todo.plan, Store(wanted.out), again, watcher.tell)
    results = cells.run()
    measurements = tuple(each for each in results.values() if isinstance(each, Measurement))
    failures = (*lost, *(each for each in results.values() if isinstance(each, Failure)), *cells.unkept)
    gates = () if limits is None else tuple(budgets.check(limits, measurements, failures))
    return Measurements(measurements, failures, gates, wanted.out)


@dataclass(frozen=True)
class Wanted:
    """What the caller of ``bench`` gave."""

    artifacts: list[Path]
    devices: list[str]
    runtimes: list[str]
    plan: Mapping[str, object]
    out: Path


@dataclass(frozen=True)
class ToMeasure:
    """Cells, and how they are measured."""

    plan: Plan
    cells: list[Cell]


def plan_artifacts(wanted: Wanted) -> ToMeasure:
    """What to measure without a campaign.

    Raises:
        OneNetError: something that was asked for cannot be.
    """
    check_all(wanted.artifacts, wanted.runtimes)
    cells = cells_of(wanted.artifacts, wanted.devices or ["local"], wanted.runtimes)
    return ToMeasure(changed_plan(Plan(), wanted.plan), cells)


def plan_campaign(wanted: Wanted, campaign: matrix.Matrix, executor: str, watcher: Watcher) -> tuple[ToMeasure, list[Failure]]:
    """What to measure in a campaign, whose exports are made first; and the exports that failed.

    Raises:
        OneNetError: something that was asked for cannot be; nothing was exported then.
    """
    plan, runtimes = changed_plan(campaign.plan.plan(), wanted.plan), wanted.runtimes or campaign.runtimes
    artifacts = [*wanted.artifacts, *campaign.found()]
    check_all(artifacts, runtimes)
    exported, lost = export_missing(campaign, wanted.out, executor, watcher)
    return ToMeasure(plan, cells_of([*artifacts, *exported], wanted.devices or campaign.devices, runtimes)), lost


def changed_plan(plan: Plan, changes: Mapping[str, object]) -> Plan:
    """
    Raises:
        RequestError: a plan has no such field.
    """
    known = plan.as_dict()
    for name in changes:
        if name not in known:
            raise RequestError(f"plan {name!a:.100} is not known; supported: {', '.join(known)}")
    values = {name: tuple(cast("list[int]", value)) if isinstance(value, list) else value for name, value in changes.items()}
    return Plan.from_dict({**known, **values})


def check_all(artifacts: Iterable[Path], runtimes: Iterable[str]) -> None:
    """
    Raises:
        RequestError, CheckError, ToolError: an artifact is not there, was not made by onenet, or cannot be measured
            anywhere; a runtime is not known.
    """
    for name in runtimes:
        if name not in measuring():
            raise RequestError(f"runtime {name!a:.100} is not known; supported: {', '.join(measuring())}")
    for path in artifacts:
        check_measurable(path)
        manifest_of(path)


def check_measurable(path: Path) -> None:
    """
    Raises:
        RequestError: what opens the artifact runs on no device that measures.
    """
    able = [card for card in RUNTIMES.cards().values() if path.suffix in card.suffixes]
    if able and not any(card.measures or card.travels for card in able):
        titles = [target.title for target in TARGETS.cards().values() if target.suffix in measured_suffixes()]
        raise RequestError(f"{path.name}: no device that onenet measures on runs {able[0].title}; export {' or '.join(titles)}")


def export_missing(campaign: matrix.Matrix, out: Path, executor: str, watcher: Watcher) -> tuple[list[Path], list[Failure]]:
    """The artifacts of every ``[[export]]``, made where they are not all there yet; and those that failed."""
    folders = {matrix.key_of(entry): out / "artifacts" / matrix.key_of(entry) for entry in campaign.export}
    missing = [
        Export(key, tuple(matrix.arguments(entry)), str(campaign.folder))
        for entry in campaign.export
        if not is_whole(folders[key := matrix.key_of(entry)])
    ]
    lost = []
    if missing:
        check_folder(out / "artifacts")
        for task, made in open_executor(executor).run(missing):
            what = " ".join(task.arguments)
            if isinstance(made, Exported):
                failed = {f"{what} ({pair})": error for pair, error in made.failed}
                write_files(made.files, [f"{pair}: {error}" for pair, error in made.failed], folders[task.key])
            else:
                failed = {what: made}
            lost += [failure_document(name, "export", error) for name, error in failed.items()]
            for text in [f"export {name}: failed" for name in failed] or [f"export {what}: done"]:
                watcher.note(text)
    found = [path for folder in folders.values() if folder.is_dir() for path in sorted(folder.iterdir())]
    return [path for path in found if path.suffix in measured_suffixes()], lost


def is_whole(folder: Path) -> bool:
    """Whether an ``[[export]]`` was made, all of it: what failed of it is tried again."""
    return folder.is_dir() and not (folder / FAILED).exists()


def write_files(files: Mapping[str, bytes], failed: Sequence[str], folder: Path) -> None:
    """Write files into a folder that appears when all are written, and beside them what failed."""
    with temporary_folder(folder.parent) as scratch:
        made = scratch / folder.name
        for name, content in files.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if failed:
            (made / FAILED).write_text("\n".join(failed) + "\n")
        publish(made, folder)
