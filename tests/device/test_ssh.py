"""Raspberry Pis over ssh: emulated ones behind a real sshd, with all that can go wrong between here and there.

Values and plumbing are asserted, never times: an emulated Pi is 60 to 300 times slower than one.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import onenet
from onenet.base.quiet import quiet
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.samples import default_calibration, load_samples
from onenet.errors import OneNetError, RequestError, ToolError
from onenet.model import Model
from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.devices import Examination, Job, open_device
from onenet.runtimes.devices.ssh.device import RemoteMachine, Ssh, packages_for, remote_name
from onenet.runtimes.measure import document
from tests.device import pi as lab
from tests.device.pi import Pi, wait_until
from tests.device.ssh_devices import device_on
from tests.null_artifact import write_null

PLAN = Plan(threads=(1,), runs=2, seconds=0, rounds=1, warmup_runs=1, warmup_seconds=0, timeout=300)
INTERPRETERS = {"bookworm": "ai-edge-litert", "bullseye": "tflite-runtime"}
"""Raspberry Pi OS 12 and 11: which of the two interpreters installs there."""


@dataclass
class Ready:
    """A Pi that ``--setup`` has made ready, and what was seen on the way."""

    pi: Pi
    before: Examination
    after: Examination
    said: list[str]
    devices: list[Ssh] = field(default_factory=list)

    def device(self, address: str = "pi") -> Ssh:
        """Closed when the Pi is."""
        made = device_on(self.pi, address)
        self.devices.append(made)
        return made


@contextlib.contextmanager
def open_ssh(address: str) -> Iterator[Ssh]:
    with contextlib.closing(open_device(f"ssh:{address}")) as made:
        assert isinstance(made, Ssh)
        yield made


@functools.cache
def reason_against() -> str | None:
    return lab.reason_against()


def ready_pi(suite: str) -> Iterator[Ready]:
    if reason := reason_against():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory() as folder, lab.emulated_pi(Path(folder, "pi"), suite) as pi:
        device = device_on(pi, "pi")
        before, said = device.examine(), list[str]()
        device.set_up(said.append)
        ready = Ready(pi, before, device.examine(), said, [device])
        yield ready
        for each in ready.devices:
            each.close()
        wait_until(lambda: not pi.connections())


@pytest.fixture(scope="module")
def bookworm() -> Iterator[Ready]:
    yield from ready_pi("bookworm")


@pytest.fixture(scope="module")
def bullseye() -> Iterator[Ready]:
    yield from ready_pi("bullseye")


@pytest.fixture(params=list(INTERPRETERS))
def ready(request: pytest.FixtureRequest) -> Ready:
    found: Ready = request.getfixturevalue(request.param)
    return found


@functools.cache
def lowered() -> Model:
    """The shipped network for small images."""
    with quiet():
        return onenet.lower(onenet.build("onenet-ed4", input_size=(48, 48)))


@functools.cache
def quantized() -> QuantizedModel:
    with quiet():
        return onenet.calibrate(lowered(), load_samples(default_calibration(), 48, 48))


@pytest.fixture(scope="module")
def artifact_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    folder = tmp_path_factory.mktemp("artifacts")

    @functools.cache
    def export(target: str, precision: str) -> Path:
        source = quantized() if precision == "int8" else lowered()
        with quiet():
            path: Path = onenet.export(source, target=target, precision=precision, out=folder).path  # type: ignore[operator]
        return path

    return export


@pytest.fixture
def null(tmp_path: Path) -> Path:
    """An artifact that needs numpy alone."""
    return write_null(tmp_path / "model.null")


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """One whose first run takes 11 days."""
    return write_null(tmp_path / "model.null", 1e9)


def job(path: Path, say: Callable[[str], None] = lambda _: None, **plan: Any) -> Job:
    return Job(path, replace(PLAN, **plan), say=say)


class Attempt(threading.Thread):
    """Something that a device is asked, while the test does it harm."""

    def __init__(self, do: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.do, self.error = do, None
        self.start()

    def run(self) -> None:
        try:
            self.do()
        except OneNetError as error:
            self.error: OneNetError | None = error

    def failure(self) -> str:
        """The one line that it failed with, as a tool does."""
        self.join(120)
        assert not self.is_alive()
        assert isinstance(self.error, ToolError), self.error
        return one_clear_line(self.error)


def one_clear_line(error: OneNetError) -> str:
    text = str(error)
    assert text.isprintable() and len(text) < 500 and "Traceback" not in text
    return text


def drop_connection(device: Ssh) -> None:
    """As a network that goes away does, for both ends."""
    told = subprocess.run(
        [*device.client, "-O", "check", *device.target], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    os.kill(int(re.findall(r"pid=(\d+)", told.stderr)[0]), signal.SIGKILL)


# A fresh Pi becomes one that measures.


def test_a_fresh_pi_is_examined_and_set_up(ready: Ready, request: pytest.FixtureRequest) -> None:
    suite = request.node.callspec.params["ready"]
    assert not ready.before.healthy
    (lacks,) = [each for each in ready.before.findings if each.good is False]
    assert (lacks.what, lacks.remedy) == ("numpy", "onenet doctor --device ssh:pi --setup")
    assert [each.split()[0] for each in ready.said] == ["connecting", "fetching", "pushing", "installing"]
    assert ready.after.healthy
    assert (ready.after.device.name, ready.after.device.kind) == ("ssh:pi", "ssh")
    found = {each.what: each.found for each in ready.after.findings}
    assert found["runs .tflite"].startswith(INTERPRETERS[suite]) and found["runs .onnx"].startswith("onnxruntime")
    assert ready.after.device.emulated


@pytest.mark.parametrize(
    ("ready", "target", "precision"),
    [("bookworm", "tflite", "int8"), ("bookworm", "onnx", "fp32"), ("bullseye", "tflite", "int8")],
    indirect=["ready"],
)
def test_golden_checks_pass_on_the_pi(
    ready: Ready, artifact_of: Callable[[str, str], Path], target: str, precision: str, request: pytest.FixtureRequest
) -> None:
    """The other precisions, and onnxruntime on bullseye, run in ``test_everywhere``: each run takes seconds to import."""
    content = ready.device().measure(job(artifact_of(target, precision)))
    content["measured"] = document.now().isoformat()
    found = document.validate(content, "the document")
    assert found.parity.passed and found.parity.where == "device"
    assert [each.passed for each in found.parity.checks if each.name == "values of logits"] == [True]
    assert (found.device.name, found.device.kind, found.device.machine) == ("ssh:pi", "ssh", "aarch64")
    interpreters = {"tflite": INTERPRETERS[request.node.callspec.params["ready"]], "onnx": "onnxruntime"}
    assert found.runtime.name == interpreters[target]
    assert "emulated" in [each.name for each in found.warnings]
    assert [len(each.samples_ms) for each in found.rows[0].rounds] == [2]
    assert found.rows[0].peak_bytes and found.rows[0].states[0].temperature_c == {"cpu-thermal": 48.2}


def test_what_is_unchanged_is_not_pushed_again(bookworm: Ready, null: Path) -> None:
    device, said = bookworm.device(), list[str]()
    device.push("files", {remote_name(null): null}, said.append)
    assert [each.split()[0] for each in said] == ["pushing"]
    device.measure(job(null, said.append))
    assert said[1:] == ["connecting", "measuring"]
    there = bookworm.pi.home("pi") / ".cache/onenet/files" / remote_name(null)
    there.write_bytes(there.read_bytes()[:-1] + b"!")
    assert device.look([remote_name(null), device.pack_agent()]).missing == [remote_name(null)]


def test_one_connection_carries_everything_and_is_closed(bookworm: Ready) -> None:
    device, before = device_on(bookworm.pi, "pi"), bookworm.pi.connections()
    device.look([])
    one = bookworm.pi.connections() - before  # those of devices before it may end meanwhile
    assert one
    device.look([])
    device.look([])
    assert bookworm.pi.connections() - before == one
    device.close()
    wait_until(lambda: not bookworm.pi.connections() & one)
    assert not Path(device.folder).exists()


@pytest.mark.parametrize("name", ["; touch hit #.null", "$(touch hit).null", "a\n'\"b.null", "-oProxyCommand=touch hit.null"])
def test_no_file_name_reaches_a_shell(bookworm: Ready, null: Path, name: str) -> None:
    null = null.rename(null.with_name(name))
    Attempt(lambda: bookworm.device().push("files", {remote_name(null): null}, lambda _: None)).join(60)
    assert bookworm.device().look([remote_name(null)]).missing == []
    assert "hit" not in " ".join(bookworm.pi.folders_of("pi"))


def test_an_artifact_of_another_kind_is_refused_before_connecting(tmp_path: Path) -> None:
    with (
        open_ssh("nobody") as device,
        pytest.raises(RequestError, match=r"^model\.sh cannot be measured on ssh:nobody; supported: \.tflite, \.onnx$"),
    ):
        device.measure(Job(tmp_path / "model.sh"))


def test_clean_removes_everything(bookworm: Ready, null: Path) -> None:
    device = bookworm.device("fresh@pi")
    device.push("files", {remote_name(null): null}, lambda _: None)
    assert any(remote_name(null) in each for each in bookworm.pi.folders_of("fresh"))
    device.clean()
    device.clean()  # nothing is there any more, which is no error
    assert bookworm.pi.folders_of("fresh") == [".cache"]


# Addresses and connections.

HOSTILE = (
    *("-oProxyCommand=touch hit", "pi@-oProxyCommand=x", "-l@pi", "a b", "pi;touch hit", "pi\ntouch", "$(touch hit)", "`x`"),
    *("pi:0", "pi:65536", "pi:-1", "pi:22:22", "@pi", "pi@", "::1", "[::1", "[pi]", "a/b", "pi@pi@pi", "p\x1b[2Ji", ""),
)


@pytest.mark.parametrize("address", HOSTILE)
def test_what_is_no_address_starts_nothing(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONENET_SSH", "/nonexistent/ssh")  # starting it would be a ToolError
    with pytest.raises(RequestError, match="has an address that cannot be one") as caught:
        open_device(f"ssh:{address}")
    assert one_clear_line(caught.value)


@pytest.mark.parametrize(
    ("address", "host", "more"),
    [
        ("raspberrypi", "raspberrypi", []),
        ("pi@raspberrypi.local:2222", "raspberrypi.local", ["-l", "pi", "-p", "2222"]),
        ("a.b+c@10.0.0.1", "10.0.0.1", ["-l", "a.b+c"]),
        ("[::1]:22", "::1", ["-p", "22"]),
        ("pi@[fe80::1%eth0]", "fe80::1%eth0", ["-l", "pi"]),
    ],
)
def test_an_address_becomes_arguments(address: str, host: str, more: list[str]) -> None:
    with open_ssh(address) as device:
        assert device.target[2:] == (*more, "--", host)


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("stranger", r"ssh cannot connect: .*Permission denied \(publickey\); .*ssh-copy-id"),
        ("unknown", "ssh cannot connect: Host key verification failed; its host key is not known here: connect once with ssh"),
        ("changed", "ssh cannot connect: Host key verification failed; its host key is another one .* ssh-keygen -R changed"),
        ("closed", "ssh cannot connect: .*Connection refused; is its ssh server on"),
        ("nowhere", "ssh cannot connect: Could not resolve hostname no-such-host.invalid.*check the name"),
    ],
)
def test_no_connection_is_one_line_that_says_what_helps(bookworm: Ready, null: Path, host: str, text: str) -> None:
    device = bookworm.device(host)
    with pytest.raises(ToolError, match=f"^ssh:{host}: {text}") as caught:
        device.measure(job(null))
    assert one_clear_line(caught.value)
    assert list(Path(device.folder).iterdir()) == [device.agent]


def test_options_with_an_open_quotation_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONENET_SSH", "ssh -F 'config")
    with pytest.raises(RequestError, match=r"^ONENET_SSH is .*: No closing quotation; write it as for a shell$"):
        open_device("ssh:pi")


def test_no_ssh_client_is_one_line(monkeypatch: pytest.MonkeyPatch, null: Path) -> None:
    monkeypatch.setenv("ONENET_SSH", "/nonexistent/ssh")
    text = r"^ssh:pi: /nonexistent/ssh cannot be started \(No such file or directory\); install OpenSSH$"
    with open_ssh("pi") as device, pytest.raises(ToolError, match=text):
        device.measure(job(null))


# What a device may be like.


def test_a_shell_that_talks_is_understood(bookworm: Ready) -> None:
    assert bookworm.device("noisy@pi").look([]).machine == "aarch64"


@pytest.mark.parametrize(
    ("user", "text"),
    [
        ("endless", r"^Python on ssh:endless@pi answered with more than 16 MB; the agent never answers so much$"),
        ("bare", r"^ssh:bare@pi has no python3; on a Raspberry Pi: sudo apt install python3$"),
        ("refused", r"^ssh:refused@pi runs no commands for this user; it said: This account is currently not available\.$"),
        ("liar", r"^ssh:liar@pi described itself in no way of ours: .*"),
        ("full", r"^ssh:full@pi: ~/\.cache/onenet cannot be written: No space left on device$"),
        ("readonly", r"^ssh:readonly@pi: ~/\.cache/onenet cannot be written: Read-only file system$"),
    ],
)
def test_what_a_pi_cannot_do_is_one_line(bookworm: Ready, tmp_path: Path, user: str, text: str) -> None:
    large = tmp_path / "large.null"
    large.write_bytes(bytes(1 << 20))
    device = bookworm.device(f"{user}@pi")
    with pytest.raises(ToolError, match=text) as caught:
        device.push("files", dict.fromkeys(device.look([remote_name(large)]).missing, large), lambda _: None)
    assert one_clear_line(caught.value)
    bookworm.pi.wait_until_quiet()
    if user in ("full", "readonly"):  # their homes are file systems that are seen from inside only
        shell = subprocess.run(
            [*device.client, *device.target, "find .cache -type f"], capture_output=True, text=True, check=False
        )
        assert shell.stdout == ""


@pytest.mark.parametrize(
    ("suffix", "has", "text"),
    [
        (".tflite", [], "numpy is missing"),
        (".tflite", ["numpy"], "ai-edge-litert or tflite-runtime is missing"),
        (".onnx", ["numpy", "tflite_runtime"], "onnxruntime is missing"),
    ],
)
def test_a_missing_interpreter_is_named_with_its_remedy(
    bookworm: Ready, tmp_path: Path, suffix: str, has: list[str], text: str
) -> None:
    packages = bookworm.pi.home("fresh") / "packages"
    packages.mkdir()
    for name in has:
        (packages / name).mkdir()
        (packages / name / "__init__.py").touch()
    (bookworm.pi.home("fresh") / ".bashrc").write_text("export PYTHONPATH=$HOME/packages\n")
    path = tmp_path / f"model{suffix}"
    path.touch()
    try:
        with pytest.raises(
            RequestError, match=rf"^{text} on ssh:fresh@pi \(Python 3\.11\.2\); onenet doctor .* --setup installs it$"
        ):
            bookworm.device("fresh@pi").measure(job(path))
    finally:
        shutil.rmtree(packages)
        (bookworm.pi.home("fresh") / ".bashrc").unlink()
    assert bookworm.pi.folders_of("fresh") in ([], [".cache"])


LOOKED = RemoteMachine(
    python=(3, 11, 2),
    bits=64,
    machine="aarch64",
    system="Linux 6.12",
    libc=("glibc", "2.36"),
    cores=4,
    modules=[],
    missing=[],
)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ["numpy", "ai-edge-litert", "onnxruntime"]),
        ({"python": (3, 13, 5), "libc": ("glibc", "2.41")}, ["numpy", "ai-edge-litert", "onnxruntime"]),
        ({"libc": ("glibc", "2.31")}, ["numpy<2", "tflite-runtime", "onnxruntime"]),
        ({"python": (3, 9, 2)}, ["numpy<2", "tflite-runtime", "onnxruntime"]),
        ({"python": (3, 12, 0), "libc": ("glibc", "2.31")}, ["numpy", "onnxruntime"]),
    ],
)
def test_interpreters_follow_from_python_and_the_c_library(change: dict[str, Any], expected: list[str]) -> None:
    assert packages_for("ssh:pi", replace(LOOKED, **change)) == expected


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"bits": 32}, "ssh:pi is a 32-bit Python on aarch64 with glibc; interpreters come for 64-bit Linux with glibc"),
        ({"machine": "armv7l", "bits": 32}, "32-bit Python on armv7l"),
        ({"libc": ("", "")}, "with another C library"),
        ({"python": (3, 8, 1)}, "Python 3.8.1; 3.9 is the oldest"),
    ],
)
def test_a_device_that_no_interpreter_comes_for_is_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(RequestError, match=re.escape(text)):
        packages_for("ssh:pi", replace(LOOKED, **change))


# What happens in the middle.

ASKING = """
import sys
from pathlib import Path
from onenet.runtimes.devices import Job, open_device
open_device("ssh:pi").measure(Job(Path(sys.argv[1])))
"""


def test_nothing_runs_on_when_onenet_is_killed(bookworm: Ready, endless: Path) -> None:
    environment = {**os.environ, "ONENET_SSH": bookworm.pi.client}
    asking = subprocess.Popen([sys.executable, "-c", ASKING, str(endless)], env=environment)
    bookworm.pi.wait_for(" work")
    asking.kill()
    asking.wait()
    bookworm.pi.wait_until_quiet()


def test_a_connection_lost_while_pushing_leaves_nothing(bookworm: Ready, tmp_path: Path) -> None:
    large = tmp_path / "large.null"
    large.write_bytes(bytes(1 << 26))
    device = bookworm.device()
    device.connect()
    attempt = Attempt(lambda: device.push("files", {remote_name(large): large}, lambda _: None))
    files = bookworm.pi.home("pi") / ".cache/onenet/files"
    wait_until(lambda: any(each.name.endswith(".part") for each in files.iterdir()))
    drop_connection(device)
    assert attempt.failure() == "ssh:pi: the connection was lost; what ran there ends by itself"
    bookworm.pi.wait_until_quiet()
    assert not any(each.name.startswith(remote_name(large)) for each in files.iterdir())
    assert device.look([]).machine == "aarch64"  # connects anew
    assert device.tell_connection("check")  # and shares that


def test_a_connection_lost_while_installing_leaves_nothing(bookworm: Ready) -> None:
    device = bookworm.device("fresh@pi")
    device.connect()
    attempt = Attempt(lambda: device.ask_program({"do": "install"}))
    wait_until(lambda: any(each.endswith(".part") for each in bookworm.pi.folders_of("fresh")))
    drop_connection(device)
    assert attempt.failure() == "ssh:fresh@pi: the connection was lost; what ran there ends by itself"
    bookworm.pi.wait_until_quiet()
    assert set(bookworm.pi.folders_of("fresh")) <= {".cache", ".cache/onenet"}
    device.clean()


def test_what_a_power_cut_left_is_removed(bookworm: Ready) -> None:
    device, folder = bookworm.device("fresh@pi"), bookworm.pi.home("fresh") / ".cache/onenet"
    for part in (folder / "venv.1.part", folder / "files/a.1.part", folder / "files/b.2.part"):
        part.mkdir(parents=True) if part.name.startswith("venv") else part.touch()
        (folder / "files").mkdir(exist_ok=True)
        if "2" not in part.name:
            os.utime(part, (0, 0))
    device.look([])
    assert sorted(each.name for each in folder.rglob("*.part")) == ["b.2.part"]
    device.clean()


def test_a_connection_lost_while_measuring_ends_what_runs_there(bookworm: Ready, endless: Path) -> None:
    device = bookworm.device()
    attempt = Attempt(lambda: device.measure(job(endless)))
    bookworm.pi.wait_for(" work")
    drop_connection(device)
    assert attempt.failure() == "ssh:pi: the connection was lost; what ran there ends by itself"
    bookworm.pi.wait_until_quiet()


@pytest.mark.parametrize(("part", "what"), [(" work", "running model.null"), (" serve", "the agent on ssh:pi")])
def test_what_memory_ran_out_for_is_said(bookworm: Ready, endless: Path, part: str, what: str) -> None:
    device = bookworm.device()
    attempt = Attempt(lambda: device.measure(job(endless)))
    bookworm.pi.wait_for(" work")
    os.kill(bookworm.pi.wait_for(part), signal.SIGKILL)
    assert attempt.failure().startswith(f"{what} was killed, as happens where memory runs out")
    bookworm.pi.wait_until_quiet()


def test_a_model_that_hangs_is_ended_there(bookworm: Ready, endless: Path) -> None:
    attempt = Attempt(lambda: bookworm.device().measure(job(endless, timeout=5)))
    assert attempt.failure().startswith("running model.null took over")
    bookworm.pi.wait_until_quiet()


def test_a_device_that_does_not_answer_is_given_up_here(bookworm: Ready) -> None:
    text = "^Python on ssh:silent@pi took over 2 s and was stopped; a larger --timeout waits longer$"
    with pytest.raises(ToolError, match=text):
        bookworm.device("silent@pi").ask_program({"do": "clean"}, seconds=2)
    wait_until(lambda: not bookworm.pi.programs("cat"))
