"""A headless Chromium, driven over its debugging pipe (Chrome DevTools Protocol)."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import time

SOON = 20.0  # seconds: an upper bound, on a loaded machine

_FLAGS = [
    "--headless",
    "--no-sandbox",  # as root there is none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--remote-debugging-pipe",
    "--window-size=640,400",
]
# Where the browser looks for its pipes.
_ONTO_3_AND_4 = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def program():
    """Give the browser; None if there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Browser:
    """Open pages, and leave them in every way."""

    def __init__(self, profile):
        asks, commands = os.pipe()
        answers, told = os.pipe()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _ONTO_3_AND_4,
                str(asks),
                str(told),
                program(),
                *_FLAGS,
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            pass_fds=(asks, told),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(asks)
        os.close(told)
        self._commands = os.fdopen(commands, "wb", buffering=0)
        self._answers = os.fdopen(answers, "rb", buffering=0)
        self._seen = b""
        self._numbers = itertools.count(1)

    def call(self, method, session=None, **parameters):
        """Call a method of the protocol; give its result."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters}
        if session is not None:
            command["sessionId"] = session
        self._commands.write(json.dumps(command).encode() + b"\0")
        while True:
            message, found, rest = self._seen.partition(b"\0")
            if not found:
                data = self._answers.read(65536)
                assert data, "the browser has ended"
                self._seen += data
                continue
            self._seen = rest
            answer = json.loads(message)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, url):
        """Open a page in a tab of its own."""
        target = self.call("Target.createTarget", url=url)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, target, session)
        page.wait_for("document.readyState == 'complete' && document.forms.length > 0")
        return page

    def kill(self):
        """End it as a crash does, all its processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, 9)
        self._process.wait(SOON)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self._commands.close()
        self._answers.close()


class Page:
    """A page in a tab."""

    def __init__(self, browser, target, session):
        self._browser = browser
        self._target = target
        self._session = session

    def evaluate(self, script):
        """Run a script in the page; give its value."""
        answer = self._browser.call(
            "Runtime.evaluate", self._session, expression=script, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, script):
        """Wait until a script's value is true."""
        deadline = time.monotonic() + SOON
        while not self.evaluate(script):
            assert time.monotonic() < deadline, (script, self.shown())
            time.sleep(0.01)

    def shown(self):
        """Give the answer and the state that the page shows."""
        texts = "['answer', 'state'].map(id => document.getElementById(id)?.textContent)"
        return tuple(self.evaluate(texts))

    def ask(self, said):
        """Type a question, and press the button."""
        self.evaluate(f"document.forms[0].said.value = {json.dumps(said)}")
        self.evaluate("document.forms[0].querySelector('button').click()")

    def screenshot(self, path):
        """Write what is to be seen into a PNG file."""
        picture = self._browser.call("Page.captureScreenshot", self._session)["data"]
        path.write_bytes(base64.b64decode(picture))

    def close(self):
        """Close the tab."""
        self._browser.call("Target.closeTarget", targetId=self._target)
