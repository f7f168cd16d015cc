"""A terminal of our own: a process runs in it, somebody types, and the screen can be looked at.

The process is the leader of a session whose controlling terminal is the pseudo-terminal: Ctrl-C,
Ctrl-D and hanging up mean what they mean to a shell's user.
"""

from __future__ import annotations

import fcntl
import os
import pathlib
import pty
import select
import struct
import subprocess
import sys
import termios
import threading
import time

import pyte
from cli.running import COMMAND, environment

SOON = 20.0  # seconds: an upper bound, on a loaded machine, of what takes milliseconds
PROMPT, MORE = ">>>", "\n..."
# Takes the terminal at stdin for its own, then becomes the command.
_LOGIN = (
    "import fcntl, os, signal, sys, termios; {preexec}; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """Run a command in a terminal; a context manager."""

    def __init__(self, *arguments, columns=80, lines=24, env=None, preexec="", **options):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LOGIN.format(preexec=preexec or None), *COMMAND, *arguments],
            env=environment(INPUTRC=os.devnull, **(env or {})),
            start_new_session=True,
            **{"stdin": slave, "stdout": slave, "stderr": slave, **options},
        )
        os.close(slave)
        self._screen = pyte.HistoryScreen(columns, lines, history=10_000, ratio=1)
        self._stream = pyte.ByteStream(self._screen)
        self._received = bytearray()
        self._changed = threading.Condition()
        self._is_gone = False
        self._woken, self._wake = os.pipe()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        while True:
            # A read does not end when its descriptor is closed: the other one ends it.
            ready, _, _ = select.select([self.master, self._woken], [], [])
            if self._woken in ready:
                return
            try:
                data = os.read(self.master, 65536)
            except OSError:  # EIO: nobody has it open any more
                data = b""
            with self._changed:
                self._received += data
                self._stream.feed(data)
                self._is_gone = not data
                self._changed.notify_all()
            if not data:
                return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hang_up()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(SOON)

    def hang_up(self):
        """Close the terminal's window: whoever lives in it gets SIGHUP."""
        if self.master >= 0:
            os.write(self._wake, b"x")
            self._reader.join(SOON)
            os.close(self.master)
            os.close(self._wake)
            os.close(self._woken)
            self.master = -1

    def type(self, text):
        """Type a text; a carriage return is the Enter key."""
        if text == "\x03":
            self.wait_until_asleep()
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    @property
    def received(self):
        """All that came, escape sequences too."""
        with self._changed:
            return bytes(self._received)

    @property
    def text(self):
        """What is to be seen, what has scrolled away too; blanks at the ends of lines left out."""
        with self._changed:
            lines = [_line(row, self._screen.columns) for row in self._screen.history.top]
            lines += self._screen.display
        return "\n".join(line.rstrip() for line in lines).rstrip()

    def wait_for(self, text, times=1):
        """Wait until a text is to be seen, so many times."""
        self._wait(lambda: self.text.count(text) >= times, f"{times} x {text!r}")
        return self

    def ask(self, text):
        """Type a line at the prompt, and wait until there is a prompt again."""
        before = self._wait_for_prompt(0) if not self.text.endswith(MORE) else self._prompts()
        self.type(text + "\r")
        self._wait_for_prompt(before)
        return self

    def _wait_for_prompt(self, before):
        self._wait(lambda: self._prompts() > before and self.text.endswith(PROMPT), "the prompt")
        return self._prompts()

    def _prompts(self):
        return sum(line.startswith(PROMPT) for line in self.text.splitlines())

    def wait_for_end(self):
        """Wait until the process has ended and all it said was read; give its exit code."""
        code = self.process.wait(SOON)
        self._wait(lambda: self._is_gone, "the end")
        return code

    def wait_until_asleep(self):
        """Wait until the main thread waits for something, where the system tells.

        A signal that comes between the prompt and ``select`` is seen by CPython's ``input`` at the
        next key only: a person presses Ctrl-C once more, a test would wait for ever.
        """
        status = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/stat")
        end = time.monotonic() + SOON
        while status.exists() and time.monotonic() < end:
            if status.read_text().rpartition(")")[2].split()[0] == "S":  # proc(5): asleep
                return
            time.sleep(0.001)

    def _wait(self, predicate, what):
        with self._changed:
            if not self._changed.wait_for(predicate, SOON):
                raise AssertionError(f"{what} did not come; the screen is\n{self.text}")


def _line(row, columns):
    return "".join(row[column].data for column in range(columns))
