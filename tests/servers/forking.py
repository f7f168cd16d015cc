"""Forked children, for what a process does not share with them."""

from __future__ import annotations

import os
import traceback

import pytest


def needs_fork(test):
    """Mark a test that forks; newer Pythons warn of threads, which are the point."""
    test = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")(test)
    return pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")(test)


def check_in_a_child(check):
    """Fork, have the child check something, and see that it could."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            check()
            code = 0
        except BaseException:  # noqa: BLE001 - it goes no further than this process
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
