"""Markdown while it comes: drawn once, whatever the pieces, and nothing of the text is lost."""

from __future__ import annotations

import io
import random
import re
import sys

import pyte
import pytest
from hypothesis import given, settings, strategies as st

from inferd_engine.cli import answer, live, markdown

TEXTS = {
    "paragraphs": "First line\nsecond line\n\nAnother **bold** word and `code`.\n\nLast",
    "headings": "# One\ntext\n## Two\n\ntext\n\nSetext\n===\n\nend",
    "lists": "Before:\n- a\n- b\n  - c\n\n1. one\n2. two\n\n   still two\n3. three\n\nafter",
    "table": "Look:\n\na | b\n- | -\n1 | 2\n3 | 4\n\nafter it",
    "table at once": "x\n| a | b |\n|---|---|\n| 1 | 2 |\nand on\n\nafter",
    "code": "So:\n\n```python\ndef f():\n\n    return 1\n```\nafter\n\n    indented\n\nend",
    "open code": "```\none\n\ntwo\n\nthree",
    "quote": "> quoted\nlazy\n\n> again\n\n---\n\n* * *\n",
    "long": "\n\n".join(f"Paragraph {n} " + "word " * 30 for n in range(8)),
    "long block": "\n".join(f"line {n} of a block" for n in range(32)),
    "wide": "日本語のテキスト " * 12 + "\n\n🦀 " * 3,
    "odd": "\n\n  \n*\n**\n[a]: http://b\n\u2028x\x0cy\n&amp; \\* <b>tag</b>\n\n|\n-",
}


TOKENS = [
    *("a", "b ", "\n", "\n\n", "- ", "1. ", "> ", "```\n", "`", "**", "| ", "|", "#", "---\n"),
    *("    ", "  ", "===\n", "[x](y)", "<b>", "&#27;", "\\", "日", "~~"),
]
ATTACKS = [
    *("\x1b[2J", "&#27;[2J", "&#x1b;]0;t&#7;", "&#155;2J", "`&#27;` \x1b", "&#x202e;"),
    *(
        "[a](http://b/\x1b[2J)",
        "[&#27;[2J](x)",
        "```\n\x1b[2J\n```",
        "| \x1b[2J |\n|---|\n| &#27; |",
    ),
]


class Screen:
    """What is seen of what is written to stdout."""

    def __init__(self, monkeypatch, columns=80, lines=24):
        monkeypatch.setattr(live, "size", lambda: (columns - 1, lines))
        monkeypatch.setattr(markdown, "size", lambda: (columns - 1, lines))
        monkeypatch.setattr(markdown, "_PAUSE", 0.0)
        monkeypatch.setattr(markdown, "_REST", 0.0)
        monkeypatch.setenv("TERM", "xterm-256color")
        self.written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", _Terminal(self.written, encoding="utf-8"))
        self._size = (columns, lines)

    @property
    def text(self):
        columns, lines = self._size
        screen = pyte.HistoryScreen(columns, lines, history=10_000, ratio=1)
        # A terminal driver returns the carriage.
        pyte.ByteStream(screen).feed(self.written.getvalue().replace(b"\n", b"\r\n"))
        above = ["".join(row[n].data for n in range(columns)) for row in screen.history.top]
        return "\n".join(line.rstrip() for line in [*above, *screen.display]).rstrip()


class _Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


def shown(pieces, columns=80, lines=24):
    """Give the screen after a text has come in these pieces."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        screen = Screen(monkeypatch, columns, lines)
        text = markdown.Markdown()
        for piece in pieces:
            text.write(piece)
        text.close()
        return screen.text


def cut(text, seed):
    """Cut a text into pieces as the die falls."""
    rng = random.Random(seed)
    pieces = []
    while text:
        size = rng.choice([1, 1, 2, 3, 5, 8, 40])
        pieces.append(text[:size])
        text = text[size:]
    return pieces


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (20, 6)])
def test_the_pieces_do_not_matter(name, columns, lines):
    """However a text is cut, the screen is that of the whole text, above its edge as well."""
    text = TEXTS[name]
    whole = shown([text], columns, lines)
    for pieces in (list(text), cut(text, 1), cut(text, 2), text.splitlines(keepends=True)):
        assert shown(pieces, columns, lines) == whole


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(TOKENS),
        max_size=40,
    ),
    st.integers(0, 1000),
)
def test_the_pieces_do_not_matter_for_whatever_comes(tokens, seed):
    """The same for texts that nobody would write."""
    text = "".join(tokens)
    assert shown(cut(text, seed)) == shown([text])


def test_what_it_looks_like():
    """Headings, lists, tables and code are drawn as what they are, with one blank line between."""
    code, table = "```python\nx = 1\n```", "| a | b |\n|---|---|\n| 1 | 2 |"
    text = f"## Title\n\nA **b** c:\n\n- one\n- two\n\n{code}\n\n{table}"
    lines = [line.strip() for line in shown([text]).splitlines()]
    assert lines == [
        "Title",
        "",
        "A b c:",
        "",
        "• one",
        "• two",
        "",
        "x = 1",
        "",
        "a  b",
        "────",
        "1  2",
    ]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a vector<int> and <b>tags</b>", "a vector<int> and <b>tags</b>"),
        ("<div>\nblock\n</div>", "<div>\nblock\n</div>"),
        ("roses are red\nviolets are blue", "roses are red\nviolets are blue"),
        ("see [this](https://a.example/b)", "see this (https://a.example/b)"),
        ("![alt](https://a.example/i.png)", "!alt (https://a.example/i.png)"),
        ("[ref]: https://a.example", "[ref]: https://a.example"),
        ("<https://a.example>", "<https://a.example>"),
        ("one\r\ntwo", "one\ntwo"),
        ("5. five\n6. six", " 5 five\n 6 six"),
        ("a snake_case_name", "a snake_case_name"),
    ],
)
def test_nothing_is_lost(text, seen):
    """Tags, line breaks and addresses are to be seen."""
    assert shown([text]) == seen


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_escape_sequence_comes_through(monkeypatch, attack):
    """Neither as it is nor as an entity, wherever in a text it stands."""
    screen = Screen(monkeypatch)
    text = markdown.Markdown()
    text.write(f"# {attack}\n\n{attack}\n\n- {attack}")
    text.close()
    written = re.sub(r"\x1b\[(?:[\d;]*m|\d+A|K|J)", "", screen.written.getvalue().decode())
    assert not re.search("[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e]", written)


def test_a_finished_block_is_drawn_once(monkeypatch):
    """The work grows with the text, not with its square; the screen is never cleared."""
    screen = Screen(monkeypatch)
    text = markdown.Markdown()
    paragraphs = [f"p{n} " + "word " * 20 + "\n\n" for n in range(50)]
    for paragraph in paragraphs:
        for piece in re.findall(r"\s*\S+|\s+", paragraph):
            text.write(piece)
    text.close()
    written = screen.written.getvalue()
    assert written.count(b"p0 ") <= 21  # while its own line grew
    assert len(written) < 40 * len("".join(paragraphs))
    assert b"\x1b[2J" not in written
    assert b"\x1b[H" not in written


def test_what_is_there_is_not_drawn_again(monkeypatch):
    """Only lines that differ are written, each in one write with all the others."""
    screen = Screen(monkeypatch)
    region = live.Region()
    region.draw(["one", "two"])
    before = len(screen.written.getvalue())
    region.draw(["one", "two"])
    assert len(screen.written.getvalue()) == before
    region.draw(["one", "two!"])
    assert screen.written.getvalue()[before:] == b"\r\x1b[Ktwo!"


@pytest.mark.parametrize("seed", range(20))
def test_a_region_shows_what_was_drawn_last(monkeypatch, seed):
    """Lines may come, go and change: the last drawing is what is seen, below what is final."""
    rng = random.Random(seed)
    screen = Screen(monkeypatch, 40, 10)
    region = live.Region()
    final = []
    for _ in range(rng.randrange(1, 8)):
        for _ in range(rng.randrange(1, 6)):
            region.draw(
                [rng.choice("abc") * rng.randrange(1, 30) for _ in range(rng.randrange(15))]
            )
        lines = [rng.choice("xyz") * rng.randrange(1, 30) for _ in range(rng.randrange(1, 15))]
        region.finish(lines)
        final += lines
        assert screen.text == "\n".join(final)


@pytest.mark.parametrize("kind", [markdown.Markdown, answer.Plain])
def test_an_interrupt_in_the_middle_of_writing(monkeypatch, kind):
    """What Ctrl-C has struck is on the screen once, and what follows begins a line of its own."""
    screen = Screen(monkeypatch)
    text = kind()
    monkeypatch.setattr(sys.stdout, "flush", _struck_once(sys.stdout, b"two"))
    with pytest.raises(KeyboardInterrupt):
        text.write("one\ntwo")
    text.pause()
    text.write("three")
    text.close()
    assert screen.text == "one\ntwo\nthree"


def _struck_once(stream, after):
    """Flush, and strike once when that text has been written."""
    flush, strikes = stream.flush, [KeyboardInterrupt]

    def flush_and_strike():
        flush()
        if after in stream.buffer.getvalue() and strikes:
            raise strikes.pop()

    return flush_and_strike


def test_drawing_waits_for_its_time(monkeypatch):
    """Pieces that come in a burst are drawn together; a beat draws what is left."""
    screen = Screen(monkeypatch)
    monkeypatch.setattr(markdown, "_PAUSE", 3600.0)
    text = markdown.Markdown()
    text.write("one")
    for _ in range(100):
        text.write(" two")
    assert screen.text == "one"
    text.tick()
    assert screen.text == "one"
    monkeypatch.setattr(text, "_due", 0.0)
    text.tick()
    assert screen.text.count("two") == 100


def test_without_rich_text_is_text(monkeypatch):
    """The extra is an extra."""
    monkeypatch.setattr(answer, "is_styled", lambda _: True)
    assert isinstance(answer._shown(), markdown.Markdown)
    monkeypatch.delitem(sys.modules, "inferd_engine.cli.markdown")
    monkeypatch.setitem(sys.modules, "rich.markdown", None)
    assert isinstance(answer._shown(), answer.Plain)
