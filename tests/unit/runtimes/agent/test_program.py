"""The agent by itself, on this machine: what is packed, what it answers, and that it always ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onenet.base.files import sha256_of
from onenet.base.process import ask
from onenet.errors import OneNetError, RequestError, ToolError
from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.devices import Job, open_device
from onenet.runtimes.devices.pack import pack, sources
from onenet.runtimes.devices.ssh import device as ssh
from onenet.runtimes.measure import document
from tests.null_artifact import write_null

PLAN = Plan(threads=(1,), runs=3, seconds=0, rounds=2, warmup_runs=1, warmup_seconds=0, timeout=120)
DAYS = 1e9
"""Milliseconds of a run that does not end."""


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    path = tmp_path / "agent.pyz"
    path.write_bytes(pack())
    return path


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return write_null(tmp_path / "model.null")


def measure(agent: Path, path: Path, plan: Plan = PLAN, **changes: Any) -> dict[str, Any]:
    request = {"do": "measure", "artifact": str(path), "plan": plan.as_dict(), **changes}
    return ask([sys.executable, "-I", str(agent), "serve"], request, what="the agent", seconds=120)


def by_hand(agent: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(agent), *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=agent.parent)


# What is packed.


def test_the_same_sources_give_the_same_bytes(agent: Path) -> None:
    assert pack() == pack()
    with zipfile.ZipFile(agent) as archive:
        assert {each.date_time for each in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.testzip() is None


def test_devices_side_by_side_pack_at_once() -> None:
    """CPython's parser, which reads what the agent imports, fails in two threads at once."""
    with ThreadPoolExecutor(4) as threads:
        archives = {made.result() for made in [threads.submit(pack) for _ in range(12)]}
    assert archives == {pack()}


@pytest.mark.parametrize(("what", "target"), [("agent", "3.9-"), ("ssh", "3.6-")])
def test_what_runs_on_a_device_runs_in_its_python(tmp_path: Path, what: str, target: str) -> None:
    """Raspberry Pi OS 11 has Python 3.9; what looks before the agent comes has to say so in older ones."""
    for name, content in sources().items() if what == "agent" else [("remote.py", ssh.REMOTE.read_bytes())]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    vermin = [
        sys.executable,
        "-c",
        "import vermin; vermin.main()",
        "--quiet",
        "--no-tips",
        "--violations",
        f"--target={target}",
        str(tmp_path),
    ]
    found = subprocess.run(vermin, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout.strip(), found.stderr) == (0, "", "")


IMPORT = """
import sys
before = set(sys.modules)
sys.path.insert(0, sys.argv[1])
import onenet.runtimes.agent.program as agent
print(agent.__file__)
files = {each.partition(".")[0]: str(getattr(sys.modules[each], "__file__", "")) for each in set(sys.modules) - before}
print(*sorted(name for name, file in files.items() if "site-packages" in file))
"""


def test_the_agent_needs_numpy_and_nothing_else(agent: Path) -> None:
    done = subprocess.run([sys.executable, "-I", "-c", IMPORT, str(agent)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{agent}/onenet/runtimes/agent/program.py", "numpy"]


CARDS = """
import sys
class NoPillow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "PIL":
            raise ModuleNotFoundError("No module named 'PIL'", name="PIL")
sys.meta_path.insert(0, NoPillow())
sys.path.insert(0, sys.argv[1])
from onenet.runtimes import RUNTIMES
from onenet.targets import TARGETS
from onenet.tasks import TASKS
print(*TASKS.cards(), *TARGETS.cards(), *RUNTIMES.cards())
"""


def test_every_card_that_travels_is_read_without_pillow(agent: Path) -> None:
    """A fresh Raspberry Pi OS has none. Reading the cards imports every module beside them."""
    done = subprocess.run([sys.executable, "-I", "-c", CARDS, str(agent)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"segmentation", "classification", "other", "tflite", "onnx", "onnxruntime"} <= set(done.stdout.split())


# What it answers.


def test_a_measurement_is_a_valid_document(agent: Path, artifact: Path) -> None:
    content = {**measure(agent, artifact, sha256=sha256_of(artifact)), "measured": document.now().isoformat()}
    found = document.validate(content, "the answer")
    assert found.parity.passed and found.parity.where == "device"
    assert (found.artifact.file, found.artifact.sha256) == ("model.null", sha256_of(artifact))
    (row,) = found.rows
    assert [len(each.samples_ms) for each in row.rounds] == [3, 3]
    assert (row.summary.n, row.threads, row.rounds[0].warmup_runs) == (6, 1, 1)
    assert len(row.states) >= 2 and row.states[0].seconds <= row.states[-1].seconds
    assert row.prepare_ms is not None and row.finish_ms is not None


def test_a_row_for_each_number_of_threads(agent: Path, artifact: Path) -> None:
    content = measure(agent, artifact, Plan(threads=(1, 2), runs=1, seconds=0, rounds=1, warmup_runs=0, warmup_seconds=0))
    assert [row["threads"] for row in content["rows"]] == [1, 2]


def test_a_sustained_run_and_a_profile(agent: Path, artifact: Path) -> None:
    plan = Plan(threads=(1,), runs=1, seconds=0, rounds=1, sustained_minutes=0.005, profile=True)
    content = measure(agent, artifact, plan)
    (minute,) = content["rows"][0]["sustained"]["minutes"]
    assert minute["n"] >= 1
    assert [each["name"] for each in content["warnings"] if each["name"] == "no-profile"] == ["no-profile"]


def test_a_wrong_golden_pair_is_measured_and_said(agent: Path, tmp_path: Path) -> None:
    parity = measure(agent, write_null(tmp_path / "wrong.null", right=False))["parity"]
    assert not parity["passed"]
    assert [each["passed"] for each in parity["checks"] if each["name"] == "values of logits"] == [False]


def test_by_hand(agent: Path, artifact: Path) -> None:
    done = by_hand(agent, "measure", artifact.name, "--runs", "2", "--rounds", "1", "--seconds", "0", "--threads", "1")
    assert (done.returncode, json.loads(done.stdout)["rows"][0]["summary"]["n"]) == (0, 2)
    described = json.loads(by_hand(agent, "describe").stdout)
    assert described["device"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(described["runtimes"]) == {"ai-edge-litert", "tflite-runtime", "onnxruntime"}


def test_this_machine_is_a_device(artifact: Path) -> None:
    device, said = open_device("local"), list[str]()
    content = device.measure(Job(artifact, PLAN, say=said.append))
    assert (content["device"]["name"], content["device"]["kind"], said) == ("local", "local", ["measuring"])
    assert {each.what for each in device.examine().findings} >= {"machine", "system", "Python", "runs .tflite", "runs .onnx"}
    device.close()
    with pytest.raises(RequestError, match="nothing is set up on this machine by onenet"):
        device.set_up(said.append)


# What it refuses, in one line and with the right exit code.


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"artifact": "none.onnx"}, RequestError, "artifact none.onnx is not a file here"),
        ({"artifact": __file__}, RequestError, "its suffix is '.py'; supported: .tflite, .onnx"),
        ({"sha256": "0" * 64}, ToolError, "model.null arrived damaged: its SHA-256 is not that of the file sent"),
        ({"plan": replace(PLAN, cores=(100_000,))}, RequestError, "cores 100000 cannot be bound to here"),
    ],
)
def test_what_cannot_be_measured(
    agent: Path, artifact: Path, changes: dict[str, Any], kind: type[OneNetError], text: str
) -> None:
    with pytest.raises(kind) as caught:
        measure(agent, artifact, **changes)
    assert text in str(caught.value) and str(caught.value).isprintable()


def test_a_foreign_file_by_hand(agent: Path) -> None:
    (agent.parent / "foreign.onnx").write_bytes(b"no such thing")
    done = by_hand(agent, "measure", "foreign.onnx")
    assert done.returncode == 3
    assert json.loads(done.stdout) == {
        "error": "ToolError",
        "text": "foreign.onnx is not an ONNX file: field 13 at byte 1 is damaged",
    }


# That it ends.


class Running:
    """An agent that measures something endless."""

    def __init__(self, agent: Path, artifact: Path) -> None:
        pipes: dict[str, Any] = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.process = subprocess.Popen([sys.executable, "-I", str(agent), "serve"], **pipes)
        request = {"do": "measure", "artifact": str(artifact), "plan": PLAN.as_dict()}
        assert self.process.stdin
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        wait_until(lambda: bool(self.workers()))

    def workers(self) -> list[int]:
        """Not sysctl and the like, which it asks of the machine."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(each) for each in children if command_of(int(each)).endswith(b"\0work\0")]


@pytest.fixture
def running(agent: Path, tmp_path: Path) -> Iterator[Running]:
    if not Path("/proc/self/task").is_dir():
        pytest.skip("processes are counted in /proc, which this system has not")
    started = Running(agent, write_null(tmp_path / "endless.null", DAYS))
    yield started
    started.process.kill()
    started.process.communicate()


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def command_of(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("how", ["stdin ends", "SIGTERM", "SIGKILL"])
def test_the_agent_and_its_worker_end(running: Running, how: str) -> None:
    """Where whoever asked is gone, or the agent itself is."""
    (worker,) = running.workers()
    assert running.process.stdin
    if how == "stdin ends":
        running.process.stdin.close()
        running.process.stdin = None
    else:
        running.process.send_signal(getattr(signal, how))
    running.process.wait(60)
    wait_until(lambda: not is_running(worker))


def test_a_worker_that_the_system_killed_is_reported(running: Running) -> None:
    os.kill(running.workers()[0], signal.SIGKILL)
    assert running.process.stdout
    answer = json.loads(running.process.stdout.read())
    assert answer["error"] == "ToolError"
    assert answer["text"].startswith("running endless.null was killed, as happens where memory runs out")


def test_a_model_that_hangs_is_stopped(agent: Path, tmp_path: Path) -> None:
    plan = Plan(threads=(1,), runs=1, seconds=0, rounds=1, timeout=3)
    with pytest.raises(
        ToolError, match=r"^running endless\.null took over \d s and was stopped; a larger --timeout waits longer$"
    ):
        measure(agent, write_null(tmp_path / "endless.null", DAYS), plan)


def test_an_agent_that_has_answered_ends_quietly_though_stdin_is_open(agent: Path, artifact: Path) -> None:
    command = [sys.executable, "-I", str(agent), "serve"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write(json.dumps({"do": "measure", "artifact": str(artifact), "plan": PLAN.as_dict()}).encode() + b"\n")
    process.stdin.flush()
    kill = threading.Timer(60, process.kill)
    kill.start()
    assert json.loads(process.stdout.read())["parity"]["passed"]
    assert (process.wait(), process.stderr.read()) == (0, b"")
    kill.cancel()
    process.communicate()
