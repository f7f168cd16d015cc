"""Tracebacks that end where a program called us.

Goal: what a user reads is their own lines and our message, as from a function that is written in C.
Fifty frames of ours, of ``requests`` and of the standard library say nothing that the message does
not, and their locals hold what was sent and received, which crash reporters send away.

Rules:

* what a user calls lets errors out ``without_frames``; where each call counts, ``drop_frames`` is
  called in an ``except``, which costs nothing until there is an error;
* frames of the user's own, below ours, stay: those of a key function, of a signal handler, of a
  generator of messages, of somebody's own backend;
* a cause stays, without frames.  What an error of ours came from that is a cause itself, is kept as
  its context, which is not printed; likewise what we were handling.  What our caller was handling
  is printed as ever;
* ``INFERD_ENGINE_DEBUG=1`` keeps all.  It is looked up at each error, for notebooks.

On CPython 3.10 a ``raise`` brings back the frame that it is in: there one frame of ours is left.

Rejected: ``__tracebackhide__`` (pytest keeps to it, Python does not, and IPython shows the last
frame all the same), and ``sys.excepthook`` (it is the program's, and loggers do not ask it).
"""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")

VARIABLE = "INFERD_ENGINE_DEBUG"
# What is called by us and not by a user's function that we call: by the root of the module's name.
_BELOW = sys.stdlib_module_names | {
    *("inferd_engine", "attr", "attrs", "msgspec", "requests", "sseclient", "urllib3"),
    *("backports", "brotli", "brotlicffi", "certifi", "chardet", "charset_normalizer", "idna"),
    *("PIL", "zstandard"),
    *("OpenSSL", "eventlet", "gevent", "greenlet", "socks"),  # in a socket's place
}


def are_kept() -> bool:
    """Whether the environment asks for all frames."""
    return os.environ.get(VARIABLE, "0") not in ("", "0")


def without_frames(call: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let errors leave a function without the frames of what it calls; for what users call."""

    @functools.wraps(call)
    def leave(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        handled = sys.exc_info()[1]
        try:
            return call(*args, **kwargs)
        except BaseException as error:
            del args, kwargs  # what is left of this frame is not to show a key
            if error.__context__ is None and handled is not error:
                error.__context__ = handled  # as ``raise`` had it, before ``Mask`` took it away
            drop_frames(error)
            raise
        finally:
            del handled

    return leave


def made_without_frames(made: type[_T]) -> type[_T]:
    """Let errors leave the constructor that attrs wrote for a class as if it were written in C."""
    made.__init__ = without_frames(made.__init__)  # type: ignore[method-assign]
    return made


def drop_frames(error: BaseException) -> None:
    """Take all frames but the user's off an error; for the ``except`` of what users call."""
    if are_kept():
        return
    if error.__traceback__ is not None:
        error.__traceback__.tb_next = users_frames(error.__traceback__.tb_next)  # for 3.10
    links: list[BaseException] = [error]
    for link in links:
        link.__traceback__ = users_frames(link.__traceback__)
        if link.__traceback__ is not None:
            continue  # it is the user's, and so is what it came from
        _hide_origin(link, is_cause=link is not error)
        for other in (link.__cause__, link.__context__):
            if other is not None and not any(other is known for known in links):
                links.append(other)


def _hide_origin(link: BaseException, *, is_cause: bool) -> None:
    """Keep what an exception of ours came from, but have it printed only if it is the one cause."""
    if is_cause and link.__cause__ is not None and _is_ours(type(link).__module__):
        link.__context__, link.__cause__ = link.__cause__, None  # which hides the context
    if link.__context__ is not None and is_from_below(link.__context__):
        link.__suppress_context__ = True


def is_from_below(error: BaseException) -> bool:
    """Whether an exception was raised by what we call, and not before our caller called us."""
    return error.__traceback__ is not None and _is_below(error.__traceback__.tb_frame)


def users_frames(traceback: TracebackType | None) -> TracebackType | None:
    """Return what is the user's of a traceback: frames that neither we nor what we call are in."""
    theirs: list[TracebackType] = []
    is_users = False  # whose frame is the last, if it is not one that both may call
    while traceback is not None:
        is_users = not _is_below(traceback.tb_frame) or (
            is_users and not _is_ours(traceback.tb_frame.f_globals.get("__name__"))
        )
        theirs += [traceback] if is_users else []
        traceback = traceback.tb_next
    for entry, after in zip(theirs, [*theirs[1:], None], strict=False):
        entry.tb_next = after
    return theirs[0] if theirs else None


def _is_below(frame: FrameType) -> bool:
    """Whether a frame may be ours, or of what we are built on."""
    name: object = frame.f_globals.get("__name__")
    generated = frame.f_code.co_filename.startswith("<attrs generated")
    return generated or (isinstance(name, str) and name.partition(".")[0] in _BELOW)


def _is_ours(module: object) -> bool:
    return isinstance(module, str) and module.partition(".")[0] == __name__.partition(".")[0]
