"""The kernel that runs us, if one does: where to show things, and what its cell has shown.

IPython is never imported: where there is a kernel, it has been.  In a terminal IPython has a shell
and no kernel, and nothing there can be drawn again.

An answer that its cell has shown is the cell's value too, if it stands there alone, and would be
shown twice: what the cell has shown is remembered until the next one, and shown no second time.
"""

from __future__ import annotations

import functools
import sys
import uuid
from typing import TYPE_CHECKING, Any

import inferd_engine as ie

if TYPE_CHECKING:
    from collections.abc import Mapping


def running_kernel() -> Any | None:  # IPython's shell, which is not imported
    """Return the shell of the kernel that runs this; None if none does."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = None if get_shell is None else get_shell()
    return None if getattr(shell, "kernel", None) is None else shell


class Output:
    """A place on the page, below the cell that runs, whose contents can be replaced."""

    def __init__(self, shell: Any) -> None:  # IPython's
        self._shell = shell
        self._transient = {"display_id": uuid.uuid4().hex}
        self._is_there = False

    def show(self, bundle: Mapping[str, str]) -> None:
        """Show something, by MIME type, in the place of what was there."""
        is_there, self._is_there = self._is_there, True
        self._shell.display_pub.publish(
            data=dict(bundle), metadata={}, transient=self._transient, update=is_there
        )

    def keep(self, answer: ie.Completion) -> None:
        """Remember that the cell has shown an answer."""
        _shown_by_cell(self._shell).append(answer)


@functools.lru_cache(maxsize=1)  # a process has one shell
def _shown_by_cell(shell: Any) -> list[ie.Completion]:  # IPython's
    """Return the answers that the cell has shown; the next one empties the list."""
    shown: list[ie.Completion] = []

    def show_once(answer: ie.Completion) -> None:
        if not any(answer is one for one in shown):
            raise NotImplementedError  # says to IPython that it is shown in the next best way

    def forget() -> None:
        shown.clear()

    shell.display_formatter.ipython_display_formatter.for_type(ie.Completion, show_once)
    shell.events.register("pre_execute", forget)  # also what a thread has shown since the last
    return shown
