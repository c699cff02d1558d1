"""A headless Chromium, driven over pipes through its DevTools protocol (chromedevtools.github.io/devtools-protocol).

python tests/browser.py demo/report.html docs/report.png        a screenshot of the top of a page
"""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path


class Browser:
    """Opens pages and runs scripts in them; the pages' errors are collected in `errors`."""

    def __init__(self):
        self.errors, self.number = [], 0

    def __enter__(self):
        program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        assert program, "no Chromium is installed"
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # Chromium may still be writing to it
        read_commands, self.commands = os.pipe()
        self.answers, write_answers = os.pipe()

        def as_third_and_fourth():
            for end, number in ((os.dup(read_commands), 3), (os.dup(write_answers), 4)):
                os.dup2(end, number)

        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={self.profile.name}"]
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(
            [program, *flags], preexec_fn=as_third_and_fourth, close_fds=False, start_new_session=True, **streams
        )
        os.close(read_commands)
        os.close(write_answers)
        self.reader, self.session = os.fdopen(self.answers, "rb"), None
        page = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGKILL)  # all of its processes
        self.process.wait()
        self.reader.close()
        os.close(self.commands)
        self.profile.cleanup()

    def send(self, method, **params):
        """Send a command and return its result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params} | ({"sessionId": self.session} if self.session else {})
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while (answer := self.receive()).get("id") != self.number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def receive(self):
        """The next message; one that reports an error is also kept in `errors`."""
        content = bytearray()
        while (byte := self.reader.read(1)) not in (b"\0", b""):
            content += byte
        message = json.loads(content)
        method, params = message.get("method", ""), message.get("params", {})
        if method == "Runtime.exceptionThrown" or (method == "Log.entryAdded" and params["entry"]["level"] == "error"):
            self.errors.append(params)
        if method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(params)
        return message

    def open(self, path, width, scheme):
        """Open a file in a window of this width, with a light or dark colour scheme."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.send("Page.navigate", url=Path(path).resolve().as_uri())
        while self.receive().get("method") != "Page.loadEventFired":
            pass

    def run(self, script):
        """The value of an expression in the page."""
        result = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def photograph(self, path, whole=True):
        """Save a screenshot of the whole page, or of the part that the window shows."""
        picture = self.send("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        Path(path).write_bytes(base64.b64decode(picture))


if __name__ == "__main__":
    with Browser() as browser:
        browser.open(sys.argv[1], width=960, scheme="light")
        browser.photograph(sys.argv[2], whole=False)
