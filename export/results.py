"""What an export gives: artifacts with what was found about each."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onenet.calibration.quantized import QuantizedModel
    from onenet.calibration.search import SearchResult
    from onenet.runtimes.parity import Quality, Verification

COLUMNS = ("file", "size", "SQNR", "labels", "mIoU", "s", "checked")


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

    def as_dict(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "target": self.manifest["target"],
            "precision": self.manifest["precision"],
            "bytes": self.bytes,
            "seconds": round(self.seconds, 2),
            "verification": self.verification.as_dict() if self.verification else None,
            "quality": self.quality.as_dict() if self.quality else None,
            "preview": str(self.preview) if self.preview else None,
        }

    @property
    def unanswered(self) -> list[str]:
        """Names of the checks that this machine could not make."""
        checks = self.verification.checks if self.verification else ()
        return [check.name for check in checks if check.passed is None and check.name != "bytes"]

    def cells(self) -> dict[str, str]:
        """Its row in a table, by the names of ``COLUMNS``."""
        quality = self.quality
        sqnr = None if quality is None or quality.sqnr_db is None else f"{min(quality.sqnr_db, 999):.1f} dB"
        labels = None if quality is None or quality.label_agreement is None else f"{quality.label_agreement:.2%}"
        miou = None if quality is None or quality.miou is None else f"{quality.miou:.4f}"
        return {
            "file": self.path.name,
            "size": size_text(self.bytes),
            "SQNR": sqnr or "-",
            "labels": labels or "-",
            "mIoU": miou or "-",
            "s": f"{self.seconds:.1f}",
            "checked": self.checked,
        }

    @property
    def checked(self) -> str:
        """``yes``, ``evaluator`` (Core ML away from macOS), ``no``, or what could not be checked here."""
        if self.verification is None:
            return "no"
        if self.unanswered:
            return f"all but {', '.join(self.unanswered)}"
        return "evaluator" if self.verification.runtime.is_evaluator else "yes"

    def __repr__(self) -> str:
        cells = [f"{name} {cell}" for name, cell in self.cells().items() if name not in ("file", "s") and cell != "-"]
        return f"<{self.path}: {', '.join(cells)}>"

    def _repr_html_(self) -> str:
        return html_table([self])


class Exports(list[ExportedArtifact]):
    """The artifacts of one ``export_all``, in the order in which they were made."""

    quantized: QuantizedModel | None = None
    """What the int8 artifacts were made of."""
    search: SearchResult | None = None
    """How the layers that stay in float were chosen, where a budget asked for it."""

    def __repr__(self) -> str:
        return "[" + ",\n ".join(map(repr, self)) + "]"

    def _repr_html_(self) -> str:
        return html_table(self)


def html_table(artifacts: list[ExportedArtifact]) -> str:
    """A table, a row for each artifact, as notebooks show it."""
    rows = [artifact.cells() for artifact in artifacts]
    head = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS)
    body = "".join("<tr>" + "".join(f"<td>{escape(row[name])}</td>" for name in COLUMNS) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def size_text(count: int) -> str:
    """Bytes as a person reads them, in decimal units."""
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
