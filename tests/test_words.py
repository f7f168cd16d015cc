"""What users read is idiomatic English, in errors and in ``help()``."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import inferd_engine as ie
from inferd_engine import testing

PACKAGE = Path(ie.__file__).parent
MODULES = [*PACKAGE.rglob("*.py")]
# "There is no X" is English, "X is no Y" is not, or means something else.
ODD = re.compile(
    r"(?<!there )(?<!There )\b(is|are) no [a-zA-Z]|\blook (at|whether|into)\b", re.ASCII
)
# Their own words for people at a terminal: looking is what they do.
FINE = {"look at the installation, the key, the models and a stream"}


def texts_in(path):
    """Give the texts of a module that are not docstrings."""
    tree = ast.parse(path.read_text("utf-8"))
    docs = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_messages_are_idiomatic(path):
    """An error says "is not a str" and "check base_url"."""
    assert [text for text in texts_in(path) if ODD.search(text) and text not in FINE] == []


def described():
    """Give every public class and function, and their public methods and properties."""
    for module in (ie, testing):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                yield pytest.param(value, id=name)
            if inspect.isclass(value):
                for inner, member in vars(value).items():
                    function = getattr(member, "__func__", getattr(member, "fget", member))
                    if inspect.isfunction(function) and not inner.startswith("_"):
                        yield pytest.param(function, id=f"{name}.{inner}")


@pytest.mark.parametrize("what", list(described()))
def test_docstrings_stand_alone(what):
    """Help shows one docstring at a time: it begins with a verb of its own, or with its subject."""
    first = inspect.cleandoc(what.__doc__).partition("\n")[0]
    assert first.endswith((".", ":")), first
    assert not re.match(r"(Do (the same|what)|It |Likewise|As (in|from|above)|Nothing:)", first), (
        first
    )
    # "Give it more time" is advice, and ends in what to give; what a function does, is to return.
    if inspect.isfunction(what):
        assert not first.startswith("Give "), first
