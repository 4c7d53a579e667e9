"""The contract of what writes a target's files: ``onenet.exporters.<target>`` holds one as ``EXPORTER``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from onenet.base.quiet import quiet
from onenet.errors import ToolError

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from onenet.exporters.job import Job

Scales = dict[str, tuple[float, int]]
"""Name of an input or output -> scale and zero point of its int8 values."""


class Exporter:
    """Writes one target's artifacts. What the target is stands on its card, ``onenet.targets.<target>``."""

    def convert(self, job: Job, path: Path) -> None:
        """Write the artifact, without its manifest.

        Args:
            job: what to convert; the converter is given ``job.arranged.module``.
            path: a file, or a folder for a target whose artifacts are folders; it does not exist yet. Two calls with equal
                jobs write equal bytes.

        Raises:
            ToolError: the converter cannot do this. Whatever else it raises becomes one.
        """
        raise NotImplementedError

    def io_quantization(self, path: Path) -> Scales:
        """Scale and zero point of the inputs and outputs that an artifact stores as int8; the others are left out."""
        del path
        return {}

    def embed(self, path: Path, manifest: str) -> None:
        """Store the manifest, JSON, inside the artifact, where its runtimes' ``read_manifest`` looks for it.

        Where its text stands there as it is, the digest of the artifact's content is put into it (``runtimes.seal``).
        """
        raise NotImplementedError

    def layer_names(self, program: ExportedProgram) -> dict[str, str]:
        """Names that the artifact has for operators -> the program's own; empty where they are equal.

        Args:
            program: the job's.
        """
        del program
        return {}

    def named_in(self, path: Path, text: str) -> list[str]:
        """Names of the operators that a runtime's message about an artifact speaks of by numbers of its own."""
        del path, text
        return []


def exporter_of(target: str) -> Exporter:
    """A target's exporter; the libraries' chatter is held back while its module is loaded.

    Raises:
        ToolError: what the module needs is not installed.
    """
    try:
        with quiet():
            exporter: Exporter = importlib.import_module(f"onenet.exporters.{target}").EXPORTER
    except ImportError as error:
        raise ToolError(f'exporting {target} needs {error.name}: pip install "onenet-export[export]"') from error
    return exporter
