"""What commands share of their command lines: a parser that helps, and the options for an upstream.

A key is not an option.  What stands on a command line is seen by everybody on the machine (``ps``)
and stays in the shell's history: a variable is named instead.
"""

from __future__ import annotations

import argparse
import difflib
import json
from typing import Any, NoReturn

import inferd_engine as ie

PROTOCOLS = ("openai", "anthropic", "bedrock")
_KEY_OPTIONS = ("--api-key", "--apikey", "--key", "--token", "--api-token")
_NO_KEYS = (
    "a key is not given on the command line, where ps and the shell's history show it: "
    "put it into a variable, and name that with --key-from VARIABLE"
)


class Parser(argparse.ArgumentParser):
    """Read a command's words and options in any order; what is wrong is told in two lines."""

    def __init__(self, command: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=command,
            description=description[0].upper() + description[1:] + ".",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the command line, instead of leaving.

        Raises:
            InvalidRequestError: Always.
        """
        raise ie.InvalidRequestError(f"{message}\ntry: {self.prog} --help")

    def parse_words(self, words: list[str]) -> argparse.Namespace:
        """Read the words after the command; behind ``--`` all are taken as they are.

        Raises:
            InvalidRequestError: Something in it is not understood.
        """
        at = words.index("--") if "--" in words else len(words)
        # An option's value may be "--" only if it is joined to it: --system=--
        options, unknown = self.parse_known_intermixed_args(words[:at])
        if unknown:
            self.error(self._unknown(unknown))
        if words[at + 1 :]:
            if not hasattr(options, "words"):
                self.error("this command takes options alone")
            options.words = [*options.words, *words[at + 1 :]]
        return options

    def _unknown(self, words: list[str]) -> str:
        """Say what is not understood, without its value: that may be a key."""
        names = [word.partition("=")[0] for word in words if word.startswith("-")]
        if not names:
            return f"there is no place for {words[0]!r}"
        if names[0].lower() in _KEY_OPTIONS:
            return _NO_KEYS
        known = [name for name in self._option_string_actions if name.startswith("--")]
        close = difflib.get_close_matches(names[0], known, 1)
        hint = f"did you mean {close[0]}?" if close else "behind -- words are taken as they are"
        return f"there is no option {names[0]}: {hint}"


def add_upstream(parser: argparse.ArgumentParser, key_option: str = "--key-from") -> None:
    """Add the options that say which upstream is asked, and how.

    Args:
        parser: Of the command.
        key_option: What names the variable of the upstream's key.
    """
    where = parser.add_argument_group("the upstream")
    where.add_argument(
        "--base-url",
        metavar="URL",
        help="where it is: https://host/v1, localhost:11434, :11434; OPENAI_BASE_URL "
        "(ANTHROPIC_BASE_URL) if left out",
    )
    where.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default=PROTOCOLS[0],
        help="what it speaks: OpenAI's Chat Completions, Anthropic's Messages, Bedrock's Converse",
    )
    where.add_argument(
        "--preset", metavar="NAME", help="what is known of a server: ollama, openrouter, groq, …"
    )
    where.add_argument("-m", "--model", metavar="NAME", help="its name of the model")
    where.add_argument(
        key_option,
        dest="key_from",
        metavar="VARIABLE",
        help="the variable that holds the key, '' to send none; OPENAI_API_KEY "
        "(ANTHROPIC_API_KEY), or the preset's",
    )
    where.add_argument(
        "--header",
        metavar="'NAME: VALUE'",
        action="append",
        default=[],
        type=_header,
        help="sent with every request; again for another",
    )
    where.add_argument(
        "--timeout", metavar="SECONDS", type=float, help="for the whole request; 300 if left out"
    )


def key_and_value(text: str) -> tuple[str, Any]:
    """Read ``key=value``; the value is JSON if it parses, else text.

    Raises:
        ArgumentTypeError: There is no key.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise argparse.ArgumentTypeError("is not KEY=VALUE, such as top_p=0.9")
    try:
        return key.strip(), json.loads(value)
    except (ValueError, RecursionError):
        return key.strip(), value


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(
            "is not 'NAME: VALUE' (it is not shown here: it may hold a key)"
        )
    return name.strip(), value.strip()
