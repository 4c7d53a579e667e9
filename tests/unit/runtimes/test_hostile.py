"""Manifests and files that somebody made to do harm, or that damage left so: one line each, before any runtime sees them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from onenet.base.data import LONGEST_JSON, parse_json
from onenet.base.text import one_line
from onenet.errors import CheckError, OneNetError, RequestError, ToolError
from onenet.runtimes import isolated
from onenet.runtimes.artifact import manifest_of, open_artifact, sidecar_of
from onenet.runtimes.backends import litert, onnxruntime
from onenet.runtimes.parity import verify_here
from onenet.runtimes.verify import verify
from tests.unit.runtimes.artifacts import manifest, write

DEEP = "[" * 100_000


def edited(place: str, value: Any) -> dict[str, Any]:
    """The manifest with one entry exchanged; ``place`` is a path such as ``golden.outputs.0.stride``."""
    content: Any = json.loads(json.dumps(manifest()))
    *way, last = place.split(".")
    inner = content
    for key in way:
        inner = inner[int(key) if key.isdigit() else key]
    inner[last] = value
    return dict(content)


# --- JSON -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"), [(DEEP, "nested too deeply"), ('{"a":' * 100_000, "nested too deeply"), ("{", "line 1")]
)
def test_json_that_is_none(text: str, says: str) -> None:
    for form in (text, text.encode()):
        with pytest.raises(ValueError, match=says):
            parse_json(form)


def test_json_of_any_length_is_not_parsed() -> None:
    assert len(parse_json(b"[" + b"1," * 1000 + b"1]")) == 1001
    with pytest.raises(ValueError, match=f"{LONGEST_JSON + 1} bytes; the longest that is read is {LONGEST_JSON}"):
        parse_json(b" " * (LONGEST_JSON + 1))


def test_a_manifest_nested_100_000_deep_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path, manifest())
    sidecar_of(path).write_text(DEEP)
    with pytest.raises(CheckError, match=r"^model\.null\.json is not JSON: nested too deeply$"):
        verify(path)
    path.write_text(DEEP)
    with pytest.raises(ToolError, match=r"^model\.null cannot be read: nested too deeply$"):
        verify_here(path)


# --- manifests ------------------------------------------------------------

HUGE = 10**30


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("schema", "1\n2"),
        ("schema", "\ud800"),
        ("precision", ["fp32"]),
        ("precision", "\x1b[2J"),
        ("target", 5),
        ("source", "random"),
        ("classes", [{"name": "a", "colour": "red"}]),
        ("classes", ["a"]),
        ("tiling", {"patch": 0}),
        ("tiling", {"patch": 16, "halo": [1, 2, 3]}),
        ("tiling", {"patch": 16, "image_size": ["", ""]}),
        ("tiling", {"refused": 7}),
        ("tiling", ["refused"]),
        ("inputs", []),
        ("inputs.0.name", "a\nb"),
        ("inputs.0.name", "x" * 201),
        ("inputs.0.role", "picture"),
        ("inputs.0.shape", [1, 3, 8, HUGE]),
        ("inputs.0.shape", [1, 3, 8, -1]),
        ("inputs.0.shape", [1, 3, 8]),
        ("inputs.0.shape", "1388"),
        ("inputs.0.dtype", "O"),
        ("inputs.0.dtype", {"names": ["a"]}),
        ("inputs.0.layout", "CHWN"),
        ("inputs.0.scale", 0.5),
        ("inputs.0.value_range", [0, float("nan")]),
        ("outputs.0.zero_point", 0.5),
        ("golden.inputs.0.factor", 10**9),
        ("golden.inputs.0.factor", True),
        ("golden.inputs.0.factor", 0),
        ("golden.inputs.0.dtype", "float64"),
        ("golden.inputs.0.shape", [1, 3, HUGE, 8]),
        ("golden.inputs.0.shape", [-1, 3, 8, 8]),
        ("golden.outputs.0.stride", 1.5),
        ("golden.outputs.0.stride", "2"),
        ("golden.outputs.0.shape", [-1]),
        ("golden.outputs.0.dtype", "datetime64[s]"),
        ("golden.outputs.0.scale", 0),
        ("golden.outputs.0.scale", 1e300),
        ("golden.outputs.0.data", "\ud800"),
        ("golden.outputs", {}),
    ],
)
def test_an_entry_of_another_kind_is_named(tmp_path: Path, place: str, value: Any) -> None:
    path = write(tmp_path, edited(place, value), beside=False)
    with pytest.raises(CheckError) as caught:
        verify_here(path)
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 500
    assert "model.null" in text


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("classes", None),
        ("source", None),
        ("tiling", None),
        ("tiling", {"refused": "the network sees everything"}),
        ("tiling", {"patch": 16, "halo": [None, 0], "image_size": [64, 64]}),
        ("classes", [{"name": "a", "colour": "#00ffAA"}]),
        ("inputs.0.value_range", None),
    ],
)
def test_entries_of_the_right_kind_pass(tmp_path: Path, place: str, value: Any) -> None:
    path = write(tmp_path, edited(place, value), beside=False)
    assert verify_here(path).passed
    assert open_artifact(path).manifest == manifest_of(path)


def test_text_from_a_file_is_one_printable_line() -> None:
    assert one_line("a\n\tb \x1b[31m\ud800 é") == r"a b \x1b[31m\ud800 é"
    assert len(one_line("x" * 10**6)) == 300


# --- files ----------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="named pipes of POSIX")
@pytest.mark.parametrize("suffix", [".tflite", ".onnx", ".mlpackage", ".null"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    os.mkfifo(path)
    for ask in (verify, open_artifact):
        with pytest.raises(RequestError, match="is not a regular file"):
            ask(path)


@pytest.mark.skipif(os.name == "nt", reason="named pipes of POSIX")
def test_a_pipe_beside_an_artifact_is_no_manifest(tmp_path: Path) -> None:
    path = write(tmp_path, manifest(), beside=False)
    os.mkfifo(sidecar_of(path))
    assert verify(path).checks[0].passed is None


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_a_folder_is_no_model_file(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"model{suffix}").mkdir()
    with pytest.raises(ToolError, match=rf"^model{suffix} (cannot be read|is not an ONNX file): .*[Ii]s a directory"):
        manifest_of(tmp_path / f"model{suffix}")


def test_changed_bytes_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, manifest())
    path.write_text("no artifact at all")

    def opened(*_: Any) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr("onenet.runtimes.parity.verify_here", opened)
    monkeypatch.setattr(isolated, "verify", opened)
    result = verify(path)
    assert [check.passed for check in result.checks] == [False]
    assert (result.target, result.precision, result.runtime.name) == ("null", "fp32", "not opened")
    assert (
        "not the file that model.null.json describes, so it was not opened; copy or export both again"
        in result.checks[0].detail
    )


@pytest.mark.parametrize("digest", [5, None, [], "\x1b", "é" * 64])
def test_a_digest_that_is_none(tmp_path: Path, digest: Any) -> None:
    path = write(tmp_path, manifest())
    sidecar_of(path).write_text(json.dumps({"artifact": {"sha256": digest}}))
    check = verify(path).checks[0]
    assert check.passed is (False if isinstance(digest, str) else None)
    assert check.detail.isprintable()


# --- containers read by hand ----------------------------------------------


def field(number: int, content: bytes) -> bytes:
    """A protobuf field with a length."""
    length = len(content)
    return bytes([number << 3 | 2, *([length] if length < 128 else [length & 127 | 128, length >> 7])]) + content


def props(*pairs: tuple[bytes, bytes]) -> bytes:
    return b"".join(field(14, field(1, key) + field(2, value)) for key, value in pairs)


GRAPH = field(7, b"\x08\x01")


def test_metadata_of_an_onnx_file() -> None:
    numbers = b"\x08\x09" + b"\x29" + bytes(8) + b"\x2d" + bytes(4)  # a varint, 8 bytes, 4 bytes
    content = numbers + props((b"a", b"1"), (b"onenet", b"{}" * 100)) + GRAPH + props((b"b", b""))
    for wanted, found in ((b"a", b"1"), (b"onenet", b"{}" * 100), (b"b", b""), (b"c", None)):
        assert onnxruntime.metadata(memoryview(content), wanted) == found


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it holds no graph"),
        (props((b"onenet", b"{}")), "it holds no graph"),
        (GRAPH + b"\x72\xff\x01a", "field 14 at byte .* is damaged"),
        (GRAPH + b"\x72\x80", "the number at byte .* has no end"),
        (GRAPH + b"\xff" * 20, "the number at byte .* has no end"),
        (GRAPH + b"\x73", "field 14 at byte .* is damaged"),
        (GRAPH + b"\x29\0\0", "field 5 at byte .* is damaged"),
    ],
)
def test_damage_of_an_onnx_file_s_fields(content: bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=says):
        onnxruntime.metadata(memoryview(content), b"onenet")
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(ToolError, match=f"^bad.onnx is not an ONNX file: {says}"):
        onnxruntime.read_manifest(tmp_path / "bad.onnx")


def test_tables_that_each_claim_the_whole_file_are_read_in_passing() -> None:
    """One Metadata table with a name as long as the file, referred to 200,000 times; to copy it each time takes minutes."""
    count, size = 200_000, 4_000_000
    vtable, model, vector, entry = 8, 32, 64, 64 + 4 + 4 * count
    entry_vtable, name = entry + 16, entry + 32

    def word(value: int) -> bytes:
        return value.to_bytes(4, "little", signed=value < 0)

    parts = {
        0: word(model) + b"TFL3",
        vtable: b"\x12\0\x08\0" + bytes(12) + b"\x04\0",  # field 6, metadata, lies 4 bytes behind the table's start
        model: word(model - vtable) + word(vector - model - 4),
        vector: word(count) + b"".join(word(entry - vector - 4 - 4 * i) for i in range(count)),
        entry_vtable: b"\x06\0\x08\0\x04\0",
        entry: word(entry - entry_vtable) + word(name - entry - 4),
        name: word(size - name - 4),
    }
    content = bytearray(size)
    for at, part in parts.items():
        content[at : at + len(part)] = part
    assert litert.metadata(bytes(content), b"onenet") is None
    with pytest.raises(IndexError):  # this is its name; the buffer that it refers to is missing
        litert.metadata(bytes(content), bytes(size - name - 4))


@pytest.mark.parametrize("length", [2**20, 2**32 - 1])
def test_a_vector_longer_than_the_file(length: int) -> None:
    content = bytearray(64)
    content[0:8] = (32).to_bytes(4, "little") + b"TFL3"
    content[8:26] = b"\x12\0\x08\0" + bytes(12) + b"\x04\0"
    content[32:40] = (24).to_bytes(4, "little") + (4).to_bytes(4, "little")
    content[40:44] = length.to_bytes(4, "little")
    with pytest.raises(ValueError, match=f"{length} elements at 40 reach beyond its end"):
        litert.metadata(bytes(content), b"onenet")


# --- a process of its own -------------------------------------------------


def test_the_answer_is_that_of_this_process(tmp_path: Path) -> None:
    path = write(tmp_path, manifest(), beside=False)
    assert isolated.verify(path) == verify_here(path)
    broken = write(tmp_path, manifest(precision="w4"), beside=False)
    errors: list[OneNetError] = []
    for ask in (isolated.verify, verify_here):
        with pytest.raises(CheckError) as caught:
            ask(broken)
        errors.append(caught.value)
    assert str(errors[0]) == str(errors[1])


def test_a_file_that_takes_too_much_memory(tmp_path: Path) -> None:
    shape = [1, 3, 30_000, 30_000]
    content = edited("inputs.0.shape", shape)
    content["golden"]["inputs"][0]["factor"] = 3750
    path = write(tmp_path, content, beside=False, inputs=content["inputs"])
    with pytest.raises(ToolError, match=r"^checking model\.null takes more than 2\.1 GB of memory; it is damaged, or"):
        verify(path)


def test_a_file_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "SECONDS", 0.01)
    with pytest.raises(ToolError, match=r"^model\.null kept its runtime busy for 0 s"):
        verify(write(tmp_path, manifest(), beside=False))


def test_no_module_of_the_current_folder_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("json", "numpy", "onenet", "subprocess"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(7)")
    path = write(tmp_path, manifest(), beside=False)
    monkeypatch.chdir(tmp_path)
    assert verify(Path(path.name)).passed


@pytest.mark.parametrize(("code", "text"), [(-11, "SIGSEGV"), (-9, "SIGKILL"), (3, "exit code 3"), (-200, "exit code -200")])
def test_how_a_process_ended(code: int, text: str) -> None:
    assert isolated.cause(code) == text
