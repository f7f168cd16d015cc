"""What begins with a slash in a conversation.

/save FILE     writes the conversation as the JSON of ``RequestV2.to_dict()``
/load FILE     reads it again, as ``RequestV2.from_dict()`` does in a program
"""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import inferd_engine as ie
from inferd_engine.cli.prompt import decoded
from inferd_engine.cli.terminal import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from inferd_engine.cli.conversation import Conversation

_COMMAND = re.compile(r"/([a-z?]+)(?:\s+(.*))?\s*", re.DOTALL)  # "/etc/hosts …" is a question


def command_of(line: str) -> Callable[[Conversation], bool | None] | None:
    """Return what a line asks for, as a function of the conversation; None for a question.

    The function returns whether to leave.

    Raises:
        InvalidRequestError: There is no such command.
    """
    found = _COMMAND.fullmatch(line)
    if found is None:
        return None
    name, argument = found[1], (found[2] or "").strip()
    if name not in _COMMANDS:
        close = difflib.get_close_matches(name, _COMMANDS, 1)
        hint = f"did you mean /{close[0]}?" if close else "/help lists them"
        raise ie.InvalidRequestError(
            f"there is no command /{name}: {hint} (a blank in front makes it a question)"
        )
    command = _COMMANDS[name]
    return lambda conversation: command(conversation, argument)


def _model(conversation: Conversation, argument: str) -> None:
    backend = conversation.backend
    if isinstance(backend, ie.LlamaCpp):
        say(f"* {backend.models()[0]}")  # the one that was loaded
        return
    if argument:
        conversation.backend = backend.with_options(model=argument)
        return
    current = backend.config.model
    for model in backend.models():
        say(f"{'*' if model == current else ' '} {model}")


def _system(conversation: Conversation, argument: str) -> None:
    if argument:
        conversation.system = argument
    else:
        say(conversation.system or "there is no system message: /system TEXT sets one")


def _retry(conversation: Conversation, argument: str) -> None:
    _take_nothing("/retry", argument)
    conversation.retry()


def _clear(conversation: Conversation, argument: str) -> None:
    _take_nothing("/clear", argument)
    conversation.clear()


def _save(conversation: Conversation, argument: str) -> None:
    path = _path(argument, "/save")
    if not conversation.history:
        raise ie.InvalidRequestError("there is nothing to save: no question was answered yet")
    request = ie.RequestV2(conversation.messages, attachments=conversation.attachments)
    text = json.dumps(request.to_dict(), ensure_ascii=False, indent=1) + "\n"
    try:
        with path.open("w" if str(path) in conversation.files else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ie.InvalidRequestError(
            f"{argument} is there already, and not from this conversation: take another name"
        ) from None
    except OSError as error:
        raise ie.InvalidRequestError(f"{argument} cannot be written: {error.strerror}") from None
    conversation.files.add(str(path))
    say(f"saved to {argument}: /load {argument} goes on from there")


def _load(conversation: Conversation, argument: str) -> None:
    path = _path(argument, "/load")
    try:
        request = ie.RequestV2.from_dict(json.loads(decoded(path.read_bytes(), argument)))
        request.resolve()
    except OSError as error:
        raise ie.InvalidRequestError(f"{argument} cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise ie.InvalidRequestError(
            f"{argument} is not JSON, line {error.lineno}: give a file that /save has written"
        ) from None
    conversation.take(request)
    conversation.files.add(str(path))
    say(f"{len(conversation.history)} messages")


def _path(argument: str, command: str) -> Path:
    if not argument:
        raise ie.InvalidRequestError(f"{command} wants a file: {command} FILE")
    try:
        return Path(argument).expanduser()
    except RuntimeError:
        return Path(argument)


def _help(_: Conversation, argument: str) -> None:  # noqa: ARG001 - a command's signature
    say(_HELP)


def _bye(_: Conversation, argument: str) -> bool:
    _take_nothing("/bye", argument)
    return True


def _take_nothing(command: str, argument: str) -> None:
    if argument:
        raise ie.InvalidRequestError(
            f"{command} stands alone (a blank in front makes it a question)"
        )


_COMMANDS: dict[str, Callable[[Conversation, str], bool | None]] = {
    "model": _model,
    "system": _system,
    "retry": _retry,
    "clear": _clear,
    "save": _save,
    "load": _load,
    "help": _help,
    "?": _help,
    "bye": _bye,
    "exit": _bye,
    "quit": _bye,
}
_HELP = '''\
/model NAME    ask another model; without a name: list them
/system TEXT   set the system message; without a text: show it
/retry         ask the last question again
/clear         forget what was said
/save FILE     write the conversation to a file, as JSON
/load FILE     go on with one that was saved
/bye           leave, as Ctrl-D does
"""            begin and end a question of several lines
Ctrl-C         stop the answer; at an empty prompt, twice: leave'''
