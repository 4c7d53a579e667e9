"""Core ML packages, run by Core ML on macOS and evaluated operator by operator everywhere else."""

from __future__ import annotations

from pathlib import Path

from onenet.runtimes.session import Runtime, Session


def open_package(path: Path, threads: int | None, exact_int8: bool) -> Session:
    """Open an .mlpackage; threads and exact_int8 are not used. The evaluator is imported only here."""
    from onenet.runtimes.backends.coreml.package import CoreMLPackage  # the evaluator takes a while to load

    del threads, exact_int8  # Core ML decides where and how it computes, and the evaluator computes in float
    return CoreMLPackage(path)


def read_manifest(path: Path) -> dict[str, object] | None:
    """The manifest in an .mlpackage; None where it has none."""
    from onenet.runtimes.backends.coreml import package

    return package.read_manifest(path)


def load() -> object:
    """Import the protobuf classes of Core ML's files. Raises ToolError where the package is missing."""
    from onenet.runtimes.backends.coreml import package

    return package.import_proto()


RUNTIMES = (
    Runtime(
        name="coreml",
        title="Core ML",
        suffixes=(".mlpackage",),
        order=4,
        open=open_package,
        read_manifest=read_manifest,
        load=load,
        packages=("coremltools", "torch"),
    ),
)
