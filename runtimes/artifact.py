"""An artifact as its manifest describes it: canonical tensors in and out, whatever the file stores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from onenet.base.arrays import Array
from onenet.base.data import LONGEST_JSON, parse_json
from onenet.base.text import one_line
from onenet.base.tiles import Tiling
from onenet.errors import CheckError
from onenet.runtimes import open_session, read_manifest
from onenet.runtimes.manifest import NEEDED, SCHEMA, Manifest, parse_manifest
from onenet.runtimes.session import Session
from onenet.runtimes.tensors import dequantize, quantize, to_canonical, to_stored


class Artifact:
    """An exported model, opened in its runtime.

    ``run`` takes and gives canonical tensors: images (N, C, H, W) float32 in [0, 1], outputs NCHW in float32 (labels int32).
    """

    def __init__(self, path: Path, manifest: Manifest, session: Session) -> None:
        self.path, self.manifest, self.session = path, manifest, session
        self.inputs, self.outputs = manifest.inputs, manifest.outputs

    @property
    def tiling(self) -> Tiling | None:
        """What the manifest says of tiles; None where it says nothing."""
        return self.manifest.tiling

    def stored(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Canonical inputs as the file takes them, in its order."""
        return {spec.name: quantize(to_stored(feeds[spec.name], spec), spec) for spec in self.inputs}

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Float feeds (N, C, H, W) by input name -> outputs, dequantized to float and in NCHW as well."""
        results = self.session.run(self.stored(feeds))
        return {spec.name: to_canonical(dequantize(results[spec.name], spec), spec) for spec in self.outputs}


def open_artifact(path: Path, threads: int | None = None, *, runtime: str | None = None, exact_int8: bool = False) -> Artifact:
    """Open an artifact made by onenet; the arguments are those of ``open_session``.

    Raises:
        RequestError: no such file, a format that is not supported, or a runtime that does not open it.
        CheckError: the file carries no onenet manifest, or one of another schema.
        ToolError: the runtime is missing or cannot load the file.
    """
    return Artifact(path, manifest_of(path), open_session(path, threads, runtime=runtime, exact_int8=exact_int8))


def manifest_of(path: Path) -> Manifest:
    """The manifest embedded in an artifact, or else the one beside it.

    Raises:
        RequestError: no such file, or a format that is not supported.
        CheckError: the file carries no onenet manifest, a damaged one, or one of another schema.
        ToolError: the file cannot be read.
    """
    manifest = read_manifest(path) or read_sidecar(path)  # tflite-runtime cannot read what is embedded
    if manifest is None:
        raise CheckError(f"{path.name} carries no onenet manifest: it was not exported by onenet, or was rewritten since")
    if manifest.get("schema") != SCHEMA:
        raise CheckError(f"{path.name} has manifest schema {manifest.get('schema')!r:.100}; this version reads {SCHEMA}")
    missing = [key for key in NEEDED if key not in manifest]
    if missing:
        raise CheckError(f"the manifest of {path.name} lacks {', '.join(missing)}; export the artifact again")
    try:
        return parse_manifest(manifest)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckError(f"the manifest of {path.name} is damaged: {one_line(error)}; export the artifact again") from error


def sidecar_of(path: Path) -> Path:
    """Where the manifest beside an artifact lies: ``ARTIFACT.json``."""
    return path.with_name(path.name + ".json")


def read_sidecar(path: Path) -> dict[str, object] | None:
    """The manifest beside an artifact; None where there is no such file, or its JSON is no object.

    Raises:
        CheckError: it cannot be read, or is not JSON.
    """
    file = sidecar_of(path)
    if not file.is_file():
        return None
    try:
        with file.open("rb") as stream:
            content = parse_json(stream.read(LONGEST_JSON + 1))
    except (OSError, ValueError) as error:
        raise CheckError(f"{file.name} is not JSON: {one_line(error)}") from error
    return content if isinstance(content, dict) else None
