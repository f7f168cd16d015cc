"""Somebody else's server as a process on loopback, from ``with`` to the end of ``with``."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from typing import ClassVar

STOP_SECONDS = 10.0
POLL_SECONDS = 0.05
LOG_TAIL = 8192  # bytes of a server's log that a failed test shows


class ServerProcess:
    """Start a program, wait until it answers, and stop it; what it prints goes to a file.

    A subclass says ``command()``, and how to see that the server is ready.
    """

    running: ClassVar = []  # those whose log a failed test shows
    start_seconds = 90.0  # what a loaded machine may need, many times what it takes
    environment: ClassVar = {}
    ready_path = "/"

    def __init__(self, log):
        self._log = log
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def command(self):
        """Give the program and its arguments."""
        raise NotImplementedError

    def __enter__(self):
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self._log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self.environment},
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        self.running.append(self)
        return self

    def __exit__(self, *_):
        if self in self.running:
            self.running.remove(self)
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait_until_ready(self):
        deadline = time.monotonic() + self.start_seconds
        while not self.is_ready():
            gone = self._process.poll()
            if gone is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server does not answer (exit code {gone}):\n{self.log()}")
            time.sleep(POLL_SECONDS)

    def is_ready(self):
        """Whether the server answers."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(self.url + self.ready_path, timeout=5.0):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def log(self):
        """Give the end of what the server has printed."""
        return self._log.read_bytes()[-LOG_TAIL:].decode("utf-8", "replace")


def show_logs(report):
    """Show what the servers printed with a test that failed."""
    if report.failed:
        for server in ServerProcess.running:
            report.sections.append((f"log of {server.url}", server.log()))
    return report
