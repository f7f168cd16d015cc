"""Answers on disk, one JSON object a line: what makes a batch resumable after any death.

A line::

    {"journal":1,"index":7,"digest":"9f…","attempts":1,"completion":{"text":"…",…}}

``journal`` is the version of the format.  ``digest`` tells the prompt with all that is asked with
it (the system message, the fields of the call); the prompt itself is not in the file, nor is
anything of the backend's.  ``completion`` is what ``Completion.to_dict()`` gives.  Failures are not
written: they are asked anew.

Rules:

* a line is written at once and whole, as soon as its answer is, and no answer is given before the
  disk has it (``sync()``): what waits together is synced together;
* a last line without its end was torn: it is cut off, its prompt was never given an answer;
* anything else that is not as it was written makes the file somebody else's: it is refused and left
  as it is.  What was answered twice is such a thing;
* one writer: a lock of the kernel's, which dies with the process.

A line is read twice: when the file is opened, whether it is one, and when its answer is given.
Most answers are text and how it ended; those are made of their bytes in one step (``_Plain``).  All
others go the long way, by ``Completion.from_dict()``; so does whatever the short one does not take,
and only the long one refuses.

Rejected: a database (nobody greps one), a file of offsets beside (two files can disagree), a header
line (every reader would have to skip it), and a prompt in each line (a journal of images).
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import msgspec

from inferd_engine.errors import InternalError, InvalidRequestError
from inferd_engine.events import Completion, Done, StopReason, StreamStats, Usage
from inferd_engine.many.batch.lock import try_lock, unlock

if TYPE_CHECKING:
    from inferd_engine.many.batch.tasks import Task

VERSION = 1
_HEAD = b'{"journal":%d,"index":' % VERSION  # each line begins so: a torn one is known by it
_PERMISSIONS = 0o666  # as open() has them, less the umask


class _Line(msgspec.Struct):
    """One line, its completion left as it is."""

    journal: int
    index: int
    digest: str
    attempts: int
    completion: msgspec.Raw


class _PlainDone(msgspec.Struct, forbid_unknown_fields=True):
    """How most answers end."""

    stop_reason: StopReason
    usage: Usage | None = None
    finish_reason: str | None = None


class _PlainAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """What most answers are: no tool calls, and nothing that was signed."""

    text: str
    done: _PlainDone
    thinking: str = ""
    model: str = ""
    request_id: str | None = None
    stats: StreamStats | None = None

    def completion(self) -> Completion:
        """Return the answer itself."""
        done = self.done
        return Completion(
            text=self.text,
            thinking=self.thinking,
            done=Done(done.stop_reason, done.usage, done.finish_reason),
            model=self.model,
            request_id=self.request_id,
            stats=self.stats,
        )


class _Plain(msgspec.Struct):
    """One line with such an answer."""

    journal: int
    index: int
    digest: str
    attempts: int
    completion: _PlainAnswer


_decode = msgspec.json.Decoder(_Line).decode
_decode_plain = msgspec.json.Decoder(_Plain).decode


def _decoded_by_json(data: bytes) -> _Line | None:
    """Return a line with what msgspec does not take: NaN, and halves of characters."""
    try:
        found = json.loads(data)
        return _Line(**{**found, "completion": msgspec.Raw(json.dumps(found["completion"]))})
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def _value_of(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.MsgspecError:
        return json.loads(bytes(raw))


class Journal:
    """Keep the answers of one batch in a file.

    Args:
        path: Of the file; made if it is not there.

    Raises:
        InvalidRequestError: It is no journal, or another batch writes it, or it cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._descriptor = self._opened()
        self._lock = threading.RLock()  # writing and closing: whoever closes waits for a line
        self._is_dirty = False
        self._is_locked = False
        self._reader: BinaryIO | None = None
        self._last: _Line | _Plain | None = None  # what was checked is loaded next, as a rule
        try:
            self._is_locked = self._try_lock()
            if not self._is_locked:
                self._refuse(
                    "is being written by another batch: close() its results if they are yours, "
                    "wait for it, or name another file"
                )
            _open_journals.add(self)
            self._reader = self.path.open("rb")
            self._places, self._size = self._scan(self._reader)
            if self._size < os.fstat(self._descriptor).st_size:
                os.ftruncate(self._descriptor, self._size)  # a line that was torn
        except BaseException:
            self.close()
            raise

    def _opened(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        try:
            is_file = not self.path.exists() or stat.S_ISREG(self.path.stat().st_mode)
            descriptor = os.open(self.path, flags, _PERMISSIONS) if is_file else -1
        except (OSError, ValueError) as error:
            self._refuse(f"cannot be opened: {getattr(error, 'strerror', None) or error}")
        if descriptor < 0:
            self._refuse("is not a file: name one, such as answers.jsonl")
        return descriptor

    def _try_lock(self) -> bool:
        try:
            return try_lock(self._descriptor)
        except OSError as error:  # of a file system that knows no locks
            self._refuse(f"cannot be locked ({error.strerror}): name a file on a local disk")

    def _refuse(self, what: str) -> NoReturn:
        raise InvalidRequestError(f"journal {str(self.path)!r} {what}") from None

    # --- what it holds ---------------------------------------------------------------------------

    def _scan(self, file: BinaryIO) -> tuple[dict[int, int], int]:
        """Return where each answer is, and where the last whole line ends.

        Raises:
            InvalidRequestError: It is not a journal.
        """
        places: dict[int, int] = {}
        offset = 0
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                if not (line.startswith(_HEAD) or _HEAD.startswith(line)):
                    self._refuse(f"is not a journal of a batch: see its line {number}")
                break
            index = self._line(line, "line", number).index
            if index in places:
                self._refuse(f"answers prompt {index} a second time in line {number}")
            places[index] = offset
            offset += len(line)
        return places, offset

    def _line(self, data: bytes, place: str, number: int) -> _Line:
        line: _Line | None
        try:
            line = _decode(data)
        except msgspec.MsgspecError:
            line = _decoded_by_json(data)
        if line is None or not data.startswith(_HEAD) or line.index < 0:
            self._refuse(f"is not a journal of a batch: see its {place} {number}")
        return line

    @property
    def known(self) -> int:
        """How many prompts, from the first on, are known to the file: one more than the last."""
        return max(self._places, default=-1) + 1

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, index: int) -> bool:
        return index in self._places

    def check(self, index: int, digest: str) -> None:
        """Refuse to give an answer to another prompt than the one that it answers.

        Raises:
            InvalidRequestError: It is the answer to another prompt, or to one with other fields.
        """
        if self._at(index).digest != digest:
            self._refuse(
                f"holds the answer to another prompt {index}, or to one with other fields: "
                "give the prompts and fields that it was begun with, or name another file"
            )

    def load(self, index: int) -> tuple[Completion, int]:
        """Return an answer that it holds, and how many attempts that took.

        Raises:
            InvalidRequestError: It cannot be read.
        """
        line = self._at(index)
        if isinstance(line, _Plain):
            return line.completion.completion(), line.attempts
        try:
            return Completion.from_dict(_value_of(line.completion)), line.attempts
        except (InvalidRequestError, ValueError):
            self._refuse(f"holds an answer to prompt {index} that cannot be read")

    def _at(self, index: int) -> _Line | _Plain:
        line = self._last
        if line is None or line.index != index:
            assert self._reader is not None  # noqa: S101 - a journal that is open has one
            self._reader.seek(self._places[index])
            data = self._reader.readline()
            try:
                line = _decode_plain(data)
            except msgspec.MsgspecError:
                line = self._line(data, "answer to prompt", index)
            if line.index != index:
                self._refuse(f"has changed under us: it held an answer to prompt {index}")
            self._last = line
        return line

    def check_count(self, count: int) -> None:
        """Refuse fewer prompts than it knows.

        Raises:
            InvalidRequestError: There are answers to prompts that are not there.
        """
        if count < self.known:
            self._refuse(
                f"knows {self.known} prompts, and there are {count}: give those that it was begun "
                "with, or name another file"
            )

    # --- writing ---------------------------------------------------------------------------------

    def write(self, task: Task, completion: Completion) -> None:
        """Write an answer, whole.

        Raises:
            InternalError: It cannot be written; the file is as it was.
        """
        line = _line_of(task, completion)
        with self._lock:
            if self._descriptor < 0:
                return  # the batch is closed: nobody is given the answer
            written = 0
            try:
                while written < len(line):
                    written += os.write(self._descriptor, line[written:])
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, self._size)
                raise self._failed(error) from error
            self._size += len(line)
            self._is_dirty = True

    def sync(self) -> None:
        """Have the disk hold what was written.

        Raises:
            InternalError: It does not.
        """
        if not self._is_dirty:
            return
        self._is_dirty = False
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            if self._descriptor >= 0:  # else it was closed meanwhile: nobody is given the answer
                raise self._failed(error) from error

    def _failed(self, error: OSError) -> InternalError:
        return InternalError(
            f"journal {str(self.path)!r} cannot be written: {error.strerror or error}; it holds "
            "all that was given: make room, and the same call goes on from there",
            retryable=False,
        )

    def close(self) -> None:
        """Let go of the file, for whoever wants to go on with it."""
        with self._lock:
            if self._descriptor >= 0 and self._is_locked:
                unlock(self._descriptor)
            self.drop()

    def drop(self) -> None:
        """Let go of the file, and leave it to whoever has the lock."""
        descriptor, self._descriptor = self._descriptor, -1
        if self._reader is not None:
            self._reader.close()
        if descriptor >= 0:
            os.close(descriptor)


def _line_of(task: Task, completion: Completion) -> bytes:
    """Return an answer as a line.

    Raises:
        InternalError: Something in it is not JSON.
    """
    head = {"journal": VERSION, "index": task.index, "digest": task.digest}
    data: dict[str, Any] = {
        **head,
        "attempts": task.attempts,
        "completion": completion.to_dict(),
    }
    try:
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InternalError(
            f"the answer to prompt {task.index} cannot be written as JSON: {error}"
        ) from None
    try:
        return f"{text}\n".encode()
    except UnicodeEncodeError:  # half a character, which only an escape can hold
        return f"{json.dumps(data, separators=(',', ':'))}\n".encode()


_open_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


def _close_in_child() -> None:
    """Let a forked child hold no lock that its parent's death would not let go of."""
    for journal in list(_open_journals):
        journal.drop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
