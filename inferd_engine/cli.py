"""The command line: see it work, use it, find out why it does not work.

    inferd-engine demo      stream from an upstream of our own, over the real path
    inferd-engine chat      ask an upstream; text to stdout, all else to stderr
    inferd-engine doctor    what is installed, and whether an upstream can be reached

What a model says is printed through ``printable_text`` where it goes to a terminal: escape
sequences in it could rewrite the screen.  A pipe gets it as it is.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from inferd_engine._version import __version__
from inferd_engine.backends.openai_compat.backend import OpenAiCompat
from inferd_engine.backends.openai_compat.config import BASE_URL_VARIABLE, OpenAiCompatConfig
from inferd_engine.backends.openai_compat.presets import PRESETS
from inferd_engine.errors import (
    GenerateError,
    HttpStatusError,
    InvalidRequestError,
    StreamInterruptedError,
)
from inferd_engine.events import Done, TextDelta, ToolUse
from inferd_engine.proto.v2 import system, user
from inferd_engine.wire.http.urls import without_query
from inferd_engine.wire.sse import decoder as sse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferd_engine.events import Event
    from inferd_engine.stream.token_stream import TokenStream

EXIT_OK, EXIT_UPSTREAM, EXIT_USAGE, EXIT_CUT, EXIT_INTERRUPTED, EXIT_PIPE = 0, 1, 2, 3, 130, 141
_EXIT_CODES = """\
exit codes:
  0    the answer is whole
  1    the upstream could not be reached, refused the request, or failed before it said anything
  2    the command line or the request is wrong
  3    the answer was cut: what is on stdout is not all of it
  130  stopped with Ctrl-C
  141  nobody reads stdout any more
"""
_TERMINAL_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def main(arguments: Sequence[str] | None = None) -> int:  # noqa: PLR0911 - one for each code
    """Run a command; give its exit code.

    Args:
        arguments: The command line without the program's name; the process's own if None.
    """
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        _say("stopped")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _give_stdout_up()  # whoever read our output has seen enough
        return EXIT_PIPE
    except OSError as error:
        _give_stdout_up()
        _say(f"error: stdout cannot be written: {error.strerror}")
        return EXIT_UPSTREAM
    except StreamInterruptedError as error:
        _say(f"error: {error}")
        return EXIT_CUT
    except InvalidRequestError as error:
        _say(f"error: {error}")
        return EXIT_USAGE
    except GenerateError as error:
        _say(f"error: {error}")
        return EXIT_UPSTREAM
    return code


def _give_stdout_up() -> None:
    """Let what is left of our output go nowhere: Python flushes it once more at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="inferd-engine",
        description="Stream answers from any OpenAI-compatible server.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"inferd-engine {__version__}")
    commands = parser.add_subparsers(title="commands", required=True)

    demo = commands.add_parser("demo", help="stream from an upstream of our own; needs nothing")
    demo.set_defaults(run=_demo)

    chat = commands.add_parser(
        "chat",
        help="ask an upstream",
        description="Ask an upstream; the text goes to stdout, all else to stderr.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    chat.add_argument("prompt", nargs="?", help="what to ask; read from stdin if left out")
    chat.add_argument("--system", help="a system message")
    chat.add_argument("--max-tokens", type=int)
    chat.add_argument("--temperature", type=float)
    chat.add_argument("--json", action="store_true", help="print events, one JSON object a line")
    _add_upstream(chat)
    chat.set_defaults(run=_chat)

    doctor = commands.add_parser("doctor", help="look at the installation and at an upstream")
    _add_upstream(doctor)
    doctor.set_defaults(run=_doctor)
    return parser


def _add_upstream(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base-url", help=f"the upstream's address (or {BASE_URL_VARIABLE})")
    parser.add_argument(
        "--preset", help=f"what is known of {', '.join(PRESETS)}; azure wants --base-url too"
    )
    parser.add_argument("--model", help="the upstream's name of the model")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def printable_text(text: str) -> str:
    """Make a model's text safe for a terminal: no escape sequences, no reordering of characters."""
    return _TERMINAL_UNSAFE.sub("\ufffd", text)


def _write(text: str) -> None:
    sys.stdout.write(printable_text(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def _backend(options: argparse.Namespace) -> OpenAiCompat:
    given = {"base_url": options.base_url, "model": options.model}
    fields = {name: value for name, value in given.items() if value}
    if options.preset:
        return OpenAiCompat(OpenAiCompatConfig.preset(options.preset, **fields))
    return OpenAiCompat(**fields)


# --- chat ----------------------------------------------------------------------------------------


def _chat(options: argparse.Namespace) -> int:
    prompt = options.prompt if options.prompt is not None else sys.stdin.read()
    messages = [*([system(options.system)] if options.system else []), user(prompt)]
    fields = {"max_tokens": options.max_tokens, "temperature": options.temperature}
    with _backend(options) as backend, backend.stream(messages, **fields) as stream:
        try:
            _print_events(stream) if options.json else _print_answer(stream)
        except GenerateError as error:
            if stream.stats.events == 0:
                raise
            _say(f"\nerror: {error}")
            return EXIT_CUT
        done = stream.done
    if done is not None and done.stop_reason == "error":
        _say(f"error: the upstream gave the answer up: {done.finish_reason}")
        return EXIT_CUT
    return EXIT_OK


def _print_events(stream: TokenStream) -> None:
    """Print events as they come, one JSON object a line."""
    for event in stream:
        sys.stdout.write(_event_json(event) + "\n")
        sys.stdout.flush()


def _print_answer(stream: TokenStream) -> None:
    """Print text as it comes, and tell of everything else on stderr."""
    last = "\n"
    for event in stream:
        if isinstance(event, TextDelta):
            _write(event.delta)
            last = event.delta[-1]
        elif isinstance(event, ToolUse):
            _say(printable_text(f"[tool call {event.name}({_json(event.input)})]"))
        elif isinstance(event, Done):
            if last != "\n":
                _write("\n")
            if event.stop_reason != "end_turn":
                _say(f"[{event.stop_reason}]")


def _json(value: Any) -> str:  # noqa: ANN401 - JSON
    return msgspec.json.encode(value).decode()


def _event_json(event: Event) -> str:
    return _json({"type": event.type, **attrs.asdict(event)})


# --- demo ----------------------------------------------------------------------------------------

_DEMO_ANSWER = """\
Tokens arrive as the upstream sends them: über 日本語 العربية हिन्दी Ελληνικά 🦀
```python
with backend.stream("Why is the sky blue?") as stream:
    for text in stream.text():
        print(text, end="", flush=True)
```
"""
_DEMO_DELAY = 0.02  # seconds between pieces: 50 tokens a second, as a local model gives them


def _demo(_: argparse.Namespace) -> int:
    from inferd_engine.testing import Upstream, chunk, stream_reply  # noqa: PLC0415 - only here
    from inferd_engine.testing.replies import pieces_of, tool_call_chunks  # noqa: PLC0415

    chunks = [chunk(piece) for piece in pieces_of(_DEMO_ANSWER)]
    chunks += tool_call_chunks("close_stream", {"from": "any thread", "within_ms": 1}, "call_1")
    reply = stream_reply(chunks, _DEMO_DELAY, "tool_calls", usage=(8, len(chunks)))
    with (
        Upstream(reply) as upstream,
        OpenAiCompat(base_url=upstream.url, api_key="", model="demo", proxies={}) as backend,
        backend.stream("Show me.") as stream,
    ):
        _print_answer(stream)
        stats = stream.stats
    if stream.done is None or stats.ttft is None:
        return EXIT_CUT
    _say(
        f"{stats.events} events in {stats.duration:.2f} s, "
        f"first after {stats.ttft * 1000:.1f} ms, {stats.events / stats.duration:.0f} a second; "
        f"{stream.done.usage.output_tokens if stream.done.usage else 'unknown'} tokens; "
        f"SSE decoder: {sse.IMPLEMENTATION}"
    )
    return EXIT_OK


# --- doctor --------------------------------------------------------------------------------------


def _doctor(options: argparse.Namespace) -> int:
    print(f"inferd-engine {__version__}, Python {sys.version.split()[0]} on {sys.platform}")
    print(f"SSE decoder: {sse.IMPLEMENTATION}")
    with _backend(options) as backend:
        key = backend.config.api_key
        where = f" (from {key.source})" if key and key.source else ""
        variable = backend.config.api_key_variable
        missing = f"none ({variable} is not set)" if variable else "none"
        print(f"key: {'present' + where if key else missing}")
        print(f"upstream: {without_query(backend.config.base_url)}, model {backend.config.model}")
        if not (options.base_url or options.preset or os.environ.get(BASE_URL_VARIABLE)):
            print("give --base-url to see whether it answers")
            return EXIT_OK
        ok = _try_models(backend)
        return EXIT_OK if _try_token(backend) and ok else EXIT_UPSTREAM


def _try_models(backend: OpenAiCompat) -> bool:
    path = without_query(backend.models_url)
    try:
        models = backend.models()
    except HttpStatusError as error:
        print(f"models: {path} answered {error.status}: {error}")
        return False
    except GenerateError as error:
        print(f"models: {path}: {error}")
        return False
    print(f"models: {path} lists {', '.join(models[:5]) or 'none'}")
    if backend.config.model not in models:
        print(f"        {backend.config.model} is not among them: set --model")
    return True


def _try_token(backend: OpenAiCompat) -> bool:
    try:
        with backend.stream("Say hi.", max_tokens=1) as stream:
            first = next(stream, None)
            after = (stream.stats.ttft or 0) * 1000
            print(f"stream: {without_query(backend.chat_url)}: first event after {after:.0f} ms")
            return first is not None
    except GenerateError as error:
        print(f"stream: {error}")
        return False
