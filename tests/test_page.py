"""The page of `pyrunc plan --html`, in a real browser: what a click lights up."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.cli import page
from pyrunc.oci import parsing, places
from pyrunc.plan import build
from tests.planned import MACHINES, request

CHECKOUT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium")
CONFIG = (CHECKOUT / "examples/hello/config.json").read_text()


class Browser:
    """A headless browser, told what to do through its debugging socket (Chrome DevTools Protocol)."""

    def __init__(self, profile: Path, url: str) -> None:
        """Start it on the page at URL, with files of its own in PROFILE."""
        import websocket

        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--remote-allow-origins=*"]
        words = [str(CHROMIUM), *options, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        address = next(line for line in self.process.stderr if "DevTools listening on" in line).split()[-1]
        host = address.split("/")[2]
        with urllib.request.urlopen(f"http://{host}/json") as answer:
            target = next(each for each in json.load(answer) if each["type"] == "page")
        self.socket = websocket.create_connection(target["webSocketDebuggerUrl"], timeout=30)
        self.number = 0
        self.events: list[str | None] = []
        self.ask("Page.enable")
        self.ask("Page.navigate", url=url)
        while "Page.loadEventFired" not in self.events:
            self.events.append(json.loads(self.socket.recv()).get("method"))

    def ask(self, method: str, **parameters: Any) -> Any:
        """Send METHOD and return its result."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer.get("method"))

    def run(self, script: str) -> Any:
        """Return what expression SCRIPT is in the page."""
        result = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of what SELECTOR finds, as a person would."""
        place = "(e.scrollIntoView({block: 'center'}), e.getBoundingClientRect())"
        box = self.run(f"(e => (b => [b.x + 30, b.y + 8])({place}))(document.querySelector({json.dumps(selector)}))")
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def close(self) -> None:
        """End it."""
        self.socket.close()
        self.process.terminate()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


def rendered(config: str = CONFIG) -> str:
    """Return the page about CONFIG."""
    asked = request(id="box")
    return page.render(build.build(parsing.parse(config.encode()), MACHINES["v2"], asked), config, "hello")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        file = Path(name, "plan.html")
        file.write_text(rendered())
        made = Browser(Path(name, "profile"), file.as_uri())
        try:
            yield made
        finally:
            made.close()


def lit(browser: Browser, what: str) -> list[str]:
    """Return the texts of WHAT is lit."""
    return list(browser.run(f"[...document.querySelectorAll('{what}.lit')].map(each => each.textContent)"))


def line_of(words: str) -> int:
    """Return the number of the line of the configuration that has WORDS."""
    return next(number for number, line in enumerate(CONFIG.split("\n"), 1) if words in line)


def test_a_click_on_a_step_lights_up_its_lines(browser: Browser):
    browser.click('.step[data-at="/hostname"]')
    assert lit(browser, "#config li") == [CONFIG.split("\n")[line_of('"hostname"') - 1]]
    assert [text for text in lit(browser, ".step") if text.startswith("sethostname")]


def test_a_click_on_a_line_lights_up_its_steps(browser: Browser):
    number = line_of('"destination": "/proc"')
    browser.click(f"#config li:nth-child({number})")
    steps = lit(browser, ".step")
    assert any(text.startswith("fsopen") or "fsopen" in text for text in steps)
    assert all("/mounts/1" in text for text in steps)
    assert lit(browser, "#config li") == [CONFIG.split("\n")[number - 1]]


def test_a_line_that_begins_an_object_lights_up_all_of_it(browser: Browser):
    number = line_of('"process": {')
    browser.click(f"#config li:nth-child({number})")
    first, last = places.of(CONFIG)["/process"]
    assert len(lit(browser, "#config li")) == last - first + 1 > 5
    pointers = browser.run("[...document.querySelectorAll('.step.lit')].map(each => each.dataset.at)")
    assert {"/process/cwd", "/process/args/0"} <= set(pointers)


def test_the_keyboard_does_it_too(browser: Browser):
    browser.run("document.querySelector('.step[data-at=\"/process/cwd\"]').focus()")
    for kind in ("keyDown", "keyUp"):
        browser.ask("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    assert any("/process/cwd" in text for text in lit(browser, ".step"))


def test_the_search_shows_what_was_looked_for(browser: Browser):
    browser.run("document.getElementById('search').focus()")
    browser.ask("Input.insertText", text="pivot root")
    shown = browser.run("[...document.querySelectorAll('.step:not(.away)')].map(each => each.textContent)")
    assert shown
    assert all("pivot" in text for text in shown)
    browser.run("(e => { e.value = ''; e.dispatchEvent(new Event('input')) })(document.getElementById('search'))")
    assert browser.run("document.querySelectorAll('.step.away').length") == 0


def test_it_fetches_nothing_and_says_nothing_to_the_console(browser: Browser):
    assert browser.run("performance.getEntriesByType('resource').length") == 0


@pytest.mark.parametrize("width", [360, 1400])
def test_nothing_is_wider_than_the_screen(browser: Browser, width: int):
    browser.ask("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")


def test_what_an_image_says_is_text_and_no_page():
    config = json.loads(CONFIG)
    config["hostname"] = "</script><script>alert(1)</script>"
    config["annotations"] = {"</script>": '"><img src=x>'}
    text = rendered(json.dumps(config, indent=1))
    assert "<script>alert" not in text
    assert "<img" not in text
    assert text.count("</script>") == 2


def test_a_document_in_one_line_is_shown_in_many():
    text = rendered(json.dumps(json.loads(CONFIG)))
    assert text.count('<li tabindex="0">') > 30
