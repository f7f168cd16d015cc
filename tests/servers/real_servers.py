"""Which servers that nobody here wrote were asked, and why others were not.

A folder of tests that needs somebody else's server leaves its tests out where that is not
installed, by ``collect_ignore_glob = missing(…)``.  As a plugin (``-p real_servers``) this tells at
the end of a run which servers ran, and which did not and why; a run in which none ran fails.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

SERVERS = {  # by the folder of their tests
    "llama_server": "llama.cpp's own server",
    "litellm": "LiteLLM's proxy",
    "aimock": "aimock",
    "llmock": "LLMock",
    "vllm": "vLLM",
}
_missing: dict[str, str] = {}
_is_told = False


def missing(folder, why, *, must=False):
    """Leave out the tests of a folder, as the value of its ``collect_ignore_glob``.

    Args:
        folder: Its name.
        why: What is not there.
        must: Raise instead, unless the run tells at its end what did not run.
    """
    if must and not _is_told:
        raise ModuleNotFoundError(why)
    _missing[folder] = why
    return ["test_*.py"]


def pytest_configure():
    """Tell at the end."""
    global _is_told  # noqa: PLW0603 - conftests ask
    _is_told = True


def _counts(reporter):
    """Give how many tests of each folder passed, and how many did not."""
    counts = {"passed": Counter(), "failed": Counter()}
    for outcome in ("passed", "failed", "error"):
        for report in reporter.getreports(outcome):
            if outcome != "passed" or report.when == "call":
                folder = Path(report.nodeid.partition("::")[0]).parent.name
                counts["passed" if outcome == "passed" else "failed"][folder] += 1
    return counts["passed"], counts["failed"]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter):
    """Say of each server whether it ran."""
    passed, failed = _counts(terminalreporter)
    terminalreporter.section("servers that nobody here wrote")
    for folder, name in SERVERS.items():
        if folder in _missing:
            told = f"did not run: {_missing[folder]}"
        elif failed[folder]:
            told = f"ran: {passed[folder]} tests passed, {failed[folder]} failed"
        elif passed[folder]:
            told = f"ran: {passed[folder]} tests passed"
        else:
            told = "did not run: none of its tests was selected"
        terminalreporter.write_line(f"{name}: {told}")


def pytest_sessionfinish(session, exitstatus):
    """Fail where none ran: pytest calls that "no tests collected" and would tell it by 5."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
