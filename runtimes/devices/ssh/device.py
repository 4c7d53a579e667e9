"""A Raspberry Pi, or any machine with a shell and Python, through the user's own OpenSSH client.

Their configuration, keys, agent and jump hosts are used; ``ONENET_SSH="ssh -F FILE"`` names another client or gives it
options. One connection carries everything. The remote command line is fixed but for names of hexadecimal digits: what names
and paths hold travels as JSON on stdin. On the device everything lies in ``~/.cache/onenet``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Annotated

from onenet.base.files import sha256_of, temporary_folder
from onenet.base.process import converse, parse_answer
from onenet.base.text import one_line
from onenet.errors import OneNetError, RequestError, ToolError
from onenet.runtimes import RUNTIMES
from onenet.runtimes.agent.messages import Request
from onenet.runtimes.agent.records import DeviceInfo, Limit, Record, Text
from onenet.runtimes.devices import Device, Examination, Finding, Job
from onenet.runtimes.devices.answers import read_as
from onenet.runtimes.devices.description import examination_of
from onenet.runtimes.devices.pack import pack
from onenet.runtimes.session import Runtime

CLIENT = "ONENET_SSH"
REMOTE = Path(__file__).with_name("remote.py")
OPTIONS = (
    "-T",
    *("-o", "BatchMode=yes"),  # asks for nothing
    *("-o", "ConnectTimeout=10"),
    *("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"),
    *("-o", "LogLevel=ERROR", "-o", "ClearAllForwardings=yes", "-o", "RemoteCommand=none"),
)
CONNECT_SECONDS, LOOK_SECONDS, INSTALL_SECONDS, DESCRIBE_SECONDS = 60.0, 120.0, 1800.0, 300.0
PERSIST_SECONDS = 20
"""The connection closes by itself so long after this process was killed."""
SLOWEST = 50_000
"""Bytes per second of a connection that is worth waiting for."""
SSH_FAILED = 255
MARK = b"onenet-begins-here\n"
"""What a shell prints at its start comes before this."""
SHELL = f"exec sh -c 'cd && p=.cache/onenet/venv/bin/python; [ -x $p ] || p=python3; echo {MARK.decode().strip()}; exec $p %s'"
"""In ``sh`` whatever the login shell is."""
PROGRAM = SHELL % '-c "import sys; i = sys.stdin.buffer; exec(i.read(int(i.readline())))"'
AGENT = SHELL % "{} serve"
FILES = ".cache/onenet/files"
HINTS = {
    "IDENTIFICATION HAS CHANGED": "its host key is another one than before: after a new installation, ssh-keygen -R HOST",
    "Host key verification failed": "its host key is not known here: connect once with ssh and compare its fingerprint",
    "Permission denied": "nothing is asked for here: ssh-copy-id brings your key there, ssh-add unlocks it",
    "Could not resolve": "check the name; in a home network NAME.local often works",
    "refused": "is its ssh server on? On a Raspberry Pi: sudo raspi-config nonint do_ssh 0",
    "timed out": "is it on, and in this network?",
    "No route to host": "is it on, and in this network?",
}
"""What ssh says -> what helps."""
OLDEST_PYTHON = (3, 9)
LITERT_GLIBC = (2, 34)
"""ai-edge-litert's wheels say manylinux_2_27, but need GLIBC_2.34 and GLIBCXX_3.4.30."""
LITERT_PYTHON, TFLITE_PYTHON = (3, 10), (3, 11)
"""The oldest that the one, and the newest that the other has wheels for."""


@dataclass(frozen=True)
class RemoteMachine(Record):
    """What ``remote.look`` answers."""

    python: Annotated[tuple[int, ...], Limit(shortest=3, longest=3)]
    bits: int
    machine: Text
    system: Text
    libc: tuple[Text, Annotated[Text, Limit(pattern=r"^([0-9]+(\.[0-9]+)+)?$")]]
    """Name and release; empty where it is not glibc."""
    cores: int | None
    modules: list[Text]
    missing: list[Text]

    @property
    def version(self) -> str:
        """The Python there, as "3.9.2"."""
        return ".".join(map(str, self.python))

    @property
    def glibc(self) -> tuple[int, ...]:
        """Major and minor version of glibc; empty where another C library is there."""
        return tuple(map(int, self.libc[1].split(".")[:2])) if self.libc[0] == "glibc" else ()


class Ssh(Device):
    """A machine that an OpenSSH client reaches.

    Args:
        address: as the user wrote it.
        host: as ssh takes it.
        options: what ssh needs to reach ``host``.
    """

    def __init__(self, address: str, host: str, options: Sequence[str]) -> None:
        super().__init__("ssh", address)
        self.host, self.options = host, options
        self.client = client()
        self.scratch = contextlib.ExitStack()
        self.folder = self.scratch.enter_context(temporary_folder())
        self.agent = self.folder / "agent.pyz"

    @property
    def remedy(self) -> str:
        """The command that puts what is missing on the machine."""
        return f"onenet doctor --device {self.name} --setup"

    def measure(self, job: Job) -> dict[str, object]:
        if not runtimes_of(job.artifact.suffix):
            supported = ", ".join(dict.fromkeys(suffix for card in carried() if card.packages for suffix in card.suffixes))
            raise RequestError(f"{job.artifact.name} cannot be measured on {self.name}; supported: {supported}")
        artifact, agent = remote_name(job.artifact), self.pack_agent()
        job.say("connecting")
        there = self.look([artifact, agent])
        self.check(there, job)
        sources = {artifact: job.artifact, agent: self.agent}
        self.push("files", {name: path for name, path in sources.items() if name in there.missing}, job.say)
        job.say("measuring")
        request = Request(f"{FILES}/{artifact}", job.plan, artifact.partition(".")[0], job.runtime).as_dict()
        try:
            answer = self.ask_agent(agent, request, job.plan.deadline() + 30)
        except OneNetError as error:
            raise type(error)(str(error).replace(artifact, job.artifact.name)) from None
        return self.named(answer)

    def named(self, answer: dict[str, object]) -> dict[str, object]:
        """An agent's answer, whose device knows what it is called here."""
        device = answer.get("device")
        return {**answer, "device": {**(device if isinstance(device, dict) else {}), "name": self.name, "kind": self.kind}}

    def check(self, there: RemoteMachine, job: Job) -> None:
        """
        Raises:
            RequestError: there is no Python, or no package, that runs the artifact.
        """
        if there.python < OLDEST_PYTHON:
            raise RequestError(f"{self.name} has Python {there.version}; 3.9 is the oldest that the agent runs on")
        able = runtimes_of(job.artifact.suffix)
        wanted = [card for card in able if card.name == job.runtime] or able
        needed = [list(card.packages) for card in wanted]
        for packages in (["numpy"], [name for names in needed for name in names] if all(needed) else []):
            if packages and not any(module_of(name) in there.modules for name in packages):
                here = f"{self.name} (Python {there.version})"
                raise RequestError(f"{' or '.join(packages)} is missing on {here}; {self.remedy} installs it")

    def examine(self) -> Examination:
        agent = self.pack_agent()
        there = self.look([agent])
        old = there.python < OLDEST_PYTHON
        if old or "numpy" not in there.modules:
            lacks = Finding("Python", there.version, not old, "an operating system with Python 3.9 or newer" if old else "")
            numpy = Finding("numpy", "missing", False, self.remedy)
            machine = Finding("machine", f"{there.machine}, {there.cores} cores")
            system = Finding("system", f"{there.system}, {' '.join(there.libc).strip() or 'unknown C library'}")
            device = DeviceInfo(self.name, self.kind, python=there.version, machine=there.machine)
            return Examination(device, (machine, system, lacks, *([] if old else [numpy])))
        self.push("files", {agent: self.agent} if there.missing else {}, lambda _: None)
        answer = self.ask_agent(agent, {"do": "describe"}, DESCRIBE_SECONDS)
        return examination_of(self.named(answer), self.remedy, f"the agent on {self.name}")

    def set_up(self, say: Callable[[str], None]) -> None:
        """An environment of onenet's own there. The wheels are fetched here and pushed, so the device needs no internet."""
        say("connecting")
        there = self.look([])
        packages = packages_for(self.name, there)
        with temporary_folder() as folder:
            say(f"fetching {', '.join(packages)} for Python {there.version} and {' '.join(there.libc)}")
            download(packages, there, folder)
            self.push("wheels", {each.name: each for each in sorted(folder.iterdir())}, say)
        say("installing")
        self.ask_program({"do": "install"}, seconds=INSTALL_SECONDS)

    def clean(self) -> None:
        self.ask_program({"do": "clean"})

    def look(self, names: Iterable[str]) -> RemoteMachine:
        """What the machine has of these files and of the runtimes' modules. Raises ToolError for an answer of another form."""
        packages = dict.fromkeys(name for card in carried() for name in card.packages)
        answer = self.ask_program(
            {"do": "look", "files": list(names), "modules": [module_of(name) for name in ("numpy", *packages)]}
        )
        try:
            return read_as(RemoteMachine, answer)
        except ValueError as error:
            raise ToolError(f"{self.name} described itself in no way of ours: {error}") from error

    def push(self, folder: str, files: Mapping[str, Path], say: Callable[[str], None]) -> None:
        """Send files into a folder there; each is checked by size and SHA-256 on arrival. ``say`` gets the size in MB."""
        if not files:
            return
        contents = {name: path.read_bytes() for name, path in files.items()}
        size = sum(map(len, contents.values()))
        say(f"pushing {size / 1e6:.1f} MB")
        listed = [(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in contents.items()]
        request = {"do": "take", "folder": folder, "files": listed}
        self.ask_program(request, b"".join(contents.values()), seconds=LOOK_SECONDS + size / SLOWEST)

    def pack_agent(self) -> str:
        """The agent's name there."""
        if not self.agent.exists():
            self.agent.write_bytes(pack())
        return remote_name(self.agent)

    def ask_program(self, request: Mapping[str, object], data: bytes = b"", seconds: float = LOOK_SECONDS) -> dict[str, object]:
        """Have ``remote.py`` do something."""
        source = REMOTE.read_bytes()
        line = b"%d\n" % len(source) + source + json.dumps(request).encode() + b"\n" + data
        try:
            return self.ask(PROGRAM, line, "Python", seconds)
        except ToolError as error:
            if self.name in str(error):
                raise
            raise ToolError(f"{self.name}: {error}") from None

    def ask_agent(self, name: str, request: Mapping[str, object], seconds: float) -> dict[str, object]:
        """The answer of the agent file ``name`` to one request, within ``seconds``."""
        return self.ask(AGENT.format(f"{FILES}/{name}"), json.dumps(request).encode() + b"\n", "the agent", seconds)

    def ask(self, command: str, line: bytes, who: str, seconds: float) -> dict[str, object]:
        """
        Raises:
            OneNetError: what runs there answered with one.
            ToolError: the connection was lost, or there was no answer.
        """
        self.connect()
        what = f"{who} on {self.name}"
        through = (*self.client, *OPTIONS, "-o", "ControlMaster=no", *self.target, command)
        done = converse(through, line, what=what, seconds=seconds, hold=True)
        before, mark, answer = done.out.partition(MARK)
        if done.code == SSH_FAILED and not answer.endswith(b"\n"):
            if not self.tell_connection("check"):
                raise ToolError(f"{self.name}: the connection was lost; what ran there ends by itself")
            done = replace(done, code=-signal.SIGKILL)  # ssh says no more of what a signal ended
        if not mark:
            said = one_line((before or done.err.encode()).decode(errors="replace"))
            raise ToolError(f"{self.name} runs no commands for this user; it said: {said}")
        if done.code == 127 and not answer:
            raise ToolError(f"{self.name} has no python3; on a Raspberry Pi: sudo apt install python3")
        return parse_answer(replace(done, out=answer), what)

    @property
    def target(self) -> tuple[str, ...]:
        """The arguments of ssh that name the shared connection, the options and the host."""
        return ("-o", f"ControlPath={self.folder}/c", *self.options, "--", self.host)

    def connect(self) -> None:
        """Have a connection that the following commands share.

        Raises:
            ToolError: there is none; says why, and what helps.
        """
        if self.tell_connection("check"):
            return
        (self.folder / "c").unlink(missing_ok=True)  # of one that was lost; ssh would start without sharing
        command = (*self.client, "-fN", *OPTIONS, "-o", "ControlMaster=yes", "-o", f"ControlPersist={PERSIST_SECONDS}")
        with tempfile.TemporaryFile() as err:  # not a pipe: ssh goes on in the background, and would hold its end
            try:
                failed = run_silently([*command, *self.target], err)
            except OSError as error:
                raise ToolError(
                    f"{self.name}: {self.client[0]} cannot be started ({error.strerror or error}); install OpenSSH"
                ) from error
            except subprocess.TimeoutExpired:
                raise ToolError(f"{self.name}: no connection after {CONNECT_SECONDS:.0f} s") from None
            err.seek(0)
            said = err.read(1 << 16).decode(errors="replace")
        if failed:
            hint = next((f"; {hint.replace('HOST', self.host)}" for text, hint in HINTS.items() if text in said), "")
            raise ToolError(f"{self.name}: ssh cannot connect: {reason(said)}{hint}")

    def tell_connection(self, what: str) -> bool:
        """Whether there was one that heard ``check`` or ``exit``."""
        command = [*self.client, "-O", what, *self.target]
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            return run_silently(command, subprocess.DEVNULL) == 0
        return False

    def close(self) -> None:
        self.tell_connection("exit")
        self.scratch.close()


def run_silently(command: Sequence[str], err: int | IO[bytes]) -> int:
    """The exit code of a program that hears and says nothing; ``err``: where its stderr goes.

    Raises:
        OSError: it cannot be started.
        subprocess.TimeoutExpired: it took longer than a connection may.
    """
    nothing = subprocess.DEVNULL
    return subprocess.run(command, stdin=nothing, stdout=nothing, stderr=err, timeout=CONNECT_SECONDS, check=False).returncode


def carried() -> list[Runtime]:
    """The runtimes that the agent brings along, without what they compute with."""
    return [card for card in RUNTIMES.cards().values() if card.travels]


def runtimes_of(suffix: str) -> list[Runtime]:
    """Those that open artifacts of a suffix."""
    return [card for card in carried() if suffix in card.suffixes]


def module_of(package: str) -> str:
    """What a distribution is imported as."""
    return package.replace("-", "_")


def reason(said: str) -> str:
    """ssh's last line, which is the one that counts."""
    lines = [line for line in said.splitlines() if line.strip()]
    return one_line(lines[-1]).removeprefix("ssh: ").rstrip(".") if lines else "it gave no reason"


def remote_name(path: Path) -> str:
    """A file's name on the machine: its SHA-256 and suffix, so that a file there is never sent again."""
    return sha256_of(path) + path.suffix


def client() -> list[str]:
    """The user's ssh, with the options that ``CLIENT`` may give it.

    Raises:
        RequestError: ``CLIENT`` has an open quotation.
    """
    given = os.environ.get(CLIENT, "")
    try:
        return shlex.split(given) or ["ssh"]
    except ValueError as error:
        raise RequestError(f"{CLIENT} is {given!a:.200}: {one_line(error)}; write it as for a shell") from error


def packages_for(name: str, there: RemoteMachine) -> list[str]:
    """The interpreters that have wheels for a device's Python and C library.

    Raises:
        RequestError: there are none.
    """
    if there.bits != 64 or there.machine not in ("aarch64", "x86_64") or not there.glibc:
        system = f"{there.bits}-bit Python on {there.machine} with {there.libc[0] or 'another C library'}"
        raise RequestError(f"{name} is a {system}; interpreters come for 64-bit Linux with glibc on aarch64 and x86_64")
    if there.python < OLDEST_PYTHON:
        raise RequestError(f"{name} has Python {there.version}; 3.9 is the oldest that the agent runs on")
    if there.glibc >= LITERT_GLIBC and there.python >= LITERT_PYTHON:
        return ["numpy", "ai-edge-litert", "onnxruntime"]
    if there.python[:2] <= TFLITE_PYTHON:
        return ["numpy<2", "tflite-runtime", "onnxruntime"]  # built for numpy 1, though its wheel does not say so
    return ["numpy", "onnxruntime"]


def download(packages: Sequence[str], there: RemoteMachine, folder: Path) -> None:
    """Wheels of packages and of what they need, for another machine, with the pip beside this Python.

    Raises:
        ToolError: there is no pip, no network, or no such wheel.
    """
    tags = [f"manylinux_2_{minor}" for minor in range(17, there.glibc[1] + 1)]
    platforms = [("--platform", f"{tag}_{there.machine}") for tag in ("manylinux2014", *tags)]
    for_it = ("--only-binary=:all:", "--implementation", "cp", "--python-version", there.version.rpartition(".")[0])
    command = (sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--dest", str(folder))
    options = (*for_it, *(each for pair in platforms for each in pair))
    done = converse([*command, *options, *packages], what="pip download", seconds=INSTALL_SECONDS)
    if done.code:
        errors = done.err.rpartition("ERROR: ")[2]
        raise ToolError(f"the wheels for {', '.join(packages)} cannot be fetched here: {one_line(errors)}")
