"""What an export gives: artifacts with what was found about each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onenet.base.quiet import last_lines
from onenet.errors import CheckError, ConversionError, OneNetError, RequestError, ToolError

if TYPE_CHECKING:
    from onenet.calibration.quantized import QuantizedModel
    from onenet.calibration.search import SearchResult
    from onenet.runtimes.parity import Verification
    from onenet.runtimes.quality import Quality


@dataclass(frozen=True, repr=False)
class ExportedArtifact:
    """A finished export: where it lies, what its manifest says, what the checks found."""

    path: Path
    manifest: dict[str, Any]
    bytes: int
    seconds: float
    verification: Verification | None
    """None with ``verify=False``."""
    quality: Quality | None
    """Against the float model on images; None without images, or where the artifact cannot run here."""
    preview: Path | None = None
    """The picture beside it, where one was drawn."""
    cautions: tuple[str, ...] = ()
    """What should be known of it although it is right, such as int8 that keeps little; a line each, with what to do."""

    def as_dict(self) -> dict[str, object]:
        """The artifact as JSON values: size in bytes, time in seconds, verification and quality or None."""
        return {
            "path": str(self.path),
            "target": self.manifest["target"],
            "precision": self.manifest["precision"],
            "bytes": self.bytes,
            "seconds": round(self.seconds, 2),
            "verification": self.verification.as_dict() if self.verification else None,
            "quality": self.quality.as_dict() if self.quality else None,
            "preview": str(self.preview) if self.preview else None,
            "cautions": list(self.cautions),
            "failed": None,
        }

    @property
    def unanswered(self) -> list[str]:
        """Names of the checks that this machine could not make."""
        checks = self.verification.checks if self.verification else ()
        return [check.name for check in checks if check.passed is None and check.name != "bytes"]

    def cells(self, heads: Sequence[str]) -> dict[str, str]:
        """Its row in a table with the columns ``heads``, which are those of ``columns``."""
        from onenet.tasks import metrics

        quality = self.quality
        sqnr, agreement = (quality.sqnr_db, quality.label_agreement) if quality else (None, None)
        scores = quality.scores if quality else {}
        cells = {
            "file": self.path.name,
            "size": size_text(self.bytes),
            "SQNR": "-" if sqnr is None else f"{min(sqnr, 999):.1f} dB",
            "labels": "-" if agreement is None else f"{agreement:.2%}",
            "s": f"{self.seconds:.1f}",
            "checked": self.checked,
        }
        known = {metric.title: f"{scores[name]:.{metric.digits}f}" for name, metric in metrics().items() if name in scores}
        return {head: cells.get(head, known.get(head, "-")) for head in heads}

    @property
    def checked(self) -> str:
        """``yes``, ``evaluator`` (Core ML away from macOS), ``no``, or what could not be checked here."""
        if self.verification is None:
            return "no"
        if self.unanswered:
            return f"all but {', '.join(self.unanswered)}"
        return "evaluator" if self.verification.runtime.is_evaluator else "yes"

    def __repr__(self) -> str:
        cells = [
            f"{name} {cell}" for name, cell in self.cells(columns([self])).items() if name not in ("file", "s") and cell != "-"
        ]
        return "".join([f"<{self.path}: {', '.join(cells)}>", *(f"\n  caution: {line}" for line in self.cautions)])

    def _repr_html_(self) -> str:
        return html_table([self])


@dataclass(frozen=True, repr=False)
class FailedExport:
    """An artifact that was asked for and could not be made."""

    target: str
    precision: str
    error: OneNetError
    """What ``onenet.export`` raises of it."""

    @property
    def reason(self) -> str:
        """One line: where it failed, why, and what to try."""
        return str(self.error)

    @property
    def operator(self) -> str:
        """At which it failed, as torch names it; empty where that is not known."""
        return self.error.operator if isinstance(self.error, ConversionError) else ""

    @property
    def layer(self) -> str:
        """Path of the operator's module in the network; empty where it is not known, and for the network itself."""
        return self.error.layer if isinstance(self.error, ConversionError) else ""

    @property
    def printed(self) -> tuple[str, ...]:
        """The last lines that the converter printed."""
        return last_lines(self.error)

    def as_dict(self) -> dict[str, object]:
        """As JSON values, with the keys that an artifact has too: target and precision."""
        failed = {"error": type(self.error).__name__, "reason": self.reason, "operator": self.operator, "layer": self.layer}
        return {"target": self.target, "precision": self.precision, "failed": {**failed, "printed": list(self.printed)}}

    def cells(self, heads: Sequence[str]) -> dict[str, str]:
        """Its row in a table with the columns ``heads``."""
        return {**dict.fromkeys(heads, "-"), "file": f"{self.target} {self.precision}", "checked": "failed"}

    def __repr__(self) -> str:
        return f"<{self.target} {self.precision} failed: {self.reason}>"


class Exports(list[ExportedArtifact]):
    """The artifacts of one ``export_all``, in the order in which they were made; what could not be made is in ``failed``."""

    quantized: QuantizedModel | None = None
    """What the int8 artifacts were made of."""
    search: SearchResult | None = None
    """How the layers that stay in float were chosen, where a budget asked for it."""

    def __init__(self, artifacts: Iterable[ExportedArtifact] = (), failed: Iterable[FailedExport] = ()) -> None:
        super().__init__(artifacts)
        self.failed = list(failed)
        """What was asked for and could not be made, in the order asked."""

    @property
    def exit_code(self) -> int:
        """The command line's: 0 where nothing failed, 1 where something failed a check, else that of the worst error."""
        codes = {each.error.exit_code for each in self.failed}
        return CheckError.exit_code if CheckError.exit_code in codes else max(codes, default=0)

    def raise_failed(self) -> None:
        """
        Raises:
            OneNetError: nothing at all could be made; the only error, or one that tells the reason of each.
        """
        if self or not self.failed:
            return
        if len({each.reason for each in self.failed}) == 1:
            raise self.failed[0].error
        kinds = {each.exit_code: each for each in (CheckError, RequestError, ToolError)}
        reasons = "; ".join(f"{each.target} {each.precision}: {each.reason}" for each in self.failed)
        raise kinds[self.exit_code](f"nothing could be exported: {reasons}") from self.failed[0].error

    def __repr__(self) -> str:
        return "[" + ",\n ".join(map(repr, [*self, *self.failed])) + "]"

    def _repr_html_(self) -> str:
        return html_table(self, self.failed)


def columns(artifacts: Sequence[ExportedArtifact]) -> tuple[str, ...]:
    """The columns of a table of artifacts: the main figure of their task among them."""
    from onenet.tasks import headlines, metrics, task_of

    scored = {name for artifact in artifacts if artifact.quality for name in artifact.quality.scores}
    tasks = [task_of(artifact.manifest["task"]) for artifact in artifacts]
    asked = {metric.name for task in tasks for metric in task.metrics if metric.headline}
    main = [name for name in headlines() if name in scored] or [name for name in headlines() if name in asked][:1]
    return ("file", "size", "SQNR", "labels", *(metrics()[name].title for name in main), "s", "checked")


def html_table(artifacts: Sequence[ExportedArtifact], failed: Sequence[FailedExport] = ()) -> str:
    """A table, a row for each artifact, as notebooks show it; under it, a line for each that could not be made."""
    heads = columns(artifacts)
    rows = [artifact.cells(heads) for artifact in artifacts] + [each.cells(heads) for each in failed]
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(row[name])}</td>" for name in heads) + "</tr>" for row in rows)
    reasons = "".join(f"<p>{escape(each.reason)}</p>" for each in failed)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{reasons}"


def size_text(count: int) -> str:
    """Bytes as a person reads them, in decimal units."""
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
