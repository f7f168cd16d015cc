"""What a protocol is: three functions that turn an answer into bytes, and a state of its own.

A protocol sees the events of one answer in their order and does no I/O; what it is made of (ids, a
model's name, a time) it is given.  So every rule of a page's parser is checked without a server.
"""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from collections.abc import Sequence

    import inferd_engine as ie

    Ending = Union[ie.Done, ie.GenerateError, None]


@typing.runtime_checkable
class PageProtocol(typing.Protocol):  # "Protocol" to users: typing looks for members by that name
    """Write these three to speak a language of your own; make one object for each answer.

    Attributes:
        headers: Name and value pairs, over those that every body has.
    """

    headers: Sequence[tuple[str, str]] = ()

    def start(self) -> bytes:
        """Return what leaves before the model has said anything; may be empty."""
        ...

    def event(self, event: ie.TokenEventV2 | ie.Token) -> bytes:
        """Return the frames of an event, which is never a ``Done``; empty for one to leave out."""
        ...

    def end(self, ending: Ending) -> bytes:
        """Return the last frames.

        Args:
            ending: ``Done`` for a whole answer, the error of one that failed, None for one that
                somebody has closed.
        """
        ...


Protocol = PageProtocol
