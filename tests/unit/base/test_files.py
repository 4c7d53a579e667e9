"""Writing either succeeds or leaves everything as it was: replaced artifacts, unwritable folders, full disks, Ctrl-C."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from onenet.base import files
from onenet.base.files import check_folder, publish, sha256_of, size_of, temporary_folder
from onenet.errors import RequestError, ToolError
from tests.conftest import HEED_CTRL_C


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder: relative name -> content, None for folders."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def make_package(path: Path, content: str) -> Path:
    (path / "Data").mkdir(parents=True)
    (path / "Manifest.json").write_text(content)
    (path / "Data" / "weight.bin").write_text(content * 2)
    return path


def write(out: Path, work: Callable[[Path], None]) -> None:
    with temporary_folder(out) as folder:
        work(folder)


def test_a_new_file_and_a_replaced_one(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with temporary_folder(tmp_path / "new" / "out") as folder:
            (folder / "a.onnx").write_text(content)
            publish(folder / "a.onnx", tmp_path / "new" / "out" / "a.onnx")
        assert tree(tmp_path / "new" / "out") == {"a.onnx": content.encode()}


def test_a_replaced_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for content in ("first", "second"):
        with temporary_folder(out) as folder:
            publish(make_package(folder / "a.mlpackage", content), out / "a.mlpackage")
        assert tree(out) == tree(make_package(tmp_path / content / "a.mlpackage", content).parent)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_failure_leaves_the_old_artifact_and_nothing_else(tmp_path: Path, kind: str) -> None:
    old = tmp_path / "a"
    if kind == "file":
        old.write_text("old")
    else:
        make_package(old, "old")
    before = tree(tmp_path)
    for error in (ValueError, KeyboardInterrupt, SystemExit):

        def work(folder: Path, error: type[BaseException] = error) -> None:
            make_package(folder / "a", "new")
            raise error

        with pytest.raises(error):
            write(tmp_path, work)
        assert tree(tmp_path) == before


def interrupted_after(calls: int) -> Callable[[Path, Path], None]:
    """``os.replace`` that does its work, and is followed by Ctrl-C after so many calls."""
    done = 0
    replace = os.replace

    def wrapped(source: Path, target: Path) -> None:
        nonlocal done
        replace(source, target)
        done += 1
        if done == calls:
            raise KeyboardInterrupt

    return wrapped


@pytest.mark.parametrize(("calls", "left"), [(1, "old"), (2, "new")])
def test_ctrl_c_between_the_two_renames_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int, left: str
) -> None:
    monkeypatch.setattr(files, "exchange", lambda *_: False)  # as on systems that cannot

    def work(folder: Path) -> None:
        make_package(folder / "a.mlpackage", "new")
        monkeypatch.setattr(os, "replace", interrupted_after(calls))
        publish(folder / "a.mlpackage", tmp_path / "out" / "a.mlpackage")

    make_package(tmp_path / "out" / "a.mlpackage", "old")
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", work)
    assert tree(tmp_path / "out") == tree(make_package(tmp_path / "expected" / "a.mlpackage", left).parent)


@pytest.mark.skipif(sys.platform != "linux", reason="renameat2 is Linux's")
def test_a_folder_is_never_absent_while_it_is_replaced(tmp_path: Path) -> None:
    final, over = make_package(tmp_path / "a.mlpackage", "0"), threading.Event()
    absent = []

    def look() -> None:
        while not over.is_set():
            if not final.exists():
                absent.append(1)

    watcher = threading.Thread(target=look)
    watcher.start()
    for count in range(300):
        with temporary_folder(tmp_path) as folder:
            publish(make_package(folder / "a.mlpackage", str(count)), final)
    over.set()
    watcher.join()
    assert not absent
    assert (final / "Manifest.json").read_text() == "299"
    assert list(tmp_path.iterdir()) == [final]


def test_a_rename_that_fails_puts_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "exchange", lambda *_: False)

    def work(folder: Path) -> None:
        make_package(folder / "new", "new")
        make_package(folder / "new.old", "taken")  # where the old folder would step aside to: a real failing rename
        publish(folder / "new", tmp_path / "a.mlpackage")

    make_package(tmp_path / "a.mlpackage", "old")
    before = tree(tmp_path)
    with pytest.raises(ToolError, match="writing under"):
        write(tmp_path, work)
    assert tree(tmp_path) == before


INTERRUPTED = """
import sys, time
from pathlib import Path
from onenet.base.files import temporary_folder
with temporary_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half")
    print("written", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_real_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_text("old")
    process = subprocess.Popen(
        [sys.executable, "-c", HEED_CTRL_C + INTERRUPTED, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as stdout:
        assert stdout.readline() == "written\n"
        assert len(list(tmp_path.iterdir())) == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(60) != 0
    assert tree(tmp_path) == {"a.onnx": b"old"}


def start(folder: Path) -> subprocess.Popen[str]:
    """A process that holds a temporary folder."""
    command = [sys.executable, "-c", INTERRUPTED, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "written\n"
    return process


@pytest.mark.skipif(os.name == "nt", reason="locks of folders")
def test_what_a_killed_process_left_goes_and_what_another_holds_stays(tmp_path: Path) -> None:
    killed, running = start(tmp_path), start(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    killed.kill()
    killed.communicate()
    with temporary_folder(tmp_path) as own:
        others = [each for each in tmp_path.iterdir() if each != own]
        assert [(each / "half").read_text() for each in others] == ["half"]
    assert list(tmp_path.iterdir()) == others
    running.kill()
    running.communicate()
    with temporary_folder(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_one_inside_another() -> None:
    with temporary_folder() as outer:
        with temporary_folder(outer) as inner:
            assert inner.parent == outer
        child = start(outer)  # as an export of a campaign does in another process
        assert len(list(outer.iterdir())) == 1
        child.kill()
        child.communicate()
    assert not outer.exists()


def test_folders_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    before = tree(tmp_path)
    for out in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "file" / "far" / "below"):
        with pytest.raises(RequestError, match=r"cannot be written: .*; choose another --out"):
            check_folder(out)
        with pytest.raises(RequestError, match=r"cannot be written: .*; choose another --out"):
            write(out, lambda _: None)
    assert tree(tmp_path) == before


def test_a_folder_that_can_be_written_is_not_made_before_it_is_needed(tmp_path: Path) -> None:
    check_folder(tmp_path / "far" / "below")
    check_folder(tmp_path)
    assert tree(tmp_path) == {}


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system without new files: Linux's /proc")
def test_a_file_system_without_new_files() -> None:
    with pytest.raises(RequestError, match="output folder /proc/onenet cannot be written"):
        check_folder(Path("/proc/onenet"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    def work(folder: Path) -> None:
        (folder / "half").write_text("half")
        Path("/dev/full").write_bytes(b"x")

    (tmp_path / "a.onnx").write_text("old")
    with pytest.raises(ToolError, match=r"the disk under .* is full; nothing was written there"):
        write(tmp_path, work)
    assert tree(tmp_path) == {"a.onnx": b"old"}


EXPORTER = """
import sys
from pathlib import Path
from onenet.errors import ToolError
from onenet.base.files import publish, temporary_folder
out = Path(sys.argv[1])
try:
    with temporary_folder(out) as folder:
        (folder / "a.onnx").write_bytes(bytes(1 << 20))
        publish(folder / "a.onnx", out / "a.onnx")
except ToolError as error:
    print(error)
print(sorted(p.name for p in out.iterdir()), (out / "a.onnx").read_text())
"""
NAMESPACE = 'mount -t tmpfs -o size=128k none "$1" && printf old > "$1/a.onnx" && exec "$2" -c "$3" "$1"'


def test_a_disk_that_fills_up_in_the_middle(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a small disk needs `unshare -rm`, which this machine lacks or does not permit")
    command = [unshare, "-rm", "sh", "-c", NAMESPACE, "sh", str(tmp_path), sys.executable, EXPORTER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "mount" in done.stderr:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    assert done.stderr == ""
    assert done.stdout == f"the disk under {tmp_path} is full; nothing was written there\n['a.onnx'] old\n"


LIMITED = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
LIMITED += "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))\n"


@pytest.mark.skipif(os.name == "nt", reason="needs RLIMIT_FSIZE")
def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_text("old")
    command = [sys.executable, "-c", LIMITED + EXPORTER, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == f"writing under {tmp_path} failed: File too large; nothing was written there\n['a.onnx'] old\n"


def test_sizes_and_digests_of_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert size_of(tmp_path / "file") == 3
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()
    one, two = make_package(tmp_path / "one", "x"), make_package(tmp_path / "two", "x")
    assert size_of(one) == 3
    assert sha256_of(one) == sha256_of(two)
    (two / "Data" / "weight.bin").rename(two / "Data" / "renamed.bin")
    assert sha256_of(one) != sha256_of(two)
