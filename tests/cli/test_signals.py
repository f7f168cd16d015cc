"""Signals: an answer is stopped, what had come stays, and the upstream is told."""

from __future__ import annotations

import signal
import subprocess
import threading

import pytest
from cli.running import TIMEOUT, start

from inferd_engine import cli
from inferd_engine.testing import Gate, Reply, Stall, Upstream, chunk

ARGUMENTS = ["chat", "x", "-m", "m", "--base-url"]


def test_ctrl_c_in_the_middle_of_an_answer():
    """Ctrl-C closes the connection, keeps what has come, and exits with 130."""
    with Upstream(Reply([chunk("half"), chunk(" an ans"), Stall()])) as upstream:
        with start(*ARGUMENTS, upstream.url) as process:
            assert process.stdout.read(11) == b"half an ans"
            process.send_signal(signal.SIGINT)
            assert upstream.requests[0].gone.wait(TIMEOUT)
            rest, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == cli.EXIT_INTERRUPTED
    assert (rest, errors) == (b"", b"stopped\n")


@pytest.mark.parametrize("moment", ["headers", "list"])
def test_ctrl_c_before_an_answer(moment):
    """Ctrl-C while it waits for headers, or for the list of models, is the same."""
    gate = Gate()
    reply = Reply([], before=[gate])
    with Upstream(reply) as upstream:
        if moment == "list":
            upstream._reply_to = lambda _: reply
        named = ["-m", "m"] if moment == "headers" else []
        with start("chat", "x", *named, "--base-url", upstream.url) as process:
            received = upstream.wait_for_request()
            process.send_signal(signal.SIGINT)
            assert received.gone.wait(TIMEOUT)
            out, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == cli.EXIT_INTERRUPTED
    assert (out, errors) == (b"", b"stopped\n")


def test_ctrl_c_while_stdin_is_read():
    """Ctrl-C while a prompt is waited for stops that, too."""
    with start("chat", "x", "--base-url", ":1", stdin=subprocess.PIPE) as process:
        assert process.stderr.readline().startswith(b"reading stdin")
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == cli.EXIT_INTERRUPTED
        assert process.stderr.read() == b"stopped\n"


def test_ctrl_c_again_and_again():
    """An impatient user gets no traceback for it."""
    with Upstream(Reply([chunk("a"), Stall()])) as upstream:
        with start(*ARGUMENTS, upstream.url) as process:
            process.stdout.read(1)
            while process.poll() is None:
                process.send_signal(signal.SIGINT)
            errors = process.stderr.read()
    assert process.returncode in (cli.EXIT_INTERRUPTED, -signal.SIGINT)
    assert b"Traceback" not in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_other_signals_end_it(number):
    """What has come is out already, and the upstream sees the connection go."""
    with Upstream(Reply([chunk("half"), Stall()])) as upstream:
        with start(*ARGUMENTS, upstream.url) as process:
            assert process.stdout.read(4) == b"half"
            process.send_signal(number)
            assert upstream.requests[0].gone.wait(TIMEOUT)
            rest, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == -number
    assert (rest, errors) == (b"", b"")


def test_an_interrupt_without_a_process(capsys):
    """main() gives 130 and leaves no thread when it is interrupted."""
    with Upstream(Reply([chunk("a"), Stall()])) as upstream:
        main = threading.main_thread().ident
        waker = threading.Thread(
            target=lambda: (
                upstream.wait_for_request(),
                signal.pthread_kill(main, signal.SIGINT),
            )
        )
        waker.start()
        assert cli.main([*ARGUMENTS, upstream.url]) == cli.EXIT_INTERRUPTED
        waker.join()
    assert "stopped" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # as it was found
