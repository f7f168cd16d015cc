r"""A model's Markdown, made so that it can load nothing and run nothing.

A notebook trusts what its own kernel shows: JupyterLab runs a ``<script>`` in an answer, and an
image with an address tells its host what is in the question.  What a model writes is in the hands
of whoever wrote what it has read.

The rule: what could do harm is broken wherever it stands, so that no renderer has to agree with us
about what is code and what is text (they do not agree with each other).  Where we take a place for
code or for a formula decides only how it looks:

* in text, the first character becomes an entity, which is shown as that character;
* code without anything of the kind stays as it is, and is highlighted; other code becomes a
  ``<pre>`` or ``<code>`` in which every mark is an entity;
* in a formula a blank is put in between, as entities mean nothing there.

What could do harm: a tag, an image, a link that is not plain http(s), a definition of one, a fence
whose content is drawn, and ``$``.  JupyterLab takes formulas out before it reads Markdown and puts
them back afterwards, quotation marks and all: one in an address becomes an attribute.  So a formula
begins a word, which nothing in an address does, and ``$5 and $10`` are not one.

Rejected: a parser of our own (it would have to be right about five renderers), escaping all of it
(code could not be read), and sanitising HTML (there is none yet: the front end makes it).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Languages that some front end draws instead of showing them, maybe from an address.
_DRAWN = "geojson|math|mermaid|stl|topojson|vega"
_FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*?)[ \t]*")
_LANGUAGE = re.compile(r"[\w+#.-]*")
_HARMFUL = re.compile(
    rf"""
    (?<!\\)(?P<slashes>\\*)  # Markdown's escapes: two are one, and one makes an entity text
    (?P<mark>
        <(?=[A-Za-z/!?])                              # a tag, a comment
        | !\[                                         # an image
        | (?<=\])\((?!https?://[^\s<>"'\\$`\[\]]*\))  # a link, or one with a title
        | \$
        | \\(?=begin\{{) | (?<=\\)\\(?=[(\[])         # JupyterLab: formulas, too
        | (?:(?<!`)`{{3,}}|(?<!~)~{{3,}})(?=[ \t]*(?i:{_DRAWN}))
    )
    """,
    re.VERBOSE,
)
# The label of a definition has 999 characters at most (CommonMark 0.31, 6.3).
_DEFINITION = re.compile(r"^([^A-Za-z\[\n]*\[(?:[^\[\]]|\\[\[\]]){0,999}?\]):", re.MULTILINE)
_WORD = r"(?<!\S)(?P<begin>[(\[|*_>-]*)"
_PARAGRAPH = r"(?:(?!\n[ \t]*\n|\\\[|~~~)[^$`])+?"
_CODE_OR_FORMULA = re.compile(
    rf"""
    (?P<code>(?<![`\\])(?P<ticks>`+)(?!`) (?P<inside>.+?) (?<!`)(?P=ticks)(?!`))
    | {_WORD} (?:
        \$\$(?P<display>{_PARAGRAPH})\$\$
        | \$(?P<inline>[^\s$`](?:[^$`\n]*[^\s$`\\])?)\$(?!\d)
        | \\\[(?P<brackets>{_PARAGRAPH})\\\]
        | \\\((?P<parentheses>(?:(?!\\\()[^$`\n])+?)\\\)
    )
    """,
    re.VERBOSE,
)
_HARMFUL_FORMULA = re.compile(
    r"<(?=[A-Za-z/!?])|!(?=\[)|\](?=[(:])|(?<=\S)(?=\\begin\{)|(?<=[^\s\\])(?=\\{2,}[(\[])"
)
_MARKS = str.maketrans(
    {mark: f"&#{ord(mark)};" for mark in "\"'`$\\*_[]()!#~|{}:@.\n"}
    | {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": ""}
)


def safe_markdown(text: str) -> str:
    """Return a model's Markdown, of which no front end loads or runs anything."""
    shown: list[str] = []
    between: list[str] = []
    lines = iter(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    for line in lines:
        fence = _FENCE.fullmatch(line)
        if fence is None:
            between.append(line)
            continue
        shown += [*_text(between), _block(fence, _until_closed(lines, fence["fence"]))]
        between = []
    return _DEFINITION.sub(r"\1&#58;", "\n".join([*shown, *_text(between)]))


def literal(text: str) -> str:
    """Return a text for the inside of an element: on one line, and every mark an entity."""
    return text.translate(_MARKS)


def _until_closed(lines: Iterator[str], fence: str) -> list[str]:
    """Return the lines of a piece of code, and step over the fence that closes it."""
    code: list[str] = []
    for line in lines:
        closing = _FENCE.fullmatch(line)
        if closing is not None and closing["fence"].startswith(fence) and not closing["info"]:
            break
        code.append(line)
    return code


def _block(opening: re.Match[str], lines: list[str]) -> str:
    """Return fenced code, closed although the closing fence may not have come yet."""
    indent, fence, info = opening["indent"], opening["fence"], opening["info"]
    language = _LANGUAGE.match(info)
    named = "" if language is None else language[0]
    if not _is_harmless("\n".join([f"{fence}{named}", *lines])):
        code = "\n".join(line[_indented(line, len(indent)) :] for line in lines)
        return f"{indent}<pre><code>{literal(code)}</code></pre>"
    return "\n".join([f"{indent}{fence}{named}", *lines, f"{indent}{fence}"])


def _indented(line: str, most: int) -> int:
    return min(most, len(line) - len(line.lstrip(" \t")))


def _is_harmless(code: str) -> bool:
    return _HARMFUL.search(code) is None and _DEFINITION.search(code) is None


def _text(lines: list[str]) -> list[str]:
    """Return what is between two pieces of fenced code, if anything is."""
    text = "\n".join(lines)
    shown, end = [], 0
    for special in _CODE_OR_FORMULA.finditer(text):
        shown += [_HARMFUL.sub(_entities, text[end : special.start()]), _special(special)]
        end = special.end()
    return ["".join([*shown, _HARMFUL.sub(_entities, text[end:])])] if lines else []


def _special(match: re.Match[str]) -> str:
    """Return code or a formula, as it may stand in a line."""
    code = match["code"]
    if code is not None:
        return code if _is_harmless(code) else f"<code>{literal(match['inside'])}</code>"
    begin, mark = match["begin"], "$"
    formula = match["inline"] or match["parentheses"]
    if formula is None:
        formula, mark = match["display"] or match["brackets"], "$$"
    return f"{begin}{mark}{_HARMFUL_FORMULA.sub(_apart, formula)}{mark}"


def _apart(match: re.Match[str]) -> str:
    return f"{match[0]} "


def _entities(match: re.Match[str]) -> str:
    """Return entities; ``$`` in an element of its own, as JupyterLab looks for pairs once more."""
    mark = match["mark"]
    shown = f"<span>{literal(mark)}</span>" if mark == "$" else literal(mark)
    return "&#92;" * (len(match["slashes"]) // 2) + shown
