"""The command line: see it work, use it, find out why it does not work.

    inferd-engine demo      see an answer stream, stop, run out of time, and break
    inferd-engine chat      ask a model; on a terminal, talk with it
    inferd-engine models    list the models of an upstream
    inferd-engine serve     be an OpenAI-compatible server in front of an upstream
    inferd-engine doctor    look at the installation, the key, the models and a stream

It uses the package by its front door, as any other program does.
"""

from inferd_engine.cli.exit_codes import (
    EXIT_CUT,
    EXIT_INTERRUPTED,
    EXIT_KEY,
    EXIT_MODEL,
    EXIT_OK,
    EXIT_PIPE,
    EXIT_TERMINATED,
    EXIT_UPSTREAM,
    EXIT_USAGE,
)
from inferd_engine.cli.main import main
from inferd_engine.cli.terminal import printable_text

__all__ = [
    "EXIT_CUT",
    "EXIT_INTERRUPTED",
    "EXIT_KEY",
    "EXIT_MODEL",
    "EXIT_OK",
    "EXIT_PIPE",
    "EXIT_TERMINATED",
    "EXIT_UPSTREAM",
    "EXIT_USAGE",
    "main",
    "printable_text",
]
