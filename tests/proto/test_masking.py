"""What is said back is masked in whatever spelling it comes, whole or cut; all else is left."""

from __future__ import annotations

import html
import json
import pickle
import urllib.parse

import pytest
from hypothesis import given, strategies as st

import inferd_engine as ie
from inferd_engine.masking import Mask

KEY = "sk-Canary_01/23+45=6789"
OTHER = "hcanary-0987654321"


def each(spell):
    """Spell every character of a text."""
    return lambda text: "".join(map(spell, text))


SPELLINGS = {
    "as it is": str,
    "upper case": str.upper,
    "lower case": str.lower,
    "json": each(lambda char: f"\\u{ord(char):04x}"),
    "json, upper case": each(lambda char: f"\\u{ord(char):04X}"),
    "json, slashes": lambda text: text.replace("/", "\\/"),
    "json in json": each(lambda char: f"\\\\u{ord(char):04x}"),
    "python": each(lambda char: f"\\x{ord(char):02x}"),
    "url": lambda text: urllib.parse.quote(text, safe=""),
    "url, every character": each(lambda char: f"%{ord(char):02X}"),
    "url in url": lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
    "html": each(lambda char: f"&#{ord(char)};"),
    "html, hexadecimal": each(lambda char: f"&#x{ord(char):X};"),
    "html, names": lambda text: text.replace("/", "&sol;").replace("+", "&plus;"),
    "html in json": each(lambda char: f"\\u0026#{ord(char)};"),
    "one letter": lambda text: text.replace("n", "\\u006e", 1),
}
ALPHABET = st.characters(min_codepoint=33, max_codepoint=126)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings(spelling):
    """A secret is masked as it is spelled; what stands around it stays, escapes too."""
    said = SPELLINGS[spelling](KEY)
    around = "é \\u00e9 %41 &amp; \\n … %s, %s; \\/ İ"
    masked = Mask([OTHER, KEY]).text(around.replace("%s", said))
    assert masked == around.replace("%s", "***")


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("after", ["", "… (a hint)"])
def test_cut_secrets(spelling, after):
    """A secret that our own limits cut is masked from its eighth character on."""
    said = SPELLINGS[spelling](KEY)
    mask = Mask([KEY])
    shortest = min(n for n in range(len(said)) if "***" in mask.text(said[:n]))
    assert len(said) / len(KEY) * 8 - 8 <= shortest <= len(said) / len(KEY) * 8 + 12
    for length in range(shortest, len(said)):
        masked = mask.text(f"x {said[:length]}{after}")
        assert masked.startswith("x ***")
        assert len(masked) <= len(f"x ***{after}") + 10  # a begun escape


@given(st.text(ALPHABET, min_size=8, max_size=60), st.text(max_size=30), st.text(max_size=30))
def test_any_secret(secret, before, after):
    """Whatever a secret is made of, it is found in what JSON, URLs and HTML make of it."""
    mask = Mask([secret])
    for spell in (str, json.dumps, urllib.parse.quote, html.escape):
        assert secret.lower() not in mask.text(f"{before}\n{spell(secret)}\n{after}").lower()


@given(st.text(max_size=100))
def test_what_holds_no_secret_is_left(text):
    """A text without a secret comes out as it is."""
    assert Mask([KEY, OTHER]).text(text) == text


@pytest.mark.parametrize("dummy", ["", "x", "ollama", "sk-1234"])
def test_dummies_are_left(dummy):
    """The letters of a dummy key are in every text: they are not looked for."""
    assert Mask([dummy]).text("ollama sk-12345 x") == "ollama sk-12345 x"


def test_secrets_inside_of_secrets():
    """The longest is masked, once; two that overlap are one mask."""
    assert Mask(["Bearer " + KEY, KEY]).text(f"got Bearer {KEY}.") == "got ***."
    assert Mask(["abcdefghij", "ghijklmnop"]).text("<abcdefghijklmnop>") == "<***>"


def test_long_texts():
    """In a text that is too long to undo its escapes, a secret is masked as it is sent."""
    filler = "\\u0041" * 100_000
    assert Mask([KEY]).text(filler + KEY + filler) == filler + "***" + filler


def told(error):
    """Give all that can be read of an error and its causes."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error), repr(error.args), repr(vars(error))]
        error = error.__cause__
    return "\n".join(texts)


def raised(error, cause=None):
    """Raise an error while another is handled, so that it has frames and a context."""

    def fail(problem, cause=None):
        said = KEY  # in a frame of its traceback
        assert said
        raise problem from cause

    try:
        try:
            fail(ValueError(KEY))
        except ValueError:
            fail(error, cause)
    except ie.GenerateError as caught:
        return caught


ERRORS = {
    "HttpStatusError": ie.HttpStatusError(
        KEY, body=KEY, upstream_message=KEY, code=KEY, headers={"x-echo": KEY}, request_id=KEY
    ),
    "UpstreamError": ie.UpstreamError(KEY, upstream_message=f"a {KEY}", code=KEY),
    "ToolCallMalformedError": ie.ToolCallMalformedError(KEY, arguments=KEY, name=KEY),
    "TransportError": ie.TransportError(f"{KEY} {OTHER}"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    """All attributes are masked, frames and contexts are gone, and the class stays."""
    error = Mask([KEY, OTHER]).error(raised(ERRORS[name], ConnectionError(KEY)))
    assert type(error).__name__ == name
    assert KEY not in told(error)
    assert isinstance(error.__cause__, ConnectionError)
    assert error.__context__ is error.__traceback__ is error.__cause__.__traceback__ is None
    assert KEY.encode() not in pickle.dumps(error)


def test_causes_that_cannot_be_changed():
    """A cause that holds what it was made of in places of its own is left away."""
    broken = UnicodeDecodeError("utf-8", KEY.encode(), 0, 1, "bad")
    error = Mask([KEY]).error(raised(ie.TransportError("x"), broken))
    assert error.__cause__ is None
    fine = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")
    assert Mask([KEY]).error(raised(ie.TransportError("x"), fine)).__cause__ is fine


def test_notes():
    """Notes are texts of an error too."""
    error = ie.TransportError("x")
    error.__notes__ = [f"said {KEY}"]
    assert Mask([KEY]).error(error).__notes__ == ["said ***"]


def test_the_models_text_is_given_as_it_is():
    """What came before an error is nobody's to change."""
    error = ie.UpstreamError(KEY, partial=ie.Completion(text=KEY))
    assert Mask([KEY]).error(error).partial.text == KEY
    done = ie.Done(ie.StopReason.ERROR, None, f"error: {KEY}")
    assert Mask([KEY]).ending(done).finish_reason == "error: ***"
    assert Mask([OTHER]).ending(done) is done
    assert Mask([KEY]).ending(None) is None
