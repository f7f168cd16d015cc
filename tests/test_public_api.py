"""The one door: what can be imported, what it costs, what it leaves alone."""

from __future__ import annotations

import ast
import inspect
import logging
import subprocess
import sys
from pathlib import Path

import pytest

import inferd_engine as ie


@pytest.mark.parametrize("name", ie.__all__)
def test_every_public_name_is_there(name):
    """Each name loads, and what is a class or function says what it is for."""
    value = getattr(ie, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__doc__


def test_types_and_names_agree():
    """What type checkers see is what there is at run time."""
    tree = ast.parse(Path(ie.__file__).read_text("utf-8"))
    seen = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for inner in ast.walk(node):
                if isinstance(inner, ast.ImportFrom):
                    seen |= {alias.asname: inner.module for alias in inner.names}
    assert seen == ie._HOME_OF


def test_an_unknown_name():
    """A name that is not there is an AttributeError, as in any module."""
    with pytest.raises(AttributeError, match="nonsense"):
        ie.nonsense  # noqa: B018
    assert "OpenAiCompat" in dir(ie)


def test_importing_loads_nothing_heavy():
    """Import inferd_engine loads neither requests nor attrs nor msgspec."""
    code = (
        "import sys, inferd_engine\n"
        "print([m for m in ('requests', 'urllib3', 'attr', 'msgspec', 'cffi') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_mock_needs_no_requests():
    """Requests is imported when a backend needs it, and not before."""
    code = (
        "import sys, inferd_engine as ie\n"
        "ie.OpenAiCompatConfig(api_key=''); print(ie.Mock().complete('x').text)\n"
        "print('requests' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["mock-response", "False"]


def test_the_logger_is_silent():
    """The package logs to one logger, which prints nothing by itself."""
    handlers = logging.getLogger("inferd_engine").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)
