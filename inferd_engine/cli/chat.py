"""``chat``: ask once, or talk."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

import inferd_engine as ie
from inferd_engine.cli import failures
from inferd_engine.cli.answer import Printer
from inferd_engine.cli.asked import add_request, asked_from
from inferd_engine.cli.attachments import attachments_from, message_of
from inferd_engine.cli.exit_codes import (
    EXIT_CUT,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_PIPE,
    EXIT_TERMINATED,
    EXIT_UPSTREAM,
    EXIT_USAGE,
    table_of,
)
from inferd_engine.cli.json_lines import JsonLines
from inferd_engine.cli.models import with_model
from inferd_engine.cli.options import add_upstream
from inferd_engine.cli.prompt import STDIN, argument_text, prompt_from
from inferd_engine.cli.terminal import is_terminal
from inferd_engine.cli.upstream import backend_from

if TYPE_CHECKING:
    import argparse

    from inferd_engine.cli.asked import Asked
    from inferd_engine.cli.upstream import Answering

EPILOG = table_of(
    *(EXIT_OK, EXIT_UPSTREAM, EXIT_USAGE, EXIT_CUT),
    *(EXIT_INTERRUPTED, EXIT_PIPE, EXIT_TERMINATED),
)


class Output(Protocol):
    """What prints an answer."""

    @property
    def has_begun(self) -> bool: ...  # noqa: D102
    def show(self, stream: ie.TokenStream) -> None: ...  # noqa: D102
    def fail(self, error: BaseException) -> None: ...  # noqa: D102


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``chat``."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="PROMPT",
        help="what to ask, quoted or not; what is piped in follows it; - first or last: stdin",
    )
    add_request(parser)
    add_upstream(parser)
    parser.add_argument(
        "--llamacpp",
        metavar="FILE",
        help="a model in GGUF that is run here, by llama.cpp, instead of an upstream",
    )
    printed = parser.add_argument_group("what is printed")
    printed.add_argument(
        "--no-thinking",
        dest="thinking",
        action="store_false",
        help="leave out the model's thoughts (-o thinking=false asks it for none)",
    )
    printed.add_argument("--json", action="store_true", help="print events, one JSON object a line")


def run(options: argparse.Namespace) -> int:
    """Ask once and print the answer; on a terminal and without a prompt, talk."""
    output: Output = (JsonLines if options.json else Printer)(thinking=options.thinking)
    try:
        return _run(options, output)
    except KeyboardInterrupt as error:
        output.fail(error)
        raise
    except ie.GenerateError as error:
        output.fail(error)
        if not output.has_begun:
            raise
        failures.tell(error)
        return EXIT_CUT


def _run(options: argparse.Namespace, output: Output) -> int:
    asked = asked_from(options)
    system = argument_text(options.system, "--system") if options.system else ""
    attachments = attachments_from(options.attachment)
    # What is attached is meant to be sent: nobody has to say so twice.
    with _backend(options, asked) as backend:
        if _wants_to_talk(options):
            from inferd_engine.cli.conversation import talk  # noqa: PLC0415 - readline

            talking = with_model(backend, options.model)
            return talk(talking, system, attachments, asked.fields, thinking=options.thinking)
        prompt = prompt_from(options.words, reads_stdin=STDIN not in options.attachment)
        messages = [*([ie.system(system)] if system else []), message_of(prompt, attachments)]
        request = ie.RequestV2(messages, attachments=attachments, **asked.fields).resolve()
        with with_model(backend, options.model).generate_v2(request) as stream:
            output.show(stream)
    return EXIT_OK


def _backend(options: argparse.Namespace, asked: Asked) -> Answering:
    if options.llamacpp is None:
        return backend_from(options, asked, vision=True, audio=True, documents=True)
    from inferd_engine.cli.llamacpp import llamacpp_from  # noqa: PLC0415 - for those who run one

    return llamacpp_from(options, asked)


def _wants_to_talk(options: argparse.Namespace) -> bool:
    is_seen = is_terminal(sys.stdin) and is_terminal(sys.stdout)
    return is_seen and not options.words and not options.json
