"""The real adbd of an arm64 tree, reachable on one port of the loopback interface: serve.py ENTER QEMU ROOT; prints the port.

adbd listens on every interface, so it lives in a network namespace of its own. A socket keeps the namespace it was made in: one
that was made outside is handed in, and what connects to it is passed on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import subprocess
import sys
import threading
import time

ADBD = ("127.0.0.1", 5555)
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def outside(*command: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.set_inheritable(True)
    print(listener.getsockname()[1], flush=True)
    namespace = ("unshare", "--user", "--map-root-user", "--net", "--pid", "--mount-proc", "--fork", "--kill-child")
    os.execvp(namespace[0], [*namespace, sys.executable, __file__, "--inside", str(listener.fileno()), *command])


def inside(descriptor: int, *command: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
    subprocess.Popen([*command, "/usr/sbin/adbd"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    listener = socket.socket(fileno=descriptor)
    while True:
        client, _ = listener.accept()
        adbd = connect()
        for source, target in ((client, adbd), (adbd, client)):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=pass_on, args=(source, target), daemon=True).start()


def connect() -> socket.socket:
    """To adbd, which may still be starting."""
    for _ in range(200):
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection(ADBD)
        time.sleep(0.1)
    raise SystemExit("adbd did not start")


def pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(1 << 16):
            target.sendall(block)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        inside(int(sys.argv[2]), *sys.argv[3:])
    outside(*sys.argv[1:])
