"""llama.cpp's library, by way of llama-cpp-python's bindings: imported late, made quiet.

Of llama-cpp-python only its table of the C functions is used.  Its ``Llama`` cannot be stopped from
another thread, reads a prompt in one go, and has one context for each copy of the model.

llama.cpp writes to stderr unless it is told otherwise, for the whole process; here it writes to the
logger ``inferd_engine.llamacpp``.  What it says of a failure is in its log alone, so the last
complaints are kept, for the error's message.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import functools
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from inferd_engine._native import IMPLEMENTATION, ffi, lib as native
from inferd_engine.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

logger = logging.getLogger("inferd_engine.llamacpp")

# ggml.h, enum ggml_log_level: debug, info, warn, error; 5 goes on with the line before it.
_LEVELS = {1: logging.DEBUG, 2: logging.DEBUG, 3: logging.WARNING, 4: logging.ERROR}
_CONTINUED = 5
_complaints: collections.deque[str] = collections.deque(maxlen=3)
_local = threading.local()  # the flag of what this thread computes
_kept: list[Any] = []  # what C refers to: it has to live as long as the process


@functools.cache
def library() -> Any:  # a module without types
    """Return llama-cpp-python's module of C functions, ready to be used.

    Raises:
        UnsupportedError: It is not installed, or its library cannot be loaded.
    """
    try:
        import llama_cpp  # noqa: PLC0415 - a second, and an extra

        llama = llama_cpp.llama_cpp
    except ImportError as error:
        raise UnsupportedError(
            "LlamaCpp needs llama-cpp-python: pip install 'inferd-engine[llamacpp]'"
        ) from error
    except (OSError, RuntimeError) as error:
        raise UnsupportedError(
            f"llama-cpp-python is there, but its library cannot be loaded: {error}"
        ) from error
    redirect_log(llama)
    llama.llama_backend_init()
    return llama


@functools.cache
def brief(name: str) -> Any:  # a function of ctypes
    """Return a C function that is called with the interpreter's lock kept: it takes microseconds.

    To let go of the lock where a thread waits for it is a call of the kernel, and to have it back
    from one that computes takes up to five milliseconds.
    """
    function = getattr(library(), name)
    keeping = ctypes.PYFUNCTYPE(function.restype, *function.argtypes)
    return keeping(ctypes.cast(function, ctypes.c_void_p).value or 0)


def redirect_log(llama: Any) -> None:
    """Have llama.cpp write to our logger, whoever had it write elsewhere before."""
    log = llama.llama_log_callback(_logger())
    _kept.append(log)
    llama.llama_log_set(log, ctypes.c_void_p(0))


def log_callback() -> Any:  # a function pointer of ctypes
    """Return what takes llama.cpp's log lines, for a library beside it; once it is loaded."""
    return _kept[0]


def _logger() -> Callable[[int, bytes, Any], None]:
    level = logging.DEBUG

    def log(kind: int, text: bytes, _: Any) -> None:
        nonlocal level
        level = level if kind == _CONTINUED else _LEVELS.get(kind, logging.DEBUG)
        if level == logging.DEBUG and not logger.isEnabledFor(level):
            return  # most of them: there is one before each round
        line = text.decode("utf-8", "replace").strip()
        if not line.strip("."):
            return  # the dots of a progress bar
        if level >= logging.ERROR:
            _complaints.append(line)
        is_stopped = bool(getattr(_local, "flag", None))
        logger.log(logging.DEBUG if is_stopped else level, "%s", line)

    return log


@contextlib.contextmanager
def computing(flag: AbortFlag | None) -> Iterator[None]:
    """Keep llama.cpp's complaints in here, but not those about being stopped by the flag."""
    _complaints.clear()
    _local.flag = flag
    try:
        yield
    finally:
        _local.flag = None


def forget_complaints() -> None:
    """Begin anew to keep what llama.cpp complains about."""
    _complaints.clear()


def complaints() -> str:
    """Return what llama.cpp has complained about, to be put behind a message."""
    said = "; ".join(_complaints)
    return f": llama.cpp says: {said}" if said else ""


class Owner:
    """What has something of llama.cpp's, and frees it in the end, in the process that made it.

    What it was made of is freed after it: llama.cpp looks at the model while it frees a context,
    and the finalizers of what is collected together run in any order.
    """

    handle: Any = None

    def own(self, handle: Any, free: Callable[[Any], object], *, of: Owner | None = None) -> None:
        """Have this from now on; nothing is had of what could not be made.

        Args:
            handle: llama.cpp's.
            free: Frees it.
            of: What it was made of.
        """
        self.handle, self._free, self._pid, self._getpid = handle, free, os.getpid(), os.getpid
        self._made_of = of if handle else None
        self._users: list[None] = []  # one for each that was made of it, and is not freed yet
        if self._made_of is not None:
            self._made_of._users.append(None)  # noqa: SLF001 - one of us

    def __del__(self) -> None:
        if self.handle and self._getpid() == self._pid:
            self._leave()

    def _leave(self) -> None:
        """Free it, unless something was made of it, which does so when it has left."""
        try:
            self._users.pop()  # in one step: of several, one alone finds none
        except IndexError:
            self._free(self.handle)
            if self._made_of is not None:
                self._made_of._leave()  # noqa: SLF001 - one of us


class Batch:
    """Room for tokens to compute: llama.h's `llama_batch`, over arrays of our own.

    Args:
        size: How many.
    """

    def __init__(self, size: int) -> None:
        llama = library()
        number = llama.llama_seq_id
        self._tokens, self._places = (llama.llama_token * size)(), (llama.llama_pos * size)()
        self._numbers, self._wanted = (number * size)(), (ctypes.c_int8 * size)()
        self._lengths = (ctypes.c_int32 * size)(*[1] * size)  # each is of one sequence
        step, first = ctypes.sizeof(number), ctypes.addressof(self._numbers)
        pointer = ctypes.POINTER(number)
        self._owners = (pointer * size)(
            *(ctypes.cast(first + step * index, pointer) for index in range(size))
        )
        self.handle = llama.llama_batch(
            token=self._tokens,
            pos=self._places,
            n_seq_id=self._lengths,
            seq_id=self._owners,
            logits=self._wanted,
        )

    def clear(self) -> None:
        """Let it be empty."""
        self.handle.n_tokens = 0

    def put(self, tokens: Sequence[int], place: int, number: int, *, wanted: bool) -> int:
        """Put tokens behind what is there; return where the last of them is.

        Args:
            tokens: At least one.
            place: Of the first of them in its sequence.
            number: Of the sequence.
            wanted: Whether what they say is wanted of all of them; else it is of none.
        """
        begin, count = self.handle.n_tokens, len(tokens)
        end = self.handle.n_tokens = begin + count
        self._tokens[begin:end] = tokens
        self._places[begin:end] = range(place, place + count)
        self._numbers[begin:end] = [number] * count
        self._wanted[begin:end] = [wanted] * count
        return int(end - 1)

    def want(self, index: int) -> None:
        """Want what one of them says."""
        self._wanted[index] = 1


class AbortFlag:
    """One byte that ends what is computed for one request, and for no other.

    Each request has its own, and the context it computes in looks at that one: so a cancel that
    comes late sets a byte that nobody looks at any more.
    """

    def __init__(self) -> None:
        self._byte = ctypes.c_ubyte(0)
        self.address = ctypes.addressof(self._byte)

    def __bool__(self) -> bool:
        return self._byte.value != 0

    def set(self) -> None:
        """Set it, for good; from any thread, without a lock."""
        self._byte.value = 1


@functools.cache
def abort_callback() -> Any:  # a function pointer of ctypes
    """Return what llama.cpp asks whether to go on: in C, or in Python where the C part is not."""
    callback = library().ggml_abort_callback
    if IMPLEMENTATION == "native":
        return callback(int(ffi.cast("uintptr_t", ffi.addressof(native, "abort_flag"))))
    return callback(lambda address: ctypes.c_ubyte.from_address(address).value != 0)
