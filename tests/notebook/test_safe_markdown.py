"""A model's Markdown loads and runs nothing, and looks as it would have."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings, strategies as st

from inferd_engine.notebook.safe_markdown import safe_markdown

# What is ours: the text of a model is never inside of these tags without being escaped.
OURS = re.compile(r"<pre><code>|</code></pre>|</?code>|</?span>")
HARM = {
    "a tag": r"<[A-Za-z/!?]",
    "an image": r"!\[",
    "a link that is not http": r"\]\((?!https?://[^\s\"'<>\\$]*\))",
    "a definition": r"(?m)^[ \t>*+\d.)-]*\[[^\[\]]*\]:",
    "an address with a formula in it": r"\S(?<![$(\[|*_>-])\$(?=\S)[^$\s]*\"[^$]*\$",
    "JupyterLab's other formulas": r"[^\s$]\\begin\{|[^\s$\\]\\{2,}[(\[]",
    "a drawing": r"(?m)^[ \t>*+\d.)-]*(`{3,}|~{3,})[ \t]*(?i:mermaid|math|vega)",
}

SAME = [
    "# Title\n\n* one\n* **two** _three_ ~~four~~\n\n> quoted\n\n| a | b |\n|---|---|\n| 1 | 2 |",
    "1 < 2, 3 > 2, a <- b, 5 <6, wow! [sic] x[0] (y) & Co. &copy;",
    "[link](https://x.example/a_(b)?q=1&r=2#c), <\u200b, https://x.example",
    "`code` and ``co`de`` and `a <- b`",
    "```python\nprint('<', x[0], 1 < 2)\n\nif a[0]: pass\n```",
    "1. Do\n\n   ```sh\n   ls -l | wc\n   ```\n2. Done",
    "~~~\ntext\n```\n~~~",
    "``` \nx\n``` ".replace("``` ", "```"),
    "so $a^2$, ($b$) and **$c$**:\n\n$$\n\\frac{a}{b}\n$$\n\nis $x<1$ or not",
    "",
    "\n\n",
]


@pytest.mark.parametrize("text", SAME)
def test_what_is_harmless_stays_as_it_is(text):
    """Text, code, formulas and plain links are not touched."""
    assert safe_markdown(text) == text


DOLLAR = "<span>&#36;</span>"
CHANGED = {
    "<b>x</b>": "&lt;b>x&lt;/b>",
    "<!-- x": "&lt;!-- x",
    "a<b": "a&lt;b",
    "![a](https://x.example/)": "&#33;&#91;a](https://x.example/)",
    "[a](javascript:alert(1))": "[a]&#40;javascript:alert(1))",
    "[a](<javascript:x>)": "[a]&#40;&lt;javascript:x>)",
    '[a](https://x.example "title")': '[a]&#40;https://x.example "title")',
    "> [a]: javascript:x\n[a]": "> [a]&#58; javascript:x\n[a]",
    "[a\nb]: javascript:x": "[a\nb]&#58; javascript:x",
    "from $5 to \\$10": f"from {DOLLAR}5 to {DOLLAR}10",
    "$5-$10": f"{DOLLAR}5-{DOLLAR}10",
    'https://x.example/$"onclick="x"$': f'https://x.example/{DOLLAR}"onclick="x"{DOLLAR}',
    r"\<b> \\<b> \![": r"&lt;b> &#92;&lt;b> &#33;&#91;",
    r"\`<b>\`": r"\`&lt;b>\`",
    r"\\(x\\)": r"&#92;(x\\)",
    r"[a\]b]: x": r"[a\]b]&#58; x",
    r"\begin{a}": "&#92;begin{a}",
    r"\(x\), \[y\]": r"$x$, $$y$$",
    "$a<b$": "$a< b$",
    r"$a\begin{x}b\\[2pt]\end{x}$": r"$a \begin{x}b \\[2pt]\end{x}$",
    "$f[x](y)$": "$f[x] (y)$",
    "`<b>`": "<code>&lt;b&gt;</code>",
    "`$HOME`": "<code>&#36;HOME</code>",
    "```html\n<b>\n\nx</b>\n```\ny": "<pre><code>&lt;b&gt;&#10;&#10;x&lt;/b&gt;</code></pre>\ny",
    "- a\n  ```\n  <b>\n    c\n  ```": "- a\n  <pre><code>&lt;b&gt;&#10;  c</code></pre>",
    "```mermaid\ngraph\n```": "<pre><code>graph</code></pre>",
    '```py" onclick="x\n1\n```': "```py\n1\n```",
    "```\n1": "```\n1\n```",
    "a\r\nb\rc": "a\nb\nc",
}


@pytest.mark.parametrize(("text", "shown"), CHANGED.items())
def test_what_could_do_harm_is_broken(text, shown):
    """Each way to load or run something becomes text that looks the same."""
    assert safe_markdown(text) == shown


PIECES = (
    *("<", "<b", "<script>", "!", "[", "]", "(", ")", "](", "![", "]:", ":", "javascript:x"),
    *(
        "https://x.example",
        '"',
        "'",
        "$",
        "$$",
        "\\",
        "\\\\",
        "\\(",
        "\\[",
        "\\)",
        "\\]",
        "\\begin{a}",
    ),
    *("`", "``", "```", "````", "~~~", "\n", "\n\n", " ", "    ", "- ", "> ", "1. ", "a", "<code>"),
    *("\\begin{a}", "mermaid", "```mermaid\n", "```python\n", "\r", "\t", "5", "é"),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=24).map("".join))
def test_nothing_harmful_is_left_anywhere(text):
    """Whatever the text is, and whatever a renderer takes a place for, there is nothing to find."""
    shown = OURS.sub("", safe_markdown(text))
    for what, pattern in HARM.items():
        assert not re.search(pattern, shown), what


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=24).map("".join))
def test_made_safe_again_it_is_the_same(text):
    """A front end that is given what was shown, as Markdown again, is as safe."""
    shown = safe_markdown(text)
    again = OURS.sub("", safe_markdown(shown))
    assert not re.search(HARM["a tag"], again)


LONG = [
    "`",
    "` `` ",
    "\\",
    "\\[ ",
    "\\( ",
    "[",
    "](https://",
    "$$ ",
    " $a",
    "<",
    "![",
    "[a\n",
    "-",
    "```\n",
]


@pytest.mark.parametrize("piece", LONG)
def test_the_time_grows_with_the_text(piece):
    """No text of a model holds the kernel up."""
    text = piece * (200_000 // len(piece))
    began = time.monotonic()
    safe_markdown(text)
    assert time.monotonic() - began < 5.0
