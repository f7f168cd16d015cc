"""What is asked: the words of the command line, and what is piped in; none of it is dropped.

chat Explain this < code.py       the words, a blank line, the file
chat - "Explain this" < code.py   the file first
chat < question.txt               the file alone
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

import inferd_engine as ie
from inferd_engine.cli.terminal import is_terminal, say

if TYPE_CHECKING:
    from collections.abc import Sequence

STDIN = "-"
_PATIENCE = 2.0  # seconds until somebody who pipes nothing is told what is being waited for
_MAGIC = (
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"RIFF",
    b"ID3",
    b"%PDF",
    b"PK\x03\x04",
    b"\x1f\x8b",
)
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def prompt_from(words: Sequence[str], *, reads_stdin: bool = True) -> str:
    """Return the prompt: the words, and stdin where it is piped in or asked for.

    Args:
        words: The words of the command line; ``-`` first or last stands for stdin.
        reads_stdin: Whether stdin may be read; it may have been needed for something else.

    Raises:
        InvalidRequestError: There is no prompt, or it is not text.
    """
    text, place = _split(words)
    texts = [text] if text.strip() else []
    if reads_stdin and (place is not None or not texts or not is_terminal(sys.stdin)):
        texts.insert(0 if place == 0 else 1, _piped(impatient=bool(texts)))
    prompt = "\n\n".join(text for text in texts if text.strip())
    if not prompt:
        raise ie.InvalidRequestError("the prompt is empty: give it as words, or pipe it in")
    return prompt


def _split(words: Sequence[str]) -> tuple[str, int | None]:
    """Return the words as a text, and where stdin goes if they say so: before (0) or after (1)."""
    rest, place = list(words), None
    if rest and rest[-1] == STDIN:
        rest, place = rest[:-1], 1
    elif rest and rest[0] == STDIN:
        rest, place = rest[1:], 0
    return argument_text(" ".join(rest), "the prompt"), place


def _piped(*, impatient: bool) -> str:
    if is_terminal(sys.stdin):
        say("reading the prompt from the terminal: Ctrl-D ends it")
    hint = threading.Timer(
        _PATIENCE, say, ["reading stdin, too, to its end: < /dev/null if it is empty"]
    )
    hint.daemon = True
    if impatient:
        hint.start()
    try:
        return decoded(stdin_bytes(), "stdin")
    finally:
        hint.cancel()


def stdin_bytes() -> bytes:
    """Read stdin to its end; nothing if it is closed, or if there is none.

    Raises:
        InvalidRequestError: It cannot be read.
    """
    if sys.stdin is None or sys.stdin.closed:
        return b""
    try:
        if not hasattr(sys.stdin, "buffer"):  # a program has put a text in its place
            return sys.stdin.read().encode("utf-8", "surrogateescape")
        return sys.stdin.buffer.read()
    except OSError as error:
        if error.errno is None:  # a stand-in of a test runner or an editor, which reads nothing
            return b""
        raise ie.InvalidRequestError(f"stdin cannot be read: {error.strerror}") from None


def argument_text(text: str, place: str) -> str:
    """Return a text of the command line; its bytes are UTF-8, whatever the locale says.

    Raises:
        InvalidRequestError: They are not.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return decoded(os.fsencode(text), place)
    return text


def decoded(data: bytes, place: str) -> str:
    """Return UTF-8 as text, without a byte order mark, its lines ended as everywhere.

    Args:
        data: The bytes.
        place: What they are, for the message.

    Raises:
        InvalidRequestError: They are not UTF-8; the message names the byte and a way out.
    """
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ie.InvalidRequestError(
            f"{place} is not UTF-8: byte 0x{data[error.start]:02x} at position {error.start}, in "
            f"line {line}; {_way_out(data)}"
        ) from None


def _way_out(data: bytes) -> str:
    if data.startswith(_UTF_16):
        return "it seems to be UTF-16: convert it with iconv -f utf-16 -t utf-8"
    if data.startswith(_MAGIC):
        return "it is not text: an image or a sound is attached with -a FILE"
    return "if it is text, convert it with iconv -f latin1 -t utf-8"
