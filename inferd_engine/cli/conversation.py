"""Talk: what is asked and answered is kept, and goes along with the next question.

Rules:

* A turn whose answer failed is not kept: ``/retry`` asks it again.  One that was stopped with
  Ctrl-C is kept as far as it came, because that is what both sides have seen.
* Whatever goes wrong is told in a line, and the conversation goes on.
* Tools that a model calls are shown and not kept: there is nobody here who could answer them.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import attrs

import inferd_engine as ie
from inferd_engine.cli import failures
from inferd_engine.cli.answer import Printer
from inferd_engine.cli.attachments import message_of
from inferd_engine.cli.commands import command_of
from inferd_engine.cli.exit_codes import EXIT_OK, EXIT_TERMINATED
from inferd_engine.cli.lines import Lines
from inferd_engine.cli.terminal import say
from inferd_engine.cli.upstream import told_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inferd_engine.cli.upstream import Answering


def talk(
    backend: Answering,
    system: str,
    attachments: Sequence[ie.Attachment],
    fields: Mapping[str, Any],
    *,
    thinking: bool,
) -> int:
    """Talk until somebody leaves.

    Args:
        backend: Who answers.
        system: The system message; empty for none.
        attachments: What the first message shows.
        fields: Fields of every request.
        thinking: Whether thoughts are shown.
    """
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, _terminate)  # the terminal is to be left as it was found
    conversation = Conversation(backend, system, attachments, fields, thinking=thinking)
    say(told_of(backend))
    say("/help lists the commands, Ctrl-C stops an answer, Ctrl-D leaves.")
    lines = Lines()
    while (line := lines.read()) is not None:
        if not line.strip():
            continue
        try:
            command = command_of(line)
            if command is None:
                conversation.ask(line)
            elif command(conversation):
                break
        except ie.GenerateError as error:
            failures.tell(error)
        except KeyboardInterrupt:
            say("\nstopped")  # on a line of its own: the terminal has shown ^C
    return EXIT_OK


def _terminate(_: int, __: object) -> NoReturn:
    sys.exit(EXIT_TERMINATED)


class Conversation:
    """What was said so far, and who answers."""

    def __init__(
        self,
        backend: Answering,
        system: str,
        attachments: Sequence[ie.Attachment],
        fields: Mapping[str, Any],
        *,
        thinking: bool,
    ) -> None:
        self.backend = backend
        self.system = system
        self.attachments = list(attachments)
        self.history: list[ie.MessageV2] = []
        self.files: set[str] = set()  # that it was saved to or loaded from
        self._fields = dict(fields)
        self._shows_thinking = thinking
        self._asked: ie.MessageV2 | None = None  # the last question
        self._before = 0  # messages in the history before it

    @property
    def messages(self) -> list[ie.MessageV2]:
        """The system message, if there is one, and the history."""
        return [*([ie.system(self.system)] if self.system else []), *self.history]

    def ask(self, text: str) -> None:
        """Ask, print the answer, and keep both.

        Raises:
            GenerateError: There was no answer, or not all of it.
        """
        attached = [] if self.history else self.attachments
        self._turn(message_of(text, attached))

    def retry(self) -> None:
        """Ask the last question again, in place of its last answer.

        Raises:
            GenerateError: There was no question, or no whole answer.
        """
        if self._asked is None:
            raise ie.InvalidRequestError("nothing was asked yet")
        del self.history[self._before :]
        self._turn(self._asked)

    def clear(self) -> None:
        """Forget what was said."""
        self.history, self._asked = [], None

    def take(self, request: ie.RequestV2) -> None:
        """Go on from a conversation that was saved."""
        first, *rest = request.messages
        is_system = first.role == ie.Role.SYSTEM
        self.system = (
            "".join(b.text for b in first.content if isinstance(b, ie.TextBlock))
            if is_system
            else ""
        )
        self.history = rest if is_system else [first, *rest]
        self.attachments, self._asked = list(request.attachments), None

    def _turn(self, question: ie.MessageV2) -> None:
        self._asked, self._before = question, len(self.history)
        printer = Printer(thinking=self._shows_thinking)
        with self.backend.stream(
            [*self.messages, question], attachments=self.attachments, **self._fields
        ) as stream:
            try:
                printer.show(stream)
            except KeyboardInterrupt:
                if self._keep(question, printer.completion):
                    say("stopped; it is kept as far as it came")
                    return
                raise
        self._keep(question, printer.completion)

    def _keep(self, question: ie.MessageV2, completion: ie.Completion) -> bool:
        """Keep a turn, if anything was said in it."""
        if completion.text:
            answer = attrs.evolve(completion, tool_uses=()).to_message()
            self.history += [question, answer]
        return bool(completion.text)
