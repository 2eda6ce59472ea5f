"""A headless Chromium, driven over its own pipe: the DevTools protocol, with the standard library alone.

    with Browser("/usr/bin/chromium") as browser:
        page = browser.open(Path("report.html"), width=1280)
        page.evaluate("document.title")
        page.screenshot(Path("report.png"))

Nothing is downloaded and no port is opened. What a page writes to the console, throws or asks the network for is
kept, so that a test can say that there was none.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self


class BrowserError(RuntimeError):
    """Chromium did not do what it was asked."""


class Browser:
    """One Chromium with a profile of its own, which ends with the `with` block.

    Args:
        binary: path of the executable.
        arguments: further arguments.
    """

    def __init__(self, binary: str, *arguments: str) -> None:
        self._profile = tempfile.mkdtemp(prefix="otel-llm-chromium-")
        # The protocol's pipe is file descriptors 3 and 4 of Chromium, so ours must be others.
        to_browser, self._write = map(_high, os.pipe())
        self._read, from_browser = map(_high, os.pipe())
        command = [
            binary,
            "--headless=new",
            "--remote-debugging-pipe",
            f"--user-data-dir={self._profile}",
            "--no-first-run",
            "--no-default-browser-check",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-extensions",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--force-color-profile=srgb",
            "--hide-scrollbars",
            "--mute-audio",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),  # Chromium has no sandbox for root
            *arguments,
            "about:blank",
        ]
        self._process = subprocess.Popen(
            command,
            preexec_fn=lambda: (os.dup2(to_browser, 3), os.dup2(from_browser, 4)),
            pass_fds=(3, 4),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._number = 0
        self._pages: dict[str, Page] = {}
        try:
            self.version: str = self.call("Browser.getVersion")["product"]
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser."""
        if self._process.poll() is None:
            try:
                self.call("Browser.close", timeout_s=5)
                self._process.wait(5)
            except (BrowserError, OSError, subprocess.TimeoutExpired):
                self._process.kill()
        self._process.wait()
        for descriptor in (self._read, self._write):
            os.close(descriptor)
        shutil.rmtree(self._profile, ignore_errors=True)

    def page(self, width: int = 1280, height: int = 800, *, dark: bool = False, scale: float = 1.0) -> Page:
        """Make an empty page.

        Args:
            width: of the viewport in CSS pixels; below 600 it also says that it is a phone.
            height: likewise.
            dark: whether the user prefers dark colours.
            scale: device pixels in a CSS pixel.
        """
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session, target)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.resize(width, height, scale)
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        page.call("Emulation.setEmulatedMedia", features=features)
        return page

    def open(self, path: Path, fragment: str = "", **page: Any) -> Page:
        """Open a file in a page of its own and wait until it has loaded; arguments as of `page`."""
        made = self.page(**page)
        made.go(path.resolve().as_uri() + fragment)
        return made

    # --- the protocol ---------------------------------------------------------------------------------

    def call(self, method: str, session: str | None = None, timeout_s: float = 30.0, **params: Any) -> Any:
        """Call a method and return its result.

        Raises:
            BrowserError: it failed, or the browser is gone.
        """
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        data = memoryview(json.dumps(message).encode() + b"\0")
        while data:
            data = data[os.write(self._write, data) :]
        deadline = time.monotonic() + timeout_s
        while True:
            answer = self._next(deadline, method)
            if answer.get("id") == number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error'].get('message')}")
                return answer["result"]

    def pump(self, seconds: float) -> None:
        """Take in what the browser has to say for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._readable(deadline):
                self._next(time.monotonic() + 10, "the rest of an event")  # what has begun will come

    def _readable(self, deadline: float) -> bool:
        left = max(0.0, deadline - time.monotonic())
        return b"\0" in self._buffer or bool(select.select([self._read], [], [], left)[0])

    def _next(self, deadline: float, waiting_for: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not self._readable(deadline):
                raise BrowserError(f"no answer to {waiting_for}")
            data = os.read(self._read, 1 << 20)
            if not data:
                raise BrowserError(f"Chromium ended while it was asked for {waiting_for}")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        page = self._pages.get(message.get("sessionId", ""))
        if page is not None and "method" in message:
            page._event(message["method"], message["params"])
        return message


def _high(descriptor: int) -> int:
    """Move a file descriptor out of the way of the low numbers."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved


class Page:
    """One page.

    Attributes:
        console: what it wrote to the console, and what Chromium said about it (refused scripts, say).
        errors: exceptions that nothing caught.
        requests: addresses it asked for, its own included.
        dialogs: `alert` and its kin, which were dismissed.
    """

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self.console: list[str] = []
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        self._browser, self._session, self._target = browser, session, target
        self._loaded = False
        self._size = (0, 0, 1.0)

    def call(self, method: str, timeout_s: float = 30.0, **params: Any) -> Any:
        """Call a method of the protocol on this page."""
        return self._browser.call(method, self._session, timeout_s, **params)

    def close(self) -> None:
        """Close it."""
        self._browser.call("Target.closeTarget", targetId=self._target)

    def resize(self, width: int, height: int, scale: float = 1.0) -> None:
        """Give the viewport another size."""
        self._size = (width, height, scale)
        phone = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=phone,
        )

    def go(self, url: str) -> None:
        """Go to an address and wait until it has loaded."""
        self._loaded = False
        self.call("Page.navigate", url=url)
        self.wait(lambda: self._loaded, "the page to load")

    def evaluate(self, expression: str, timeout_s: float = 30.0) -> Any:
        """Return the value of a JavaScript expression; a promise is waited for.

        Raises:
            BrowserError: it threw.
        """
        answer = self.call(
            "Runtime.evaluate", timeout_s, expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def wait(self, condition: Any, what: str = "", timeout_s: float = 20.0) -> Any:
        """Wait until a function, or a JavaScript expression, is true; return its value."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            value = self.evaluate(condition) if isinstance(condition, str) else condition()
            if value:
                return value
            self._browser.pump(0.02)
        raise BrowserError(f"waited {timeout_s} s for {what or condition}")

    def press(self, key: str, *, text: str = "", shift: bool = False) -> None:
        """Press a key, such as `Tab`, `Enter`, `ArrowDown`, or a letter."""
        codes = {
            "Tab": 9,
            "Enter": 13,
            "Escape": 27,
            "ArrowDown": 40,
            "ArrowUp": 38,
            "End": 35,
            "Home": 36,
            " ": 32,
        }
        text = text or {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
        common: dict[str, Any] = {"key": key, "code": key if len(key) > 1 else f"Key{key.upper()}"}
        common |= {
            "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper())),
            "modifiers": 8 if shift else 0,
        }
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        """Type a text into what has the focus."""
        self.call("Input.insertText", text=text)

    def move(self, x: float, y: float) -> None:
        """Move the mouse."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, x: float, y: float) -> None:
        """Click."""
        self.move(x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path: Path | None = None, *, whole: bool = False, clip: Any = None) -> bytes:
        """Take a picture (PNG) of the viewport, of the whole page, or of `(x, y, width, height)` of it."""
        params: dict[str, Any] = {"format": "png"}
        size = self._size
        if whole or clip is not None:
            # A window as tall as the page: capturing beyond the window would show it another size for a moment,
            # to which charts then fit themselves.
            tall = self.call("Page.getLayoutMetrics")["cssContentSize"]["height"]
            self.resize(size[0], max(size[1], int(tall)), size[2])
            self._browser.pump(0.3)
        if clip is not None:
            x, y, width, height = clip
            params["clip"] = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
        data = base64.b64decode(self.call("Page.captureScreenshot", 60.0, **params)["data"])
        self.resize(*size)
        if path is not None:
            path.write_bytes(data)
        return data

    def _event(self, method: str, params: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.consoleAPICalled":
            said = [str(a.get("value", a.get("description", ""))) for a in params["args"]]
            self.console.append(f"{params['type']}: {' '.join(said)}")
        elif method == "Log.entryAdded":
            entry = params["entry"]
            self.console.append(f"{entry['level']}: {entry['text']}")
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(params["message"])
            self._answer_dialog()  # without waiting for the result, inside of an event

    def _answer_dialog(self) -> None:
        self._browser._number += 1
        message = {
            "id": self._browser._number,
            "method": "Page.handleJavaScriptDialog",
            "params": {"accept": False},
            "sessionId": self._session,
        }
        os.write(self._browser._write, json.dumps(message).encode() + b"\0")
