"""The report in a real browser, driven through chromedriver: it fits phones and desks, and asks for nothing."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.measured import measurement
from tests.unit.runtimes.report.pages import beside, hostile, rich

pytest.importorskip("jinja2")

PROGRAMS = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
MISSING = [name for name, path in PROGRAMS.items() if path is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not on PATH: apt install chromium-driver")

FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
OFFLINE = "--disable-component-update --disable-sync --disable-default-apps --metrics-recording-only --hide-scrollbars"
WIDER = """
const page = document.documentElement, wide = page.scrollWidth > innerWidth;
const scrolls = each => each && (getComputedStyle(each).overflowX != 'visible' || scrolls(each.parentElement));
const out = [...document.querySelectorAll('body *')].filter(each => {
  const box = each.getBoundingClientRect();
  return box.width > 1 && box.right > innerWidth + 1 && !scrolls(each.parentElement);
});
return [wide, out.map(each => each.tagName + ' ' + each.className).slice(0, 5)];
"""
CONTRAST = """
const parse = text => (text.match(/[0-9.]+/g) || []).map(Number);
const linear = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const behind = each => {
  for (; each; each = each.parentElement) {
    const colour = parse(getComputedStyle(each).backgroundColor);
    if (colour.length == 3 || colour[3] == 1) return colour;
  }
  return [255, 255, 255];
};
const worst = {};
for (const each of document.querySelectorAll('body *')) {
  const own = [...each.childNodes].some(node => node.nodeType == 3 && node.textContent.trim());
  if (!own || each.closest('script, title, [aria-hidden]') || !each.getClientRects().length) continue;
  const style = getComputedStyle(each), colour = each.namespaceURI.endsWith('svg') ? style.fill : style.color;
  const [a, b] = [light(parse(colour)), light(behind(each))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) worst[each.tagName + ' ' + (each.getAttribute('class') || '')] = ratio;
}
return worst;
"""
"""WCAG 2.1, success criterion 1.4.3, on every element that holds text."""


class Browser:
    """A session of the W3C WebDriver protocol (https://www.w3.org/TR/webdriver2/)."""

    def __init__(self, server: str) -> None:
        options = {"args": [*FLAGS.split(), *OFFLINE.split()], "binary": PROGRAMS["chromium"]}
        logs = {"browser": "ALL", "performance": "ALL"}
        asked = {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logs}}
        self.session = server
        self.session += f"/session/{self.call('/session', {'capabilities': asked})['sessionId']}"

    def call(self, path: str, body: dict[str, Any] | None = None, method: str = "POST") -> Any:
        data = None if method == "DELETE" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self.session + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def open(self, page: Path, width: int, scheme: str = "light") -> None:
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.devtools("Emulation.setDeviceMetricsOverride", **metrics)
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.logs()
        self.call("/url", {"url": page.as_uri()})

    def devtools(self, command: str, **parameters: Any) -> Any:
        return self.call("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def evaluate(self, script: str) -> Any:
        return self.call("/execute/sync", {"script": script, "args": []})

    def logs(self) -> tuple[list[str], list[str]]:
        """What the console said, and the addresses that were asked for, since the last call."""
        said = [each["message"] for each in self.call("/se/log", {"type": "browser"})]
        events = [json.loads(each["message"])["message"] for each in self.call("/se/log", {"type": "performance"})]
        asked = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
        return said, asked


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("chromedriver")
    with (folder / "log").open("wb") as log:
        command = [str(PROGRAMS["chromedriver"]), "--port=0"]
        driver = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, env={"HOME": str(folder), "PATH": "/usr/bin:/bin"}
        )
    assert driver.stdout is not None
    try:
        port = next(line.split()[-1].rstrip(b".") for line in driver.stdout if b"started successfully on port" in line)
        opened = Browser(f"http://127.0.0.1:{port.decode()}")
        try:
            yield opened
        finally:
            opened.call("", method="DELETE")
    finally:
        driver.terminate()
        driver.wait(timeout=20)
        driver.stdout.close()


@pytest.fixture(scope="module", params=["rich", "hostile"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from onenet.runtimes.report import extras
    from onenet.runtimes.report.page import Report, render

    folder = tmp_path_factory.mktemp(request.param)
    report = hostile() if request.param == "hostile" else rich()
    if request.param == "rich":
        report = Report(report.documents, report.gates, extras.find(beside(folder / "artifacts"), [measurement()]))
    (folder / "report.html").write_text(render(report), encoding="utf-8")
    return folder / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1440])
def test_the_page_fits_and_is_silent(browser: Browser, page: Path, width: int, scheme: str) -> None:
    browser.open(page, width, scheme)
    assert browser.evaluate("return innerWidth") == width
    assert browser.evaluate(WIDER) == [False, []]
    said, asked = browser.logs()
    assert said == []
    assert [each for each in asked if not each.startswith(("data:", page.as_uri()))] == []
    assert page.stat().st_size < 2_000_000
    background = browser.evaluate("return getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, background.strip("rgb()").split(","))) < 60) == (scheme == "dark")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_told_from_what_is_behind_it(browser: Browser, page: Path, scheme: str) -> None:
    browser.open(page, 1440, scheme)
    assert browser.evaluate(CONTRAST) == {}


def test_pictures_are_shown(browser: Browser, page: Path) -> None:
    browser.open(page, 1440)
    widths = browser.evaluate("return [...document.images].map(each => each.naturalWidth)")
    assert widths == ([30] if page.parent.name.startswith("rich") else [])


def test_nothing_that_a_document_holds_is_run(browser: Browser, page: Path) -> None:
    browser.open(page, 1440)
    with pytest.raises(urllib.error.HTTPError):  # no such alert
        browser.call("/alert/text", method="GET")
    assert browser.evaluate("return document.scripts.length") == 0


def test_it_prints_on_paper(browser: Browser, page: Path) -> None:
    """On A4 across, as its style sheet asks, with the parts open that the screen shows on demand."""
    browser.open(page, 1440, "dark")
    pdf = base64.b64decode(browser.devtools("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"])
    assert pdf.startswith(b"%PDF")
    assert 1 <= pdf.count(b"/Type /Page\n") <= 30
    assert b"/MediaBox [0 0 842" in pdf or b"/MediaBox [0 0 841" in pdf
