"""What the exit code says: one table, for the program, its help and its manual."""

from __future__ import annotations

EXIT_OK = 0
EXIT_UPSTREAM = 1
EXIT_USAGE = 2
EXIT_CUT = 3
EXIT_KEY = 4
EXIT_MODEL = 5
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count
EXIT_PIPE = 141  # 128 + SIGPIPE
EXIT_TERMINATED = 143  # 128 + SIGTERM

MEANINGS = {
    EXIT_OK: "all is well; of chat: the answer is whole",
    EXIT_UPSTREAM: "the upstream was not reached, refused, or failed before its first word",
    EXIT_USAGE: "the command line or the request is wrong",
    EXIT_CUT: "the answer was cut: what is on stdout is not all of it",
    EXIT_KEY: "doctor: the key was refused",
    EXIT_MODEL: "doctor: the model is not among those that the upstream lists",
    EXIT_INTERRUPTED: "stopped with Ctrl-C",
    EXIT_PIPE: "nobody reads stdout any more",
    EXIT_TERMINATED: "a conversation was ended by SIGTERM",
}


def table_of(*codes: int) -> str:
    """Return the meanings of some codes, one a line, as help ends with them."""
    return "exit codes:\n" + "".join(f"  {code:<4} {MEANINGS[code]}\n" for code in codes)
