"""Mutated inputs, each tried in turn; ``test_fuzz.py`` starts this as a process, so that what a damaged file does stays in it.

    python -m tests.export.fuzz KIND FOLDER START COUNT

FOLDER/bases/KIND holds the files to damage. Case n is the same for ever. For each, one line of JSON goes to
FOLDER/KIND.jsonl: the outcome, one line of text, and the most memory that the process has held so far.
"""

from __future__ import annotations

import copy
import io
import json
import os
import re
import shutil
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from onenet.base.host import peak_bytes
from onenet.base.images import read_image, to_input
from onenet.base.masks import read_mask
from onenet.calibration.record import CalibrationRecord
from onenet.calibration.samples import load_samples
from onenet.errors import OneNetError
from onenet.runtimes import isolated
from onenet.runtimes.artifact import open_artifact, sidecar_of
from onenet.runtimes.backends.coreml.package import MODEL
from onenet.runtimes.parity import Verification, verify_here
from onenet.runtimes.run import image_model
from onenet.runtimes.verify import verify
from onenet.tasks.image import make_plan
from onenet.tasks.segmentation import TASK as SEGMENTATION

Random = np.random.Generator
SEED = 20241121
DEEP = b"[" * 100_000
PNG = b"\x89PNG\r\n\x1a\n"
SIDE = (24, 18)
"""Width and height of every image, and of every array in an .npz but its first axis."""

# --- damage to bytes --------------------------------------------------------


def flipped(data: bytes, rng: Random) -> bytes:
    result = bytearray(data)
    for place in rng.integers(len(data), size=rng.integers(1, 9)):
        result[place] ^= 1 << int(rng.integers(8))
    return bytes(result)


def truncated(data: bytes, rng: Random) -> bytes:
    return data[: int(rng.integers(len(data)))]


def zeroed(data: bytes, rng: Random) -> bytes:
    start, length = int(rng.integers(len(data))), int(rng.integers(1, 257))
    return data[:start] + bytes(len(data[start : start + length])) + data[start + length :]


def repeated(data: bytes, rng: Random) -> bytes:
    start, length = int(rng.integers(len(data))), int(rng.integers(1, 257))
    return data[: start + length] + data[start:]


def replaced(data: bytes, rng: Random) -> bytes:
    """A number of 1, 2, 4 or 8 bytes becomes 0, its largest value, its sign bit or a random one; at a multiple of its size."""
    size = int(rng.choice([1, 2, 4, 8]))
    start = int(rng.integers(max(1, len(data) // size))) * size
    number = [bytes(size), b"\xff" * size, b"\x80" + bytes(size - 1), bytes(size - 1) + b"\x7f", rng.bytes(size)][
        rng.integers(5)
    ]
    return data[:start] + number + data[start + size :]


def enlarged(data: bytes, rng: Random) -> bytes:
    """Wherever a side of the image may be stored, a huge one."""
    for side in SIDE:
        for order in ("little", "big"):
            for size in (4, 2):
                huge = int(rng.choice([2**12, 2**14 - 1, 2**15 - 1, 2 ** (8 * size - 1) - 1]))
                data = data.replace(side.to_bytes(size, order), huge.to_bytes(size, order), 1) if rng.random() < 0.5 else data
    return data


def exchanged(_: bytes, rng: Random) -> bytes:
    """Something else altogether."""
    others = (b"", DEEP, b"{" * 1000, rng.bytes(1000), bytes(1000), b"PK\3\4", b"TFL3" * 9, b"null", b'{"a": 1e999}')
    return others[rng.integers(len(others))]


def with_checksums(data: bytes) -> bytes:
    """A damaged PNG whose checksums are right: a decoder looks at what is in its chunks then."""
    at, result = 8, data[:8]
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        content = data[at + 4 : at + 8 + length]
        result += data[at : at + 4] + content + zlib.crc32(content).to_bytes(4, "big")
        at += 12 + length
    return result + data[at:]


def zipped(data: bytes, rng: Random) -> bytes:
    """An .npz with one of its arrays damaged, and the archive around it right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    name = sorted(contents)[rng.integers(len(contents))]
    contents[name] = damaged(contents[name], rng)
    with zipfile.ZipFile(result := io.BytesIO(), "w") as archive:
        for each, content in contents.items():
            archive.writestr(each, content)
    return result.getvalue()


DAMAGES = (flipped, flipped, truncated, zeroed, repeated, replaced, replaced, enlarged, exchanged)


def damaged(data: bytes, rng: Random) -> bytes:
    result = DAMAGES[rng.integers(len(DAMAGES))](data, rng) if data else data
    return with_checksums(result) if result.startswith(PNG) and rng.random() < 0.7 else result


def archive_damaged(data: bytes, rng: Random) -> bytes:
    return zipped(data, rng) if rng.random() < 0.7 else damaged(data, rng)


# --- damage to JSON ---------------------------------------------------------

VALUES: tuple[Any, ...] = (None, True, False, 0, -1, 1, 7, 2**31, 10**30, 10**400, -1e308, 1e-320, float("nan"), float("inf"))
VALUES += ("", "x", "\ud800", "a\nb", "x" * 5000, "float32", "O", [], [[]], {}, {"a": 1}, [-1], [0, 0], [2**31] * 4, [1] * 70)


def places(document: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a JSON document."""
    items = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    return [each for key, value in items for each in [(document, key), *places(value)]]


def distorted(text: bytes, rng: Random) -> bytes:
    """A JSON document with one to three values exchanged, lost, wrapped or swapped; now and then nested too deeply."""
    document = copy.deepcopy(json.loads(text))
    for _ in range(int(rng.integers(1, 4))):
        found = places(document)
        (container, key), (other, place) = (found[i] for i in rng.integers(len(found), size=2))
        how = int(rng.integers(6))
        if how <= 2:
            container[key] = VALUES[rng.integers(len(VALUES))]
        elif how == 3:
            container[key] = [[container[key]], {"a": container[key]}, str(container[key])][rng.integers(3)]
        elif how == 4:
            del container[key]
        else:
            container[key] = copy.deepcopy(other[place])
    result = json.dumps(document).encode()
    at = result.find(b": ", int(rng.integers(len(result)))) + 2
    return result if rng.random() < 0.95 else result[:at] + DEEP + result[at:]


def json_damaged(text: bytes, rng: Random) -> bytes:
    return damaged(text, rng) if rng.random() < 0.3 else distorted(text, rng)


# --- one case of each kind --------------------------------------------------


def write(base: Path, folder: Path, rng: Random, damage: Callable[[bytes, Random], bytes] = damaged) -> Path:
    """A damaged copy in ``folder``; of a package, one of its two files is."""
    path = folder / f"case{base.suffix}"
    if base.is_dir():
        shutil.copytree(base, path)
        inner = MODEL if rng.random() < 0.7 else Path("Data/com.apple.CoreML/weights/weight.bin")
        (path / inner).write_bytes(damage((path / inner).read_bytes(), rng))
    else:
        path.write_bytes(damage(base.read_bytes(), rng))
    return path


def try_image(base: Path, folder: Path, rng: Random) -> str:
    pixels = read_image(write(base, folder, rng))
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert to_input(pixels, 8, 8).shape == (3, 8, 8)
    return f"{pixels.shape}"


def try_mask(base: Path, folder: Path, rng: Random) -> str:
    labels = read_mask(write(base, folder, rng), SIDE[::-1], 8, 8)
    assert labels.shape == (8, 8)
    return "a mask"


def try_npz(base: Path, folder: Path, rng: Random) -> str:
    samples = load_samples(write(base, folder, rng, archive_damaged), *SIDE[::-1])
    assert samples.arrays.shape[1:] == (3, *SIDE[::-1])
    assert 0 <= samples.arrays.min() <= samples.arrays.max() <= 1
    return f"{len(samples)} samples"


def try_record(base: Path, folder: Path, rng: Random) -> str:
    path = write(base, folder, rng, json_damaged)
    try:
        record = CalibrationRecord.load(path)
    except OneNetError as error:
        right = re.search(r"gives the id (\w+)", str(error))
        if right is None:
            raise
        path.write_text(json.dumps({**json.loads(path.read_bytes()), "id": right[1]}))  # as somebody would who meant it
        record = CalibrationRecord.load(path)
    assert all(0 < site.scale < float("inf") for site in record.sites.values())
    assert "\n" not in "".join(record.warnings())
    return f"record {record.id}"


def try_manifest(base: Path, folder: Path, rng: Random) -> str:
    """The manifest inside an artifact, for ``verify`` and for ``run``."""
    path = write(base, folder, rng, json_damaged)
    text = summary(verify_here(path))
    model = image_model(open_artifact(path))
    SEGMENTATION.check_runs(model)
    plan = make_plan(model, (64, 96))
    return f"{text}, {plan.text}"


def try_sidecar(base: Path, folder: Path, rng: Random) -> str:
    """The manifest beside an artifact."""
    path = folder / base.name
    shutil.copyfile(base, path)
    sidecar_of(path).write_bytes(json_damaged(sidecar_of(base).read_bytes(), rng))
    return summary(verify(path))


def try_artifact(base: Path, folder: Path, rng: Random) -> str:
    return summary(verify_here(write(base, folder, rng, artifact_damaged), 1))


def artifact_damaged(data: bytes, rng: Random) -> bytes:
    """Anywhere, or in the manifest, which is a small part of the file."""
    start = data.find(b'{"calibration"')  # its first key: two bytes alone would be found among the weights too
    if rng.random() > 0.15 or start < 0:
        return damaged(data, rng)
    length = json.JSONDecoder().raw_decode(data[start:].decode("latin-1"))[1]
    inside = json_damaged(data[start : start + length], rng)[:length]
    return data[:start] + inside.ljust(length) + data[start + length :]


def summary(found: Verification) -> str:
    json.dumps(found.as_dict(), allow_nan=False).encode()
    for check in found.checks:
        one_line(check.detail)
    return "verified" if found.passed else next(f"fails {c.name}" for c in found.checks if c.passed is False or not c.compared)


def one_line(text: str) -> str:
    assert text
    assert "\n" not in text
    assert len(text.encode()) < 2000  # a lone surrogate has no encoding, and could not be printed
    return text


KINDS: dict[str, Callable[[Path, Path, Random], str]] = {
    "image": try_image,
    "mask": try_mask,
    "npz": try_npz,
    "record": try_record,
    "manifest": try_manifest,
    "sidecar": try_sidecar,
    "artifact": try_artifact,
}


def bases(kind: str, folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "bases" / kind).iterdir() if path.suffix != ".json" or kind == "record")


def outcome(kind: str, folder: Path, number: int) -> str:
    """``right: ...``, an error of onenet's with its text, or ``WRONG: ...``."""
    rng, files = np.random.default_rng([SEED, list(KINDS).index(kind), number]), bases(kind, folder)
    scratch = folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        return "right: " + KINDS[kind](files[number % len(files)], scratch, rng)
    except OneNetError as error:
        return f"{type(error).__name__}: " + one_line(str(error))
    except MemoryError as error:
        return f"{'ToolError' if kind == 'artifact' else 'WRONG'}: MemoryError: {error}"  # isolated.examine says it in words


def main(kind: str, folder: str, start: str, count: str) -> None:
    if kind == "artifact":
        isolated.limit_memory(isolated.MEMORY)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what native libraries log
    warnings.simplefilter("error")
    with Path(folder, f"{kind}.jsonl").open("a") as log:
        for number in range(int(start), int(start) + int(count)):
            try:
                text = outcome(kind, Path(folder), number)
            except BaseException as error:
                text = f"WRONG: {type(error).__name__}: {error}"
            log.write(json.dumps({"case": number, "outcome": text, "peak": peak_bytes()}) + "\n")
            log.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
