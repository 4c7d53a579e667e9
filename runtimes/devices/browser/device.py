"""A headless Chromium on this machine: .onnx in onnxruntime-web, .tflite in LiteRT.js, both in WebAssembly on the CPU.

Every round is a browser of its own, with one page in a fresh profile. See ``docs/browser.md``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from onenet.base.text import one_line
from onenet.errors import RequestError, ToolError
from onenet.runtimes.agent import machine
from onenet.runtimes.agent.content import TIMED, make_content
from onenet.runtimes.agent.program import watch_state
from onenet.runtimes.agent.records import Caution, DeviceInfo, Interpreter
from onenet.runtimes.devices import Device, Examination, Finding, Job
from onenet.runtimes.devices.browser import host, packages
from onenet.runtimes.devices.browser.session import RUNTIMES, BrowserSession, counted

INSTALL_CHROMIUM = "sudo apt install chromium, or name one that is elsewhere: browser:/path/of/chromium"


class Browser(Device):
    """A headless Chromium on this machine.

    Args:
        path: of the program; "" for the first one on PATH.
    """

    def __init__(self, path: str) -> None:
        super().__init__("browser", path)
        self.path = path

    def measure(self, job: Job) -> dict[str, object]:
        check_job(job)
        session = BrowserSession(job, self.ready())
        start, busy = time.monotonic(), machine.busy_percent()
        device, states = self.info(session.program), [machine.state(start)]
        with watch_state(states, start):
            rows = session.measure()
        states.append(machine.state(start))
        rows[0] = replace(rows[0], states=states)
        cautions = machine.cautions(device, states[0], states[-1], busy)
        runtime = session.runtime
        if job.plan.profile:
            cautions.append(Caution("no-profile", f"{runtime.name} does not say how long its operators take"))
        kernels = f"{runtime.kernels}, {counted(*(row.threads for row in rows))}"
        interpreter = Interpreter(runtime.name, runtime.version, kernels)
        timed = f"{TIMED}; by performance.now(), in steps of {session.resolution_ms:g} ms"
        content = make_content(job.artifact, device, interpreter, session.parity, job.plan, rows, cautions, timed=timed)
        return content.as_dict()

    def ready(self) -> str:
        """The program to start.

        Raises:
            ToolError: it, or what the page needs, is not there.
        """
        program = host.find(self.path)
        if program is None:
            raise ToolError(f"no Chromium is on PATH ({', '.join(host.NAMES)}); {INSTALL_CHROMIUM}")
        if packages.missing():
            names = ", ".join(f"{each.name} {each.version}" for each in packages.missing())
            raise ToolError(f"{names} missing in {packages.cache()}; {self.setup_command}")
        return program

    @property
    def setup_command(self) -> str:
        """Installs what is missing."""
        return f"onenet doctor --device {self.name} --setup"

    def info(self, program: str | None) -> DeviceInfo:
        """This machine, with the browser as its system."""
        own = machine.identity(self.name, self.kind)
        return own if program is None else replace(own, system=f"{host.version(program)}, {own.system}", python=None, libc=None)

    def examine(self) -> Examination:
        program, npm = host.find(self.path), packages.npm()
        if program is None:
            browser = Finding("Chromium", "not on PATH", False, INSTALL_CHROMIUM)
        else:
            browser = Finding("Chromium", f"{host.version(program)} ({program})")
        missing = packages.missing()
        lines = [
            Finding(each.name, f"{each.version} missing", False, self.setup_command)
            if each in missing
            else Finding(each.name, f"{each.version} ({each.folder})")
            for each in packages.PACKAGES
        ]
        needed = Finding("npm", npm or "not on PATH", npm is not None, "" if npm else packages.INSTALL_NPM)
        return Examination(self.info(None), (browser, *([needed] if missing else []), *lines))

    def set_up(self, say: Callable[[str], None]) -> None:
        packages.install(say)

    def clean(self) -> None:
        packages.remove()


def check_job(job: Job) -> None:
    """
    Raises:
        RequestError: the browser cannot be asked this.
    """
    if job.artifact.suffix not in RUNTIMES:
        supported = ", ".join(f"{suffix} ({runtime.name})" for suffix, runtime in RUNTIMES.items())
        raise RequestError(f"{one_line(job.artifact.name)} cannot be measured in a browser; supported: {supported}")
    if job.plan.cores:
        raise RequestError("a browser cannot be bound to cores; leave --cores out")
