"""An artifact as its manifest describes it: canonical tensors in and out, whatever the file stores."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from onenet.base.data import LONGEST_JSON, is_whole, parse_json
from onenet.base.text import one_line
from onenet.base.tiles import Tiling
from onenet.errors import CheckError
from onenet.runtimes import open_session, read_manifest
from onenet.runtimes.session import Session
from onenet.runtimes.tensors import dequantize, quantize, read_spec, to_canonical, to_stored

SCHEMA = 1
"""The manifest schema this version reads."""
COLOUR = re.compile("#[0-9a-fA-F]{6}")


class Artifact:
    """An exported model, opened in its runtime.

    ``run`` takes and gives canonical tensors: images (N, C, H, W) float32 in [0, 1], outputs NCHW in float32 (labels int32).
    """

    def __init__(self, path: Path, manifest: dict[str, Any], session: Session) -> None:
        self.path, self.manifest, self.session = path, manifest, session
        self.inputs, self.outputs = (tuple(map(read_spec, manifest[kind])) for kind in ("inputs", "outputs"))

    @property
    def tiling(self) -> Tiling | None:
        """What the manifest says of tiles; None where it says nothing."""
        found = self.manifest.get("tiling")
        return Tiling.from_dict(found) if found else None

    def stored(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Canonical inputs as the file takes them, in its order."""
        return {spec.name: quantize(to_stored(feeds[spec.name], spec), spec) for spec in self.inputs}

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
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


def manifest_of(path: Path) -> dict[str, Any]:
    """The manifest embedded in an artifact, looked at: what ``check_manifest`` names is what it should be.

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
    missing = [key for key in ("target", "precision", "inputs", "outputs", "golden") if key not in manifest]
    if missing:
        raise CheckError(f"the manifest of {path.name} lacks {', '.join(missing)}; export the artifact again")
    try:
        check_manifest(manifest)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckError(f"the manifest of {path.name} is damaged: {one_line(error)}; export the artifact again") from error
    return manifest


def check_manifest(manifest: dict[str, Any]) -> None:
    """Everything that is used of a manifest but the golden pair, which ``parity`` reads.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: an entry is of another kind.
    """
    for key in ("target", "precision"):
        if not isinstance(manifest[key], str) or not manifest[key].isprintable():
            raise ValueError(f"{key} is {manifest[key]!r}")
    for kind in ("inputs", "outputs"):
        if not isinstance(manifest[kind], list) or not manifest[kind]:
            raise ValueError(f"{kind} holds no tensor")
        if any(-1 in read_spec(tensor).shape for tensor in manifest[kind]):
            raise ValueError(f"{kind} holds a tensor with an open axis")
    if not isinstance(manifest.get("source") or {}, dict):
        raise ValueError(f"source is {manifest['source']!r}")
    for each in manifest.get("classes") or ():
        if not isinstance(each["name"], str) or not COLOUR.fullmatch(each["colour"]):
            raise ValueError(f"a class is {each!r}")
    if manifest.get("tiling") is not None:
        check_tiling(Tiling.from_dict(manifest["tiling"]))


def check_tiling(tiling: Tiling) -> None:
    """What a manifest says of tiles.

    Raises:
        TypeError, ValueError: a field is of another kind.
    """
    if tiling.refused is not None and not (isinstance(tiling.refused, str) and tiling.refused.isprintable()):
        raise ValueError(f"tiling is refused with {tiling.refused!r}")
    pairs = {"halo": [0 if n is None else n for n in tiling.halo], "image_size": list(tiling.image_size or (1, 1))}
    wrong = [name for name, pair in pairs.items() if len(pair) != 2 or not all(map(is_whole, pair))]
    if wrong or not is_whole(tiling.patch, 1):
        raise ValueError(f"tiling has the {(wrong or ['patch'])[0]} {getattr(tiling, (wrong or ['patch'])[0])!r}")


def sidecar_of(path: Path) -> Path:
    """Where the manifest beside an artifact lies: ``ARTIFACT.json``."""
    return path.with_name(path.name + ".json")


def read_sidecar(path: Path) -> dict[str, Any] | None:
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
