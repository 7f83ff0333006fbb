"""Headless Chromium for tests, by the DevTools protocol over a pair of pipes: no port, no package.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATIENCE = 20
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PAINTED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
#: The middle of the first line of an element, once that is on the screen.
_MIDDLE = """
new Promise(done => {
  const element = %s;
  element.scrollIntoView({block: "center"});
  requestAnimationFrame(() => requestAnimationFrame(() => {
    const box = element.getClientRects()[0];
    done([box.x + box.width / 2, box.y + box.height / 2]);
  }));
})
"""


def program() -> str | None:
    """Return the browser that is installed; None if there is none."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Page:
    """A page of the browser, and what happened in it.

    Attributes:
        requests: the addresses that were requested, without the page's own.
        problems: errors and warnings of the console, exceptions, and violations of the policy.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.requests: list[str] = []
        self.problems: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")

    def open(self, url: str) -> float:
        """Open an address, and return the seconds until it was loaded."""
        self._load("about:blank")  # what the page before it did ends
        self.requests.clear()
        self.problems.clear()
        began = time.monotonic()
        self._load(url)
        self.evaluate(_PAINTED)
        return time.monotonic() - began

    def _load(self, url: str) -> None:
        self._loaded = False
        self._call("Page.navigate", url=url)
        while not self._loaded:
            self._receive(time.monotonic() + PATIENCE)

    def evaluate(self, expression: str) -> Any:
        """Return what an expression of JavaScript gives, once it is there."""
        done = self._call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True,
            userGesture=True,
        )  # fmt: skip
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def until(self, expression: str, seconds: float = PATIENCE) -> Any:
        """Wait until an expression is true, and return its value; of an element, true."""
        deadline = time.monotonic() + seconds
        plain = f"Promise.resolve({expression}).then(v => v instanceof Node ? true : v)"
        while not (value := self.evaluate(plain)):
            assert time.monotonic() < deadline, f"never true: {expression}"
            time.sleep(0.02)
        return value

    def key(self, key: str, modifiers: int = 0) -> None:
        """Press and release a key."""
        text = {"text": key} if len(key) == 1 else {}
        code = {" ": "Space", "/": "Slash"}.get(key, f"Key{key.upper()}" if len(key) == 1 else key)
        both = {"key": key, "code": code, "modifiers": modifiers}
        self._call("Input.dispatchKeyEvent", type="keyDown", **both, **text)
        self._call("Input.dispatchKeyEvent", type="keyUp", **both)

    def write(self, text: str) -> None:
        """Write a text where the focus is."""
        self._call("Input.insertText", text=text)

    def click(self, expression: str) -> None:
        """Click the middle of the element that an expression gives, with the mouse."""
        x, y = self.evaluate(_MIDDLE % expression)
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def emulate(self, width: int, height: int, scheme: str = "light") -> None:
        """Set the size of the window, and whether it is dark or light."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path) -> None:
        """Save what is on the screen as PNG."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            left = max(0.0, deadline - time.monotonic())
            assert select.select([self._answers], [], [], left)[0], "Chromium does not answer"
            chunk = os.read(self._answers, 1 << 20)
            assert chunk, "Chromium has ended"
            self._buffer += chunk
        first, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, event: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent" and event.get("type") != "Document":
            self.requests.append(event["request"]["url"])
        elif method == "Runtime.consoleAPICalled":
            self.problems.append(f"{event['type']}: {event['args']}")
        elif method == "Runtime.exceptionThrown":
            self.problems.append(str(event["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.problems.append(f"{event['entry']['level']}: {event['entry']['text']}")


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """Start the browser; nothing of it is left at the end.

    Args:
        profile: a folder for its files.
    """
    chosen = program()
    assert chosen is not None
    to_browser, commands = os.pipe()
    answers, from_browser = os.pipe()
    options = [
        "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--no-first-run",
        "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio",
        "--autoplay-policy=no-user-gesture-required", "--disable-background-networking",
        "--disable-component-update", f"--user-data-dir={profile}",
    ]  # fmt: skip
    # The browser reads commands from descriptor 3, and writes answers to 4.
    shell = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
    process = subprocess.Popen(
        ["bash", "-c", shell, "bash", chosen, *options],
        pass_fds=(to_browser, from_browser),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(profile)},
    )  # fmt: skip
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Page(commands, answers)
    finally:
        os.close(commands)  # ends the browser
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(answers)
