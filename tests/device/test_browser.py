"""The browser as a device: a real headless Chromium that runs what npm brings, and programs that only pretend to be one."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import onenet
from onenet.base import process
from onenet.base.quiet import quiet
from onenet.errors import RequestError, ToolError
from onenet.runtimes.agent.content import golden_inputs
from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.devices import Job, open_device
from onenet.runtimes.devices.browser import device as browser_device
from onenet.runtimes.devices.browser import host as browser_host
from onenet.runtimes.devices.browser import session
from onenet.runtimes.measure import document
from tests.conftest import HEED_CTRL_C
from tests.device import tiny
from tests.device.chromium import CACHE, reason_against

ONCE = Plan(threads=(1,), runs=3, seconds=0, rounds=1, warmup_runs=1, warmup_seconds=0, timeout=60)
LONG = Plan(threads=(1,), runs=1, seconds=60, rounds=1, timeout=100)
FOUND_IN_PROC = pytest.mark.skipif(sys.platform != "linux", reason="finds Chromium's processes in /proc")


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(CACHE))


@pytest.fixture
def browser() -> browser_device.Browser:
    if reason := reason_against():
        pytest.skip(reason)
    device = open_device("browser")
    assert isinstance(device, browser_device.Browser)
    return device


class Groups(set[Any]):
    """In the place of ``process.RUNNING``: remembers the process groups of all that is started."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = set[int]()

    def add(self, process: Any) -> None:
        self.seen.add(process.pid)
        super().add(process)

    def alive(self) -> dict[int, bytes]:
        """Number and command line of every process in them."""
        return {number: command for number, command in processes() if group_of(number) in self.seen}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Groups]:
    """What a test starts; nothing of it may outlive the test."""
    groups = Groups()
    monkeypatch.setattr(process, "RUNNING", groups)
    yield groups
    soon(lambda: not groups.alive(), 10)
    assert not groups.alive()


def processes() -> Iterator[tuple[int, bytes]]:
    """Those that have not ended; a zombie has no command line."""
    for each in Path("/proc").glob("[0-9]*"):
        if command := read(each / "cmdline"):
            yield int(each.name), command


def group_of(number: int) -> int | None:
    try:
        return os.getpgid(number)
    except ProcessLookupError:
        return None


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def soon(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """What ``condition`` gives when it first gives something, or after ``seconds``."""
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def measured(device: Any, artifact: Path, plan: Plan) -> document.Measurement:
    content = device.measure(Job(artifact, plan))
    return document.validate({**content, "measured": document.now()}, "the browser's answer")


# What it is for.


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize(("target", "runtime"), [("onnx", "onnxruntime-web"), ("tflite", "litertjs")])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_right_values_with_one_thread_and_two(
    browser: browser_device.Browser, target: str, runtime: str, precision: str
) -> None:
    rounds = 2 if precision == "fp32" else 1
    plan = Plan(threads=(1, 2), runs=4, seconds=0, rounds=rounds, warmup_runs=2, warmup_seconds=0)
    found = measured(browser, tiny.artifact(target, precision), plan)
    assert found.parity.passed and found.parity.where == "host" and found.parity.checks
    assert (found.runtime.name, found.artifact.precision) == (runtime, precision)
    assert found.runtime.kernels.startswith("wasm") and found.runtime.kernels.endswith("1 and 2 threads")
    assert [row.threads for row in found.rows] == [1, 2]
    for row in found.rows:
        assert [(len(each.samples_ms), each.warmup_runs) for each in row.rounds] == [(4, 2)] * rounds
        assert row.load_ms > 0 and row.first_ms > 0 and row.peak_bytes and row.peak_bytes >= 1 << 20
    assert len(found.rows[0].states) >= 2
    assert "steps of 0.005 ms" in found.timed, "the page is not isolated: no threads, and a coarse clock"
    assert "Chrom" in found.device.system and found.device.kind == "browser"


def test_wrong_values_are_noticed(browser: browser_device.Browser, tmp_path: Path) -> None:
    model = onnx.load(tiny.artifact("onnx", "fp32"))
    weight = max(model.graph.initializer, key=lambda each: len(each.raw_data))
    weight.CopyFrom(onnx.numpy_helper.from_array(np.float32(0.5) * onnx.numpy_helper.to_array(weight), weight.name))
    onnx.save(model, tmp_path / "wrong.onnx")
    found = measured(browser, tmp_path / "wrong.onnx", ONCE)
    assert not found.parity.passed and "relative difference" in found.parity.checks[0].detail


def test_minutes_without_pause_and_no_profile(browser: browser_device.Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MINUTE_MS", 300.0)
    plan = Plan(threads=(1,), runs=3, seconds=0, rounds=1, warmup_runs=0, warmup_seconds=0, sustained_minutes=2.5, profile=True)
    found = measured(browser, tiny.artifact("tflite", "fp32"), plan)
    sustained = found.rows[0].sustained
    assert sustained and [each.minute for each in sustained.minutes] == [1, 2, 3]
    assert all(each.p50_ms <= each.p90_ms <= each.p99_ms and each.n > 1 for each in sustained.minutes)
    assert "no-profile" in [each.name for each in found.warnings]


RULES = """<script type="module">
import {figure, quantile, sample, sustain, warmUp} from "./timing.js";
let clock = 0;
performance.now = () => clock;
const step = {warmup_runs: 3, warmup_seconds: 0.5, runs: 30, seconds: 1, most_samples: 100};
const lasting = (...times) => async () => { clock += times.length > 1 ? times.shift() : times[0]; };
const answer = [
  await warmUp(lasting(100), step),  // 3 x 0.5 s
  await warmUp(lasting(400, 400, 400, 300, 300, 200, 200, 200), step),  // 3 + 2 + 3 + 3 + 3: faster twice
  await warmUp(lasting(1), {...step, most_samples: 40}),
  await warmUp(lasting(1), {...step, warmup_seconds: 0}),
  (await sample(lasting(10), step)).length,  // by seconds
  (await sample(lasting(100), step)).length,  // by runs
  (await sample(lasting(1), step)).length,  // no more than the most
  await sustain(lasting(10, 20, 40), {sustained_minutes: 2.5, minute_ms: 400}),
  [0.5, 0.9, 0.99].map((share) => figure(quantile(VALUES, share))),
];
await fetch("answer", {method: "POST", body: JSON.stringify(answer)});
</script>"""


def test_rules_of_sampling(browser: browser_device.Browser, tmp_path: Path) -> None:
    """By a clock that only moves when something runs: how often, and for how long."""
    values = np.random.default_rng(0).exponential(size=37)
    page = tmp_path / "page.html"
    page.write_text(RULES.replace("VALUES", str(sorted(values.tolist()))))
    files = {"": page, "timing.js": session.PAGE / "timing.js"}
    found, _ = browser_host.answer(files, browser.ready(), largest={"answer": 1 << 16}, seconds=30)
    *counts, minutes, percentiles = found
    assert counts == [15, 14, 40, 3, 100, 30, 100]
    assert [(each["minute"], each["n"]) for each in minutes] == [(1, 12), (2, 10), (3, 5)]
    assert [each["p50_ms"] for each in minutes] == [40, 40, 40]
    assert percentiles == pytest.approx(np.percentile(values, (50, 90, 99)), abs=1e-6)


# What it cannot be asked.


def test_int8_ends(browser: browser_device.Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime-web takes int8 tensors, LiteRT.js does not; where it does one day, this test says so."""
    made = {}
    for target in ("onnx", "tflite"):
        with quiet():
            exported = onenet.export(tiny.quantized(), target=target, precision="int8", io="int8", out=tmp_path)  # type: ignore[operator]
        made[target] = Path(exported.path)
    assert measured(browser, made["onnx"], ONCE).parity.passed
    with pytest.raises(RequestError, match=r"is int8, which litertjs does not take or give; .*--io float"):
        browser.measure(Job(made["tflite"], ONCE))
    monkeypatch.setattr(session, "check_dtype", lambda *_: None)
    with pytest.raises(ToolError, match="INT8 is not supported"):
        browser.measure(Job(made["tflite"], ONCE))


def test_requests_that_are_refused(tmp_path: Path) -> None:
    device = open_device("browser")
    with pytest.raises(RequestError, match=r"x\.mlpackage cannot be measured in a browser; supported: \.onnx .*\.tflite"):
        device.measure(Job(tmp_path / "x.mlpackage"))
    with pytest.raises(RequestError, match="cannot be bound to cores"):
        device.measure(Job(tmp_path / "x.onnx", Plan(cores=(0,))))
    with pytest.raises(RequestError, match=r"nowhere.*names no program; write browser:/path"):
        open_device("browser:/nowhere/chromium")


# What may go wrong. The fixture ``started`` asserts that nothing is left running.


def test_no_chromium_and_no_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(tiny.artifact("onnx", "fp32"), ONCE)
    device = open_device("browser")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ToolError, match=r"no Chromium is on PATH .*apt install chromium"):
        device.measure(job)
    found = {each.what: each for each in device.examine().findings}
    assert not found["Chromium"].good and not found["npm"].good and "apt install" in found["npm"].remedy
    assert found["onnxruntime-web"].remedy == "onenet doctor --device browser --setup"
    with pytest.raises(ToolError, match="npm is not on PATH"):
        device.set_up(print)
    pretend(tmp_path / "chromium", "")
    with pytest.raises(ToolError, match=r"onnxruntime-web 1\.30\.0, .*; onenet doctor --device browser --setup"):
        device.measure(job)


def test_packages_come_whole_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, browser: browser_device.Browser) -> None:
    """A program that stands in for npm brings archives that are damaged, then none, then fails."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    pretend(tmp_path / "npm", "open(os.path.join(sys.argv[5], 'onnxruntime-web-1.30.0.tgz'), 'w').write('no archive')")
    with pytest.raises(ToolError, match=r"npm brought another onnxruntime-web .*SHA-512 .* expected"):
        browser.set_up(print)
    pretend(tmp_path / "npm", "")
    with pytest.raises(ToolError, match="npm brought no whole onnxruntime-web"):
        browser.set_up(print)
    pretend(tmp_path / "npm", "sys.exit('network unreachable')")
    with pytest.raises(ToolError, match=r"npm cannot bring .*\(exit code 1\): network unreachable"):
        browser.set_up(print)
    assert not list((tmp_path / "cache/onenet/browser").iterdir())
    shutil.copytree(CACHE / "onenet", tmp_path / "cache/onenet", dirs_exist_ok=True)
    said: list[str] = []
    browser.set_up(said.append)
    assert said == [f"nothing is missing in {tmp_path / 'cache/onenet/browser'}"] and browser.examine().healthy
    browser.clean()
    assert not (tmp_path / "cache/onenet/browser").exists() and not browser.examine().healthy
    browser.clean()


@pytest.mark.usefixtures("started")
def test_model_that_does_not_load(browser: browser_device.Browser, tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(tiny.artifact("onnx", "fp32").read_bytes().replace(b"Conv", b"Cunv"))
    with pytest.raises(ToolError, match=r"onnxruntime-web 1\.30\.0 and bad\.onnx: cannot load it: .*Cunv") as caught:
        browser.measure(Job(bad, ONCE))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("started")
def test_names_reach_no_address_and_no_shell(browser: browser_device.Browser, tmp_path: Path) -> None:
    path = tmp_path / "; touch pwned $(touch pwned)\n'\"..%2f&<b>?#.onnx"
    shutil.copy(tiny.artifact("onnx", "fp32"), path)
    assert measured(browser, path, ONCE).parity.passed
    assert [each.name for each in tmp_path.iterdir()] == [path.name] and not Path("pwned").exists()
    path.write_bytes(path.read_bytes().replace(b"Conv", b"Cunv"))
    with pytest.raises(ToolError) as caught:
        browser.measure(Job(path, ONCE))
    assert str(caught.value).isprintable()


@pytest.mark.usefixtures("started")
def test_model_that_takes_too_long(browser: browser_device.Browser) -> None:
    with pytest.raises(ToolError, match="cannot run it: it took over 2 s in all; a larger --timeout waits longer"):
        browser.measure(Job(tiny.artifact("tflite", "fp32"), Plan(threads=(1,), seconds=60, rounds=1, timeout=2)))


@pytest.mark.usefixtures("started")
def test_model_that_hangs(browser: browser_device.Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In WebAssembly, where no script of the page runs any more: the host's own limit."""
    monkeypatch.setattr(browser_host, "GRACE", 0.0)
    model = onnx.load(tiny.artifact("onnx", "fp32"))
    model.graph.node.insert(0, endless("zero", "forever"))
    model.graph.node.insert(1, onnx.helper.make_node("Add", ["image", "forever"], ["late"]))
    for node in list(model.graph.node)[2:]:
        node.input[:] = ["late" if name == "image" else name for name in node.input]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1, np.float32), "zero"))
    onnx.save(model, tmp_path / "endless.onnx")
    with pytest.raises(
        ToolError, match=r"gave no answer within [0-3] s and was closed; a larger --timeout waits longer"
    ):  # what is left of 3
        browser.measure(Job(tmp_path / "endless.onnx", Plan(threads=(1,), rounds=1, timeout=3)))


def endless(given: str, result: str) -> onnx.NodeProto:
    """A loop of 2⁶³ - 1 turns."""

    def value(name: str, kind: int, shape: list[int]) -> onnx.ValueInfoProto:
        return onnx.helper.make_tensor_value_info(name, kind, shape)

    number, truth, real = onnx.TensorProto.INT64, onnx.TensorProto.BOOL, onnx.TensorProto.FLOAT
    body = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", [f"{each}_in"], [f"{each}_out"]) for each in ("go", "value")],
        "body",
        [value("turn", number, []), value("go_in", truth, []), value("value_in", real, [1])],
        [value("go_out", truth, []), value("value_out", real, [1])],
    )
    return onnx.helper.make_node("Loop", ["", "", given], [result], body=body)


@FOUND_IN_PROC
@pytest.mark.parametrize(
    ("is_victim", "message"),
    [
        (lambda command: b"--type=" not in command, "was ended by SIGKILL"),
        (lambda command: b"--type=renderer" in command, "lost its page"),
    ],
    ids=["browser", "page"],
)
def test_death_in_the_middle(
    browser: browser_device.Browser, started: Groups, is_victim: Callable[[bytes], bool], message: str
) -> None:
    """Of the browser, and of the process that computes, as where memory runs out."""

    def strike() -> None:
        soon(lambda: any(b"--type=renderer" in command for command in started.alive().values()))
        time.sleep(1)
        for number in [number for number, command in started.alive().items() if is_victim(command)]:
            os.kill(number, signal.SIGKILL)

    striker = threading.Thread(target=strike)
    striker.start()
    try:
        with pytest.raises(ToolError, match=message):
            browser.measure(Job(tiny.artifact("onnx", "fp32"), LONG))
    finally:
        striker.join()


@FOUND_IN_PROC
@pytest.mark.usefixtures("browser")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_end_of_this_program(started: Groups, number: signal.Signals) -> None:
    """Ctrl-C, and an end that nothing can be done at: Chromium ends by itself then."""
    program = (
        HEED_CTRL_C + "import sys; from pathlib import Path; from onenet.runtimes.devices import Job, open_device\n"
        "from onenet.runtimes.agent.plan import Plan\n"
        f"open_device('browser').measure(Job(Path(sys.argv[1]), {LONG!r}))"
    )
    command = [sys.executable, "-c", program, str(tiny.artifact("onnx", "fp32"))]
    # Its profile makes it known. Not in tmp_path, whose name is too long for Chromium's socket.
    with tempfile.TemporaryDirectory(prefix="o-", ignore_cleanup_errors=True) as folder:

        def chromium() -> list[int]:
            return [number for number, command in processes() if f"--user-data-dir={folder}".encode() in command]

        environment = {**os.environ, "TMPDIR": folder}
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as child:
            for number_of_process in soon(chromium):
                with contextlib.suppress(ProcessLookupError):  # some of its processes are short
                    started.seen.add(os.getpgid(number_of_process))
            assert soon(lambda: any(b"--type=renderer" in command for command in started.alive().values()))
            time.sleep(1)
            child.send_signal(number)
            assert child.wait(20) != 0
        soon(lambda: not started.alive(), 10)
        assert not started.alive()
        assert number == signal.SIGKILL or not list(Path(folder).iterdir()), "its profile is left"


GARBAGE = {
    "not a word": ("time.sleep(60)", "gave no answer within 1 s and was closed"),
    "an early end": ("sys.exit('no display')", "ended with exit code 1: no display"),
    "no JSON": ("post(b'<html>')", "answered with no JSON"),
    "another JSON": ("post(b'[1]')", "gave no measurement"),
    "half of one": ("post(b'{\"load_ms\": -1}')", "gave no measurement"),
    "deep": ("post(b'[' * 100000)", "answered with no JSON"),
    "too much": ("post(b'', 10**12)", "sent an answer of 1000000000000 bytes; at most"),
    "without end": ("post(b'', None); [say(b'x' * 65536) for _ in range(10**6)]", "sent an answer of unknown length"),
    "a pause": ("post(b'{', 2); time.sleep(60)", "gave no answer within 1 s"),
    "no tensors": ("post(json.dumps(MEASURED).encode())", "the device gave nothing for logits"),
    "half a tensor": (
        "post(b'abc', name='output0'); post(json.dumps(MEASURED).encode())",
        "the device gave 3 bytes for logits",
    ),
    "too large a tensor": ("post(b'', 10**6, 'output0')", "sent an answer of 1000000 bytes; at most"),
}
"""What a program that is no Chromium does with the address it is given -> the error."""


@pytest.mark.usefixtures("browser", "started")
@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    action, message = GARBAGE[kind]
    monkeypatch.setattr(browser_host, "GRACE", 0.0)
    pretend(tmp_path / "chromium", action)
    plan = Plan(threads=(1,), rounds=1, timeout=1)
    with pytest.raises(ToolError, match=message):
        open_device(f"browser:{tmp_path}/chromium").measure(Job(tiny.artifact("onnx", "fp32"), plan))


def pretend(path: Path, action: str) -> None:
    """A program in the place of another one. ``post`` sends an answer to the host; ``--version`` works."""
    path.write_text(
        f"""#!{sys.executable}
import json, os, socket, sys, time
MEASURED = dict(load_ms=1, first_ms=1, warmup_runs=1, samples_ms=[1], resolution_ms=1)
from urllib.parse import urlsplit
if "--version" in sys.argv:
    sys.exit(print("Pretender 1.0"))
def post(body, length=..., name="answer"):
    global say
    address = urlsplit(sys.argv[-1])
    connection = socket.create_connection((address.hostname, address.port))
    say = connection.sendall
    size = len(body) if length is ... else length
    header = "" if size is None else f"Content-Length: {{size}}\\r\\n"
    say(f"POST {{address.path}}{{name}} HTTP/1.0\\r\\n{{header}}\\r\\n".encode() + body)
    connection.recv(100) if length is ... else None
{action}
"""
    )
    path.chmod(0o755)


# The server.


def test_only_the_files_that_are_listed(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("page")
    (tmp_path / "secret").write_text("secret")
    with browser_host.serving({"": tmp_path / "page.html", "data": b"\1\2"}, {"answer": 100, "output0": 10}) as server:
        token = server.prefix

        def get(path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes, http.client.HTTPMessage]:
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
            try:
                connection.putrequest(method, path, skip_accept_encoding=True)
                if body is not None:
                    connection.putheader("Content-Length", str(len(body)))
                connection.endheaders(body)
                answer = connection.getresponse()
                return answer.status, answer.read(), answer.headers
            finally:
                connection.close()

        status, body, headers = get(token)
        assert (status, body, headers["Content-Type"]) == (200, b"page", "text/html")
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert get(f"{token}data")[:2] == (200, b"\1\2")
        below = ("secret", "../secret", "%2e%2e/secret", "..", "/data", "data/", "data?x", "answer")
        for path in ("/", "/data", "//", f"{token[:-2]}/data", token.upper() + "data", *(token + each for each in below)):
            assert get(path)[0] == 404, path
        assert get("/answer", "POST", b"{}")[0] == get(f"{token}data", "POST", b"{}")[0] == 404
        assert server.answers.empty()
        assert get(f"{token}output0", "POST", b"\1")[0] == 204 and server.taken == {"output0": b"\1"} and server.answers.empty()
        assert get(f"{token}output0", "POST", bytes(11))[0] == 413 and "11 bytes; at most 10" in str(
            server.answers.get(timeout=5)
        )
        assert get(f"{token}answer", "POST", b"{}")[0] == 204 and server.answers.get(timeout=5) == b"{}"
        assert get(f"{token}answer", "POST", b"x" * 101)[0] == 413
        assert server.server_address[0] == "127.0.0.1"


@pytest.mark.usefixtures("browser")
def test_the_page_is_given_the_golden_input() -> None:
    path = tiny.artifact("tflite", "fp32")
    page = session.BrowserSession(Job(path, ONCE), "chromium")
    files = page.files({})
    (golden,) = golden_inputs(path).values()
    assert np.array_equal(np.frombuffer(files["input0"], "<f4").reshape(golden.shape), golden)  # type: ignore[arg-type]
    assert files["artifact"] == path.read_bytes()
