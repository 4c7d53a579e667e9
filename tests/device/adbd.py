"""The phone's end of adb, for faults that the real adbd cannot be brought to: a phone that trusts nobody, hangs up, is old.

The protocol is Android's (system/core/adb: OVERVIEW, protocol.txt, SYNC.TXT), as much of it as ``adb shell``, ``push`` and
``pull`` need. Commands run in this machine's shell, with ``/data/local/tmp`` and a few Android programs in a folder of their
own; nothing is emulated.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

VERSION, LARGEST = 0x01000001, 256 << 10
HEADER = struct.Struct("<6I")
CNXN, AUTH, OPEN, OKAY, WRTE, CLSE = (
    int.from_bytes(name, "little") for name in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"WRTE", b"CLSE")
)
TOKEN, SIGNATURE = 1, 2
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
"""Packets of the shell protocol, version 2."""
TEMPORARY = "/data/local/tmp"


@dataclass
class Faults:
    trusted: bool = True
    """False: it waits for somebody to allow this computer."""
    old: bool = False
    """Its shell gives no exit codes, mixes stderr into stdout, and ends lines with CR LF."""
    refuses: str = ""
    """What it says of every file pushed."""
    spoils: bool = False
    """Files arrive with other content."""
    hangs_up_after_bytes: int | None = None
    """Of a push."""
    hangs_up_at: str = ""
    """A moment after a command that holds this was started."""


@dataclass
class Phone:
    root: Path
    faults: Faults
    serial: str = ""
    commands: list[str] = field(default_factory=list)
    pushed: list[str] = field(default_factory=list)

    def inside(self, path: str) -> Path:
        assert path.startswith(TEMPORARY)
        return self.root / path.removeprefix("/")


class HungUp(Exception):
    pass


class Stream:
    """One opened service. A message is answered with OKAY before the next one comes."""

    def __init__(self, connection: Connection, number: int, remote: int) -> None:
        self.connection, self.number, self.remote = connection, number, remote
        self.received: queue.Queue[bytes] = queue.Queue()
        self.ready = threading.Semaphore(1)
        self.rest, self.ended = b"", False

    def read(self, count: int) -> bytes:
        while len(self.rest) < count:
            block = self.received.get()
            if not block:
                self.received.put(b"")
                raise HungUp
            self.connection.send(OKAY, self.number, self.remote)
            self.rest += block
        data, self.rest = self.rest[:count], self.rest[count:]
        return data

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), LARGEST):
            self.ready.acquire()
            if self.ended:
                raise HungUp
            self.connection.send(WRTE, self.number, self.remote, data[start : start + LARGEST])

    def end(self) -> None:
        """Nobody is at the other end any more."""
        self.ended = True
        self.received.put(b"")
        self.ready.release()


class Connection:
    def __init__(self, client: socket.socket, phone: Phone) -> None:
        self.client, self.phone, self.lock = client, phone, threading.Lock()
        self.streams: dict[int, Stream] = {}
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, command: int, first: int, second: int, data: bytes = b"") -> None:
        header = HEADER.pack(command, first, second, len(data), sum(data) & 0xFFFFFFFF, command ^ 0xFFFFFFFF)
        with self.lock, contextlib.suppress(OSError):
            self.client.sendall(header + data)

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self.client.shutdown(socket.SHUT_RDWR)

    def receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            block = self.client.recv(count - len(data))
            if not block:
                raise HungUp
            data += block
        return data

    def serve(self) -> None:
        try:
            while True:
                command, first, second, length, _, _ = HEADER.unpack(self.receive(HEADER.size))
                self.answer(command, first, second, self.receive(length))
        except (HungUp, OSError):
            for stream in self.streams.values():
                stream.end()
            self.client.close()

    def answer(self, command: int, first: int, second: int, data: bytes) -> None:
        if command in (CNXN, AUTH):
            if self.phone.faults.trusted:
                features = "" if self.phone.faults.old else "shell_v2"
                self.send(CNXN, VERSION, LARGEST, f"device::ro.product.name=fake;features={features}".encode())
            elif command == CNXN or first == SIGNATURE:
                self.send(AUTH, TOKEN, 0, bytes(20))
        elif command == OPEN:
            stream = Stream(self, len(self.streams) + 1, first)
            self.streams[stream.number] = stream
            threading.Thread(target=self.run, args=(stream, data.rstrip(b"\0").decode()), daemon=True).start()
        elif command == WRTE:
            self.streams[second].received.put(data)
        elif command == OKAY:
            self.streams[second].ready.release()
        elif command == CLSE and second in self.streams:
            self.streams[second].end()

    def run(self, stream: Stream, service: str) -> None:
        self.send(OKAY, stream.number, stream.remote)
        kind, _, argument = service.partition(":")
        with contextlib.suppress(HungUp, OSError):
            if kind == "sync":
                Sync(self, stream).serve()
            elif kind.startswith("shell"):
                (shell_v2 if "v2" in kind else shell_v1)(self, stream, argument)
        stream.ready.acquire(timeout=5)  # until what was written last has arrived
        self.send(CLSE, stream.number, stream.remote)


def start(connection: Connection, command: str, **pipes: int) -> subprocess.Popen[bytes]:
    phone = connection.phone
    phone.commands.append(command)
    environment = {"PATH": f"{phone.root}/system/bin:{os.environ['PATH']}", "ROOT": str(phone.root)}
    moved = command.replace(TEMPORARY, f"{phone.root}{TEMPORARY}")
    # A phone's programs end when it hangs up, even where the tests were started with nohup, which they would inherit.
    shell = ["env", "--default-signal=HUP", "/bin/sh", "-c", moved]
    process = subprocess.Popen(shell, env=environment, cwd=phone.root, start_new_session=True, **pipes)  # type: ignore[call-overload]
    if phone.faults.hangs_up_at and phone.faults.hangs_up_at in command:
        threading.Thread(target=hang_up_when_running, args=(connection,), daemon=True).start()
    return process


def hang_up_when_running(connection: Connection) -> None:
    """Once the program, which the phone's root takes for ``$ROOT``, has written its number into ``pid`` there."""
    until(lambda: (connection.phone.root / "pid").exists(), 60)
    time.sleep(0.5)
    connection.hang_up()


def shell_v2(connection: Connection, stream: Stream, command: str) -> None:
    process = start(connection, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin and process.stdout and process.stderr
    writing = threading.Lock()

    def emit(kind: int, data: bytes) -> None:
        with writing:
            stream.write(struct.pack("<BI", kind, len(data)) + data)

    def copy(pipe: IO[bytes], kind: int) -> None:
        with pipe, contextlib.suppress(HungUp):  # closed where nobody listens: who writes on is ended by SIGPIPE
            while block := os.read(pipe.fileno(), 32 << 10):
                emit(kind, block)

    def feed() -> None:
        with contextlib.suppress(HungUp, OSError):
            while True:
                kind, length = struct.unpack("<BI", stream.read(5))
                data = stream.read(length)
                if kind == STDIN:
                    os.write(process.stdin.fileno(), data)
                elif kind == CLOSE_STDIN:
                    break
        process.stdin.close()  # at its end, and when the connection is gone

    threads = [
        threading.Thread(target=copy, args=(process.stdout, STDOUT), daemon=True),
        threading.Thread(target=copy, args=(process.stderr, STDERR), daemon=True),
    ]
    for thread in (*threads, threading.Thread(target=feed, daemon=True)):
        thread.start()
    process.wait()
    for thread in threads:
        thread.join()
    emit(EXIT, bytes([process.returncode & 0xFF]))


def shell_v1(connection: Connection, stream: Stream, command: str) -> None:
    """On a terminal, as before Android 7: it turns each LF into CR LF, and its end is a hang-up."""
    outer, inner = os.openpty()
    process = start(connection, command, stdin=inner, stdout=inner, stderr=inner)
    os.close(inner)

    def feed() -> None:
        with contextlib.suppress(HungUp, OSError):
            while True:
                os.write(outer, stream.read(1))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGHUP)

    threading.Thread(target=feed, daemon=True).start()
    with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
        while block := os.read(outer, 32 << 10):
            stream.write(block)
    process.wait()


class Sync:
    """The service behind ``adb push`` and ``adb pull``, version 1."""

    def __init__(self, connection: Connection, stream: Stream) -> None:
        self.connection, self.stream, self.phone = connection, stream, connection.phone

    def serve(self) -> None:
        while True:
            name, length = self.stream.read(4), self.number()
            if name == b"QUIT":
                return
            path = self.stream.read(length).decode()
            {b"STAT": self.stat, b"SEND": self.take, b"RECV": self.give}[name](path)

    def number(self) -> int:
        return int.from_bytes(self.stream.read(4), "little")

    def stat(self, path: str) -> None:
        try:
            found = self.phone.inside(path).stat()
            fields = (found.st_mode, found.st_size, int(found.st_mtime))
        except OSError:
            fields = (0, 0, 0)
        self.stream.write(b"STAT" + struct.pack("<3I", *fields))

    def take(self, path_and_mode: str) -> None:
        path, faults, content = path_and_mode.rpartition(",")[0], self.phone.faults, bytearray()
        while self.stream.read(4) == b"DATA":
            content += self.stream.read(self.number())
            if faults.hangs_up_after_bytes is not None and len(content) > faults.hangs_up_after_bytes:
                self.phone.inside(path).write_bytes(content)
                self.connection.hang_up()
        self.number()  # the time of its last change
        if faults.refuses:
            self.stream.write(b"FAIL" + struct.pack("<I", len(faults.refuses)) + faults.refuses.encode())
            return
        self.phone.pushed.append(path)
        self.phone.inside(path).write_bytes(content[:-1] + b"?" if faults.spoils else content)
        self.stream.write(b"OKAY" + bytes(4))

    def give(self, path: str) -> None:
        content = self.phone.inside(path).read_bytes()
        for start in range(0, len(content), 64 << 10):
            block = content[start : start + (64 << 10)]
            self.stream.write(b"DATA" + struct.pack("<I", len(block)) + block)
        self.stream.write(b"DONE" + bytes(4))


@contextlib.contextmanager
def fake_phone(root: Path, faults: Faults | None = None) -> Iterator[Phone]:
    """A phone whose files lie in ``root``; nobody is connected to it."""
    (root / TEMPORARY.removeprefix("/")).mkdir(parents=True)
    phone = Phone(root, faults or Faults())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        phone.serial = f"127.0.0.1:{listener.getsockname()[1]}"
        connections: list[Connection] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connections.append(Connection(listener.accept()[0], phone))
                    threading.Thread(target=connections[-1].serve, daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield phone
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for connection in connections:
                connection.hang_up()


def until(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    """Whether a condition comes true in that time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
