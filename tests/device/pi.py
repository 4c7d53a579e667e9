"""An emulated Raspberry Pi: a Debian tree with Python and nothing more, behind its real arm64 sshd on loopback.

Its users share one user id, as a server that is not root's must have it, and differ by what is wrong with them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.device import lab

PACKAGES = (
    *("bash", "coreutils", "dash", "python3", "procps", "sed", "grep", "findutils", "util-linux", "libstdc++6", "libgomp1"),
    *("base-files", "openssh-server", "openssh-sftp-server"),
)
EMU_CONF = """EMU_UID=1000
EMU_HOME=/home/pi
EMU_CPU=cortex-a72
EMU_ENV="USER=pi LOGNAME=pi SHELL=/bin/bash PATH=/usr/bin:/bin"
"""
SSHD = """ListenAddress 127.0.0.1
Port {port}
HostKey /home/pi/.ssh/host
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile /home/pi/.ssh/authorized_keys
Subsystem sftp /usr/lib/openssh/sftp-server
UseDNS no
PrintMotd no
SetEnv QEMU_CPU=cortex-a72
"""
CLIENT = """Host stranger
 IdentityFile "{folder}/stranger"
Host unknown
 UserKnownHostsFile /dev/null
Host changed
 UserKnownHostsFile "{folder}/changed"
Host closed
 Port {closed}
Host nowhere
 HostName no-such-host.invalid
Host *
 HostName 127.0.0.1
 Port {port}
 User pi
 IdentitiesOnly yes
 UserKnownHostsFile "{folder}/known_hosts"
 GlobalKnownHostsFile /dev/null
Host * !stranger
 IdentityFile "{folder}/id"
"""
RCS = {
    "noisy": "echo 'Welcome to the lab! {\"error\": 1}'; echo a warning >&2\n",
    "endless": "yes all work and no play\n",
    "liar": 'echo onenet-begins-here; echo \'{"python": [3, 11, "\\u001b"]}\'; exit\n',
    "silent": "cat > $HOME/swallowed\n",
    "bare": "PATH=$HOME/bin\n",
}
"""User -> what the shell does first."""
MOUNTS = {"full": "size=64k", "readonly": "size=64k,ro"}
"""User -> options of the file system that the home folder is."""
USERS = ("pi", "fresh", *RCS, *MOUNTS, "refused")
MOUNT = """set -e
while [ "$1" != -- ]; do mount -t tmpfs -o "$2" tmpfs "$1"; shift 2; done
shift
exec "$@"
"""


@dataclass(frozen=True)
class Pi:
    folder: Path
    root: Path
    """Its file system."""
    client: str
    """The ssh client with a configuration that knows the Pi by any name, and is wrong for ``stranger``, ``unknown``,
    ``changed``, ``closed`` and ``nowhere``."""
    process: int

    def home(self, user: str) -> Path:
        return self.root / "home" / user

    def programs(self, part: str = "python") -> dict[int, str]:
        """Process id here -> command line, of what runs on the Pi and has ``part`` in it."""
        parents, commands = dict[int, int](), dict[int, str]()
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
                commands[int(stat.parent.name)] = stat.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode()
        inside = {self.process}
        while more := {each for each, parent in parents.items() if parent in inside} - inside:
            inside |= more
        return {each: commands[each] for each in inside if part in commands.get(each, "")}

    def connections(self) -> set[int]:
        """Process ids of what its server runs for connections."""
        return set(self.programs("sshd_config -R"))

    def wait_for(self, part: str) -> int:
        """The process id of a program that is about to run on the Pi."""
        wait_until(lambda: bool(self.programs(part)))
        return next(iter(self.programs(part)))

    def wait_until_quiet(self) -> None:
        wait_until(lambda: not self.programs())

    def folders_of(self, user: str) -> list[str]:
        """Everything in a home folder but what the shell reads."""
        return sorted(str(each.relative_to(self.home(user))) for each in self.home(user).rglob("*"))


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def reason_against() -> str | None:
    missing = [tool for tool in ("ssh", "ssh-keygen") if not shutil.which(tool)]
    return f"there is no {missing[0]} here" if missing else lab.reason_against()


def raspberry(root: Path) -> None:
    """Make a Debian tree a Pi with its users."""
    (root / "emu.conf").write_text(EMU_CONF)
    zone = root / "emu.fake/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("48200\n")
    (root / "run/sshd").mkdir(parents=True, exist_ok=True)
    shells = {"refused": "/home/refused/shell"}
    lines = [f"{user}:x:1000:1000::/home/{user}:{shells.get(user, '/bin/bash')}" for user in USERS]
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/bash\n" + "\n".join(lines) + "\n")
    (root / "etc/group").write_text("root:x:0:\npi:x:1000:\n")
    for user in USERS:
        (root / "home" / user).mkdir(parents=True)
    for user, text in RCS.items():
        (root / "home" / user / ".bashrc").write_text(text)
    (root / "home/bare/bin").mkdir()
    (root / "home/bare/bin/sh").symlink_to("/bin/sh")
    shell = root / "home/refused/shell"
    shell.write_text("#!/bin/sh\necho This account is currently not available.\nexit 1\n")
    shell.chmod(0o755)


@contextlib.contextmanager
def emulated_pi(folder: Path, suite: str) -> Iterator[Pi]:
    """A Pi whose files lie in ``folder`` (which must not be there yet)."""
    folder.mkdir(parents=True)
    tree = lab.arm64_root(PACKAGES, raspberry, (Path(__file__).read_text(),), suite)
    root = lab.copy_root(tree, folder / "root")
    port, closed = free_ports(2)
    make_keys(folder, root, port)
    (folder / "config").write_text(CLIENT.format(folder=folder, port=port, closed=closed))
    (root / "home/pi/.ssh/sshd_config").write_text(SSHD.format(port=port))
    mounts = [text for user, options in MOUNTS.items() for text in (str(root / "home" / user), options)]
    server = lab.entered(root, "/usr/sbin/sshd", "-D", "-e", "-f", "/home/pi/.ssh/sshd_config")
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh", *mounts, "--", *server]
    with (folder / "sshd.log").open("w") as log, started(command, log.fileno()) as process:
        wait_until(lambda: "listening" in (folder / "sshd.log").read_text() or process.poll() is not None)
        assert process.poll() is None, (folder / "sshd.log").read_text()
        yield Pi(folder, root, f"ssh -F '{folder}/config'", process.pid)


@contextlib.contextmanager
def started(command: list[str], log: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        os.kill(process.pid, signal.SIGKILL)  # ``unshare --fork`` ignores SIGTERM; its --kill-child takes everything along
        process.wait()


def make_keys(folder: Path, root: Path, port: int) -> None:
    place = root / "home/pi/.ssh"
    place.mkdir()
    for key in (folder / "id", folder / "stranger", place / "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    shutil.copy(folder / "id.pub", place / "authorized_keys")
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {(place / 'host.pub').read_text()}")
    (folder / "changed").write_text(f"[127.0.0.1]:{port} {(folder / 'stranger.pub').read_text()}")


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
