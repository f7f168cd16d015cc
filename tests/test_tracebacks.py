"""What a program prints that ends with an error of ours: its own lines, the reason, and no more.

Each program is a file that a fresh Python runs, so that what is counted is what a user sees.
"""

from __future__ import annotations

import gc
import importlib.metadata
import os
import re
import signal
import subprocess
import sys
import traceback
import types
from pathlib import Path

import pytest

import inferd_engine as ie
from inferd_engine import frames
from inferd_engine.testing import Reply, Stall, Upstream, chunk

PACKAGE = str(Path(ie.__file__).parent)
DOZEN = 12
# CPython 3.10 puts the frame of a bare ``raise`` back.
OURS = 1 if sys.version_info < (3, 11) else 0

START = """\
import atexit, os, signal, threading
import inferd_engine as ie
from inferd_engine.testing import *
def asking(*replies, **options):
    upstream = Upstream(*replies)
    atexit.register(upstream.__enter__().close)
    options = {"model": "m", "api_key": "", **options}
    return ie.OpenAiCompat(upstream.url, **options), upstream
def interrupt(upstream):
    def strike():
        upstream.wait_for_request()
        threading.Event().wait(0.3)  # the main thread is on its way to wait
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=strike, daemon=True).start()
nobody = ie.OpenAiCompat("http://127.0.0.1:1", model="m", api_key="")
half = Reply([chunk("half"), Cut()])
reset = Reply([chunk("half"), Pause(0.1), Reset()])
hung = Reply([chunk("half"), Stall()])
silent = Reply([Stall()], before=[Stall()])
"""

PROGRAMS = {
    "wrong model": """
        backend, _ = asking(error_reply(404, "model 'm' not found"))
        print(backend.complete("Hi"))
    """,
    "wrong model, streamed": """
        backend, _ = asking(error_reply(404, "model 'm' not found"))
        with backend.stream("Hi") as stream:
            pass
    """,
    "wrong model, in a 200": """
        backend, _ = asking(json_reply({"error": {"message": "no such model"}}))
        print(backend.complete("Hi"))
    """,
    "wrong model, resolved": """
        backend, _ = asking(error_reply(404, "model 'm' not found"))
        backend.generate_v2(ie.RequestV2([ie.user("Hi")]).resolve())
    """,
    "refused port": 'nobody.complete("Hi")',
    "refused port, streamed": 'nobody.stream("Hi")',
    "refused port, models": "print(nobody.models())",
    "unknown host": """
        ie.OpenAiCompat("http://nowhere.invalid", api_key="").complete("Hi")
    """,
    "not http": """
        backend, _ = asking(raw_reply(b"220 ready\\r\\n"))
        backend.complete("Hi")
    """,
    "no answer": """
        backend, _ = asking(Reply(before=[Cut()]))
        backend.complete("Hi")
    """,
    **{
        f"{what}, {how}": f"""
            backend, upstream = asking({what}, idle_timeout=1.0)
            {"interrupt(upstream)" if what == "hung" else ""}
            {code}
        """
        for what in ("half", "reset", "hung")
        for how, code in {
            "complete": 'backend.complete("Hi")',
            "collected": 'backend.stream("Hi").collect()',
            "iterated": 'list(backend.stream("Hi"))',
            "as text": 'print(*backend.stream("Hi").text())',
            "with heartbeat": 'list(backend.stream("Hi").with_heartbeat(5.0))',
            "polled": 'stream = backend.stream("Hi"); print(stream.poll(5), stream.poll(5))',
            "without worker": 'list(backend.with_options(buffer=0).stream("Hi"))',
        }.items()
    },
    "interrupt before the headers": """
        backend, upstream = asking(silent)
        interrupt(upstream)
        backend.stream("Hi")
    """,
    "interrupt of models": """
        backend, upstream = asking()
        upstream.enqueue(silent)
        interrupt(upstream)
        backend.complete("Hi")
    """,
    "too slow": """
        backend, _ = asking(silent, timeout=0.2)
        backend.complete("Hi")
    """,
    "stalled": """
        backend, _ = asking(hung, idle_timeout=0.2)
        for event in backend.stream("Hi"):
            print(event)
    """,
    "invalid request": 'nobody.complete("Hi", temperature=-1)',
    "no prompt": "nobody.stream([])",
    "invalid request, resolved": 'ie.RequestV2([ie.user("Hi")], top_p=2).resolve()',
    "invalid v1 request": 'ie.Request([ie.Message("usr", "Hi")]).resolve()',
    "invalid JSON": 'ie.RequestV2.from_dict({"messages": [{"role": "user"}]})',
    "invalid v1 JSON": 'ie.Request.from_dict({"messages": 5})',
    "invalid message": "ie.MessageV2.from_dict({})",
    "invalid completion": "ie.Completion.from_dict({})",
    "wrong name": 'nobody.stream("Hi", temprature=1.0)',
    "wrong name, complete": 'nobody.complete("Hi", timeout=1.0)',
    "wrong setting": 'ie.OpenAiCompat("http://127.0.0.1:1", api_key="", timeout="5")',
    "wrong config": 'ie.OpenAiCompatConfig(base_url="localhost:1", api_key="")',
    "wrong retry": "ie.Retry(attempts=0)",
    "wrong mock config": "ie.MockConfig(answers=3)",
    "pause for another's error": "ie.Retry().pause(OSError(), attempt=1, elapsed=0)",
    "wrong listener": 'ie.Mock().stream("Hi").on_end(None)',
    "a stream in place of streams": 'ie.merge(ie.Mock().stream("Hi"))',
    "wrong embedding request": "ie.EmbedRequest(3)",
    "wrong model file": "ie.LlamaCppConfig(model_path=3)",
    "wrong preset": 'ie.OpenAiCompatConfig.preset("olama")',
    "wrong option": "nobody.with_options(idle_timeout=-1)",
    "version 1": 'nobody.generate(ie.Request([ie.Message("user", "Hi")]).resolve())',
    "no embeddings": 'nobody.embed(ie.EmbedRequest(["Hi"]).resolve())',
    "cancelled": """
        token = ie.CancelToken()
        token.cancel()
        nobody.complete("Hi", cancel=token)
    """,
    "cancelled after nothing": 'ie.CancelToken().cancel_after(float("nan"))',
    "stopped": """
        nobody.stop()
        nobody.complete("Hi")
    """,
    "closed": """
        backend, _ = asking()
        stream = backend.stream("Hi")
        stream.close()
        stream.collect()
    """,
    "told twice": """
        backend, _ = asking(half)
        stream = backend.stream("Hi")
        try:
            stream.collect()
        except ie.StreamInterruptedError:
            pass
        stream.collect()
    """,
    "polled without a worker": """
        backend, _ = asking(buffer=0)
        backend.stream("Hi").poll(1)
    """,
    "an event too large": 'ie.SSEDecoder(max_event_bytes=9).feed(b"data: " + b"x" * 99)',
    "an error among the chunks": """
        ie.ChunkAccumulator().ingest(b'{"error": {"message": "no"}}')
    """,
    "chunks without an end": "ie.ChunkAccumulator().finalize()",
    "a name that is not there": "ie.OpenAICompat",
    "struck while it loads": """
        import sys
        sys.modules["inferd_engine.backends.mock_script"] = None
        ie.Mock()
    """,
    "mock": 'ie.Mock(pre_stream_error=ie.NotReadyError("loading")).complete("Hi")',
    "mock that drops": 'ie.Mock(tokens=[*"abc"], mid_stream_drop_after=1).complete("Hi")',
}


def dedented(code):
    lines = [line for line in code.splitlines() if line.strip()]
    indent = min(len(line) - len(line.lstrip()) for line in lines)
    return "\n".join(line[indent:] for line in lines) + "\n"


def run(tmp_path, code, **environment):
    """Run a program; give what it printed on stderr, as lines."""
    program = tmp_path / "program.py"
    program.write_text(START + dedented(code), encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if "INFERD_ENGINE_D" not in name}
    ran = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**kept, **environment},
    )
    assert ran.returncode != 0
    return ran.stderr.splitlines()


def frames_in(lines):
    """Give the files of a traceback's frames."""
    return re.findall(r'^  File "(.*?)", line', "\n".join(lines), re.MULTILINE)


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_a_user_reads(tmp_path, name):
    """A dozen lines at the most, and no frame below the call that the program made."""
    lines = run(tmp_path, PROGRAMS[name])
    told = "\n".join(lines)
    files = frames_in(lines)
    assert len(lines) <= DOZEN, told
    assert "Traceback (most recent call last):" in told
    own = [file for file in files if file.endswith("program.py")]
    others = [file for file in files if not file.endswith("program.py")]
    assert len(own) == 1, told
    assert len(others) <= OURS, told
    assert all(file.startswith(PACKAGE) for file in others), told
    if "interrupt" in name or name.startswith("hung"):
        assert lines[-1] == "KeyboardInterrupt"


def test_debug_shows_all(tmp_path):
    """INFERD_ENGINE_DEBUG=1 shows every frame, down to where it failed; 0 does not."""
    lines = run(tmp_path, PROGRAMS["refused port"], INFERD_ENGINE_DEBUG="1")
    assert any(file.endswith("transport.py") for file in frames_in(lines))
    assert len(run(tmp_path, PROGRAMS["refused port"], INFERD_ENGINE_DEBUG="0")) <= DOZEN


# Ours; what is there to build with; what nobody imports here.
NOT_BELOW = {"inferd_engine", "cffi", "pycparser", "sockshandler"}


def roots_of_what_we_need():
    """Give the names that are imported of all that this package requires, as far as it is there."""
    extras = {"compression", "socks", "vision"}
    seen, todo = set(), ["inferd-engine"]
    for wanted in todo:
        try:
            found = importlib.metadata.distribution(wanted)
        except importlib.metadata.PackageNotFoundError:
            continue
        for path in found.files or ():
            if path.suffix == ".py" and ".." not in path.parts:
                yield path.parts[0].removesuffix(".py")
        for line in found.requires or ():
            extra = re.search(r"extra == ['\"](.+?)['\"]", line)
            name = re.match(r"[\w.-]+", line)[0]
            chosen = not extra or (wanted == todo[0] and extra[1] in extras)
            if chosen and name not in seen:
                seen.add(name)
                todo.append(name)


def test_what_we_are_built_on_is_no_users():
    """Frames of whatever is installed with this package are dropped, extras and all."""
    roots = {root for root in roots_of_what_we_need() if root[0].isalpha()} - NOT_BELOW
    assert {"requests", "urllib3", "idna", "attr"} <= roots
    for root in roots:
        fail = types.FunctionType(compile("1 / 0", root, "exec"), {"__name__": f"{root}.inner"})
        with pytest.raises(ZeroDivisionError) as caught:
            fail()
        assert frames.users_frames(caught.value.__traceback__.tb_next) is None, root


# --- what stays ----------------------------------------------------------------------------------

NOBODY = ie.OpenAiCompat("http://127.0.0.1:1", model="m", api_key="")


def functions_of(error):
    """Give the names of the functions in a traceback, without those that ours leave on 3.10."""
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    return [name for name in names if name not in ("leave", "__next__", "poll")]


def messages():
    yield ie.user("Hi")
    raise LookupError("no more")


class Theirs(ie.Backend):
    """A backend of somebody else's."""

    name = "theirs"

    def ready(self):
        return True

    def capabilities(self):
        return ie.BackendCapabilities()

    def generate(self, request):
        raise NotImplementedError

    def generate_v2(self, request, *, cancel=None, include_raw=False):
        return self.refuse()

    def refuse(self):
        raise ie.NotReadyError("not yet")


def test_frames_of_the_users_own_stay():
    """What a user wrote is in the traceback: a generator of messages, a backend of their own."""
    with pytest.raises(LookupError) as caught:
        NOBODY.complete(messages())
    assert functions_of(caught.value) == ["test_frames_of_the_users_own_stay", "messages"]
    with pytest.raises(ie.NotReadyError) as caught:
        Theirs().complete("Hi")
    assert functions_of(caught.value)[1:] == ["generate_v2", "refuse"]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer")
@pytest.mark.parametrize("ask", ["stream", "complete", "text"])
def test_the_frame_of_a_signal_handler_stays(ask):
    """An exception of a handler's says where it was raised."""

    def handler(signum, frame):
        raise LookupError("in the handler")

    before = signal.signal(signal.SIGALRM, handler)
    with Upstream(Reply([chunk("a"), Stall()])) as upstream:
        backend = ie.OpenAiCompat(upstream.url, api_key="")
        try:
            with pytest.raises(LookupError) as caught:
                signal.setitimer(signal.ITIMER_REAL, 0.3)
                if ask == "complete":
                    backend.complete("Hi")
                with backend.stream("Hi") as stream:
                    list(stream.text() if ask == "text" else stream)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        backend.close()
    test = "test_the_frame_of_a_signal_handler_stays"
    assert functions_of(caught.value) == [test, "handler"]


def test_what_the_caller_was_handling_is_told():
    """A call in an ``except`` has the exception that is handled there as its context."""
    for fail in (
        lambda: NOBODY.complete("Hi"),
        lambda: NOBODY.complete("Hi", temperature=-1),
        lambda: NOBODY.complete("Hi", temprature=1),
        lambda: list(ie.Mock(tokens=[*"ab"], mid_stream_drop_after=1).stream("Hi")),
    ):
        problem = LookupError("of the caller")
        with pytest.raises((ie.GenerateError, TypeError)) as caught:
            try:
                raise problem
            except LookupError:
                fail()
        link = caught.value
        while link is not None and link is not problem:
            link = link.__context__
        assert link is problem
        assert functions_of(problem) == ["test_what_the_caller_was_handling_is_told"]


@pytest.mark.parametrize("handled", [OSError(5, "disk"), TimeoutError("slow"), LookupError("x")])
def test_what_the_caller_was_handling_is_no_reason(handled):
    """Why a connection failed is told by what failed, whatever its caller was handling."""

    def ask_while_handling():
        try:
            raise handled
        except type(handled):
            NOBODY.complete("Hi")

    with pytest.raises(ie.GenerateError) as caught:
        ask_while_handling()
    assert type(caught.value) is ie.TransportError
    assert str(caught.value).startswith("nothing listens at ")
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


def test_notes_and_causes_stay():
    """Notes and the cause are kept; the cause has no frames."""
    noted = ie.NotReadyError("loading")
    noted.__notes__ = ["half of it"]
    noted.__cause__ = OSError("disk")
    with pytest.raises(ie.NotReadyError) as caught:
        ie.Mock(pre_stream_error=noted).complete("Hi")
    assert caught.value is noted
    assert noted.__notes__ == ["half of it"]
    assert isinstance(noted.__cause__, OSError)
    with pytest.raises(ie.TransportError) as caught:
        NOBODY.complete("Hi")
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert caught.value.__cause__.__traceback__ is None


@pytest.mark.parametrize(
    "fail",
    [
        lambda: NOBODY.complete("Hi"),
        lambda: NOBODY.stream("Hi", temprature=1),
        lambda: ie.OpenAiCompat(timeout="5", api_key=""),
        lambda: ie.RequestV2([]).resolve(),
        lambda: ie.Mock(tokens=[*"ab"], mid_stream_drop_after=1).complete("Hi"),
    ],
)
def test_an_error_is_in_no_cycle(fail):
    """An error goes when it is let go of, and all that its traceback held with it."""
    gone = []

    class Canary:
        def __del__(self):
            gone.append(True)

    def program():
        canary = Canary()
        try:
            fail()
        except (ie.GenerateError, TypeError):
            return canary is None
        raise AssertionError

    gc.collect()
    gc.disable()
    try:
        program()
        assert gone
    finally:
        gc.enable()


def test_no_argument_is_left_in_sight():
    """What is left of a frame of ours does not hold what it was called with."""
    with pytest.raises(ie.InvalidRequestError) as caught:
        ie.OpenAiCompat("localhost", api_key="sk-" + "canary" * 3)
    traced = caught.value.__traceback__
    while traced is not None:
        if traced.tb_frame.f_code.co_filename.startswith(PACKAGE):
            assert "canarycanary" not in repr(traced.tb_frame.f_locals)
        traced = traced.tb_next
