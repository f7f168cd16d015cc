"""``batch``: ask a file of prompts, and keep the answers in another, which makes it resumable.

A line that is no prompt is named, and the rest goes on: one typing error in twenty thousand lines
is no reason to come back to nothing in the morning.  When it is mended, the same command asks that
line and no other.
"""

from __future__ import annotations

import argparse
import array
import contextlib
import json
import sys
from collections import Counter
from typing import IO, TYPE_CHECKING, Any, Union

import inferd_engine as ie
from inferd_engine.cli.asked import add_request, asked_from
from inferd_engine.cli.exit_codes import (
    EXIT_CUT,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_UPSTREAM,
    EXIT_USAGE,
    table_of,
)
from inferd_engine.cli.failures import code_of, sentence_of
from inferd_engine.cli.models import with_model
from inferd_engine.cli.options import add_upstream
from inferd_engine.cli.prompt import STDIN, argument_text, decoded
from inferd_engine.cli.terminal import is_terminal, say
from inferd_engine.cli.upstream import backend_from

if TYPE_CHECKING:
    from collections.abc import Iterator

EPILOG = """\
a line of PROMPTS is a text, a list of messages, or an object:
  "Hi"   [{"role": "user", "content": "Hi"}]   {"prompt": "Hi", "max_tokens": 5}
a line of ANSWERS says which prompt it answers, counted from 0:
  {…, "index": 0, …, "completion": {"text": "Hello!", …}}
the same command goes on where the last one was stopped, and asks failures anew

""" + table_of(EXIT_OK, EXIT_UPSTREAM, EXIT_USAGE, EXIT_CUT, EXIT_INTERRUPTED)
_CONCURRENCY = 16
_ATTEMPTS = 3
_SHOWN = 20  # failures that are told one by one
_GRAVEST_FIRST = (EXIT_UPSTREAM, EXIT_CUT, EXIT_USAGE)
_AUTO = "auto"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``batch``."""
    parser.add_argument(
        "words", nargs="*", metavar="PROMPTS", help="a file, one JSON value a line; - for stdin"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="ANSWERS",
        help="the file that the answers go to, as they come; what it holds is not asked again",
    )
    how = parser.add_argument_group("the batch")
    how.add_argument(
        "--concurrency",
        metavar="N",
        type=_number_or_auto,
        default=_CONCURRENCY,
        help=f"requests at once, {_CONCURRENCY} if left out; auto: as many as the server bears",
    )
    how.add_argument(
        "--attempts",
        metavar="N",
        type=int,
        default=_ATTEMPTS,
        help=f"how often to ask, if it fails in a way that may pass; {_ATTEMPTS} if left out",
    )
    how.add_argument("--quiet", action="store_true", help="show no progress")
    add_request(parser, of_many=True)
    add_upstream(parser)


def _number_or_auto(text: str) -> int | str:
    try:
        return text if text == _AUTO else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"is not a whole number, nor {_AUTO}") from None


def run(options: argparse.Namespace) -> int:
    """Ask what is to be asked, and say how it went."""
    if not options.output:
        raise ie.InvalidRequestError("batch wants a file for the answers: -o ANSWERS")
    if len(options.words) != 1:
        raise ie.InvalidRequestError("batch wants one file of prompts, or - for stdin")
    asked = asked_from(options)
    system = argument_text(options.system, "--system") if options.system else None
    retry = ie.Retry(attempts=options.attempts)
    with contextlib.ExitStack() as stack:
        prompts = Prompts(_opened(options.words[0], stack))
        backend = backend_from(options, asked, vision=True, audio=True, documents=True)
        stack.enter_context(backend)
        answering = with_model(backend, options.model)
        results = stack.enter_context(
            answering.map(
                prompts,
                system=system,
                concurrency=options.concurrency,
                retry=retry,
                progress=is_terminal(sys.stderr) and not options.quiet,
                journal=options.output,
                **asked.fields,
            )
        )
        try:
            return _told(results, prompts, options.output)
        except KeyboardInterrupt:
            results.close()  # which ends the line of its progress
            say(f"{options.output} has what was answered: the same command goes on from there")
            raise


def _opened(name: str, stack: contextlib.ExitStack) -> IO[bytes]:
    if name == STDIN:
        if sys.stdin is None or sys.stdin.closed:
            raise ie.InvalidRequestError("stdin is closed: there are no prompts")
        return sys.stdin.buffer
    try:
        return stack.enter_context(open(name, "rb"))  # noqa: PTH123 - as it was given
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ie.InvalidRequestError(f"{name} cannot be read: {why}") from None


def _told(results: Iterator[ie.MapResult], prompts: Prompts, output: str) -> int:
    """Take all results, and say what failed; return the exit code."""
    count, codes = 0, Counter[int]()
    failures: list[str] = []
    for result in results:
        count += 1
        if result.error is None:
            continue
        is_broken = isinstance(result.prompt, Broken)
        codes[EXIT_USAGE if is_broken else code_of(result.error)] += 1
        if len(failures) < _SHOWN:
            why = result.prompt.why if is_broken else sentence_of(result.error)
            failures.append(f"error: line {prompts.numbers[result.index]}: {why}")
    for failure in failures:
        say(failure)
    failed = codes.total()
    if failed > len(failures):
        say(f"and {failed - len(failures)} more")
    rest = f"; {failed} failed, which the same command asks anew" if failed else ""
    say(f"{output}: {count - failed} of {count} answered{rest}")
    return next((code for code in _GRAVEST_FIRST if codes[code]), EXIT_OK)


class Broken:
    """A line that is no prompt: a batch refuses it in its turn.

    Args:
        why: What is wrong with it.
    """

    def __init__(self, why: str) -> None:
        self.why = why


class Prompts:
    """Iterate over the prompts of a file, one a line; blank lines are none.

    Args:
        file: Open for reading.

    Attributes:
        numbers: The number of each prompt's line.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.numbers = array.array("L")

    def __iter__(self) -> Iterator[Any]:
        for number, line in enumerate(self._file, 1):
            if line.strip():
                self.numbers.append(number)
                yield _prompt_of(line)


def _prompt_of(line: bytes) -> Union[str, list[Any], dict[str, Any], Broken]:
    """Return the prompt that a line holds, or what is wrong with it."""
    try:
        value = json.loads(decoded(line, "it"))
    except ie.InvalidRequestError as error:
        return Broken(str(error))
    except (ValueError, RecursionError) as error:
        return Broken(f"it is not JSON: {error}")
    if not isinstance(value, (str, list, dict)):
        return Broken("it is not a prompt: give a text, a list of messages, or an object")
    return value
