"""Choose the command, run it, and turn whatever happens into a line and an exit code.

A command is a module with ``add_options(parser)`` and ``run(options)``; it is imported when it is
asked for, so that ``--version`` and ``help`` cost next to nothing.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from typing import TYPE_CHECKING, Any

import inferd_engine as ie
from inferd_engine.cli import failures, interrupts, terminal
from inferd_engine.cli.exit_codes import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_PIPE,
    EXIT_UPSTREAM,
    EXIT_USAGE,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inferd_engine.cli.options import Parser

COMMANDS = {
    "demo": "see an answer stream, stop, run out of time, and break; needs nothing",
    "chat": "ask a model; on a terminal without a prompt, talk with it",
    "batch": "ask a file of prompts; stopped, it goes on where it was",
    "models": "list the models of an upstream",
    "serve": "be an OpenAI-compatible server in front of an upstream",
    "doctor": "look at the installation, the key, the models and a stream",
    "help": "tell about a command",
    "version": "print the version",
}
_USAGE = "usage: inferd-engine COMMAND [OPTION ...]"
_OTHER_NAMES = {"-h": "help", "--help": "help", "-V": "version", "--version": "version"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        arguments: The command line without the program's name; the process's own if None.
    """
    terminal.prepare()
    if arguments is None:  # the process is ours
        interrupts.once()
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
        terminal.flush()
    except KeyboardInterrupt:
        terminal.say("stopped")
        code = EXIT_INTERRUPTED
    except terminal.OutputLostError as error:
        code = _output_lost(error)
    except ie.GenerateError as error:
        failures.tell(error)
        code = failures.code_of(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told in a line
        failures.tell(error)
        terminal.say("this should not happen: INFERD_ENGINE_DEBUG=1 shows where; please report it")
        code = EXIT_UPSTREAM
    return code


def _output_lost(error: terminal.OutputLostError) -> int:
    terminal.give_up(sys.stdout)
    if isinstance(error.__cause__, BrokenPipeError):
        return EXIT_PIPE  # whoever read our output has seen enough
    why = getattr(error.__cause__, "strerror", None) or "it is closed"
    terminal.say(f"error: stdout cannot be written: {why}")
    return EXIT_UPSTREAM


def _run(words: list[str]) -> int:
    if not words:
        terminal.say(_overview())
        return EXIT_USAGE
    name, *rest = words
    name = _OTHER_NAMES.get(name, name)
    if name not in COMMANDS:
        raise ie.InvalidRequestError(_no_command(name))
    if name == "version":
        terminal.write(f"inferd-engine {ie.__version__}\n")
        return EXIT_OK
    if name == "help":
        return _help(rest)
    if sys.stdout is None:
        raise terminal.OutputLostError  # before an answer is paid for that nobody can read
    command = _command(name)
    try:
        options = _parser(name, command).parse_words(rest)
    except SystemExit:  # --help was printed
        return EXIT_OK
    code: int = command.run(options)
    return code


def _command(name: str) -> Any:  # a module
    return importlib.import_module(f"inferd_engine.cli.{name}")


def _parser(name: str, command: Any) -> Parser:  # a module
    from inferd_engine.cli.options import Parser  # noqa: PLC0415 - argparse, when it is needed

    parser = Parser(f"inferd-engine {name}", COMMANDS[name], command.EPILOG)
    command.add_options(parser)
    return parser


def _help(words: list[str]) -> int:
    asked = [word for word in words if not word.startswith("-")]
    if not asked or asked[0] in ("help", "version"):
        terminal.write(_overview() + "\n")
        return EXIT_OK
    if asked[0] not in COMMANDS:
        raise ie.InvalidRequestError(_no_command(asked[0]))
    terminal.write(_parser(asked[0], _command(asked[0])).format_help())
    return EXIT_OK


def _overview() -> str:
    lines = [f"  {name:<9}{meaning}" for name, meaning in COMMANDS.items()]
    more = "inferd-engine help COMMAND tells what a command takes, and its exit codes."
    return "\n".join([_USAGE, "", "commands:", *lines, "", more])


def _no_command(name: str) -> str:
    if name.startswith("-"):
        return f"{name.partition('=')[0]} comes before the command: {_USAGE}"
    close = difflib.get_close_matches(name, COMMANDS, 1)
    hint = f"did you mean {close[0]}?" if close else "inferd-engine help lists them"
    return f"there is no command {name!r}: {hint}"
