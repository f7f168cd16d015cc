"""Compile and run the tests of the C part: ``python tests/c/run.py unit|corpus|fuzz|instructions``.

Goal: one command for each question, on any machine with a C compiler: are the rules kept
(``unit``), do the inputs that once were interesting still pass (``corpus``), does anything else
break (``fuzz``, needs clang), what does an event cost (``instructions``, needs valgrind).

Rules: builds go to a temporary directory; ``CC`` of the environment is the compiler; every warning
is an error; each step does the same for every part, and says in one line for each how
it went.  The status is 0 when all is well, 1 when something failed, 3 when a tool is not there.

A part is ``csrc/PART.c`` with ``test_PART.c``, ``fuzz_PART.c``, ``callgrind_PART.c`` and the
inputs in ``corpus_PART``; one that does not take bytes apart, and so is in ``UNITS`` alone, has
``test_PART.c``.
"""
# ruff: noqa: T201 - this is a command: it prints, and runs the programs that it compiled

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "csrc"
PARTS = ["sse_lines", "alike_events", "utf8", "http_chunks", "base64_floats"]
UNITS = [*PARTS, "socket_read", "socket_texts", "abort_flag"]

WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
SANITIZERS = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
FUZZER = ["-O1", "-g", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]

COUNTED = {
    "sse_scan": "sse_lines",
    "sse_join": "sse_lines",
    "alike_texts": "alike_events",
    "utf8_truncate": "utf8",
    "utf8_valid": "utf8",
    "http_dechunk": "http_chunks",
    "base64_floats": "base64_floats",
}
SIZES = (64, 300, 4096)  # a token, a chunk as OpenAI sends it, a tool call's arguments
LONGEST = 512  # bytes of a fuzz input: some lines hold all that a part remembers
SCANNED = 1 << 20  # bytes for a count: what a call costs once is then less than a thousandth

MISSING = 3


class FailedError(Exception):
    """A step did not go well; the message is its summary line."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def compiler() -> list[str]:
    """Give the C compiler, as the words of a command."""
    if named := os.environ.get("CC"):
        return shlex.split(named)
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    raise FailedError("there is no C compiler: install one, or name it in CC", MISSING)


def fuzzing_compiler(build: Path) -> list[str]:
    """Give a clang that has libFuzzer: the one in ``CC``, ``clang``, or the newest ``clang-N``."""
    commands = [["clang"], *([f"clang-{version}"] for version in range(30, 10, -1))]
    if "clang" in (named := os.environ.get("CC", "")):
        commands.insert(0, shlex.split(named))
    source = build / "has_fuzzer.c"
    source.write_text(
        "int LLVMFuzzerTestOneInput(const char *input, unsigned long size);\n"
        "int LLVMFuzzerTestOneInput(const char *input, unsigned long size)\n"
        "{ return input == 0 && size != 0; }\n",
        encoding="ascii",
    )
    for command in commands:
        attempt = [*command, *FUZZER, str(source), "-o", str(build / "has_fuzzer")]
        if (
            shutil.which(command[0])
            and subprocess.run(attempt, capture_output=True, check=False).returncode == 0
        ):
            return command
    raise FailedError(
        "there is no clang with libFuzzer: install clang and its compiler-rt "
        "(Debian: clang-14 libclang-rt-14-dev), or name it in CC",
        MISSING,
    )


def run(command: list[str], step: str) -> str:
    """Run a command to its end; give what it printed, on both streams."""
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "errors": "replace"}
    try:
        done = subprocess.run(command, check=False, text=True, **output)
    except FileNotFoundError as error:
        raise FailedError(f"{step}: there is no {command[0]}", MISSING) from error
    if done.returncode != 0:
        print(f"$ {shlex.join(command)}\n{done.stdout}")
        raise FailedError(f"{step}: FAILED with status {done.returncode}")
    return done.stdout


def compile_with(cc: list[str], kind: str, part: str, flags: list[str], build: Path) -> str:
    """Compile a part together with its test of this kind; give the program's path."""
    program = build / f"{kind}_{part}"
    sources = [str(HERE / f"{kind}_{part}.c"), *map(str, sorted(CSRC.glob("*.c")))]
    command = [*cc, *WARNINGS, *flags, f"-I{CSRC}", *sources, "-o", str(program)]
    run(command, f"compile {kind}_{part}.c")
    return str(program)


def last_line(output: str) -> str:
    """Give the line in which a test program says how it went."""
    return output.strip().rpartition("\n")[2]


def unit(_arguments: argparse.Namespace, build: Path) -> None:
    """Run the unit tests under the sanitizers, and once more as the library is built."""
    for part in UNITS:
        for name, flags in (("sanitizers", SANITIZERS), ("-O2", ["-O2"])):
            step = f"unit {part} ({name})"
            program = compile_with(compiler(), "test", part, flags, build)
            print(f"{step}: ok, {last_line(run([program], step))}")


def corpus(_arguments: argparse.Namespace, build: Path) -> None:
    """Replay each corpus under the sanitizers."""
    for part in PARTS:
        inputs = sorted(str(path) for path in (HERE / f"corpus_{part}").iterdir())
        program = compile_with(compiler(), "fuzz", part, [*SANITIZERS, "-DSTANDALONE"], build)
        print(f"corpus {part}: ok, {last_line(run([program, *inputs], f'corpus {part}'))}")


def fuzz(arguments: argparse.Namespace, build: Path) -> None:
    """Look for new inputs that fail, from a copy of each corpus on."""
    cc = fuzzing_compiler(build)
    for part in PARTS:
        program = compile_with(cc, "fuzz", part, FUZZER, build)
        found = (arguments.keep or build / "found") / part
        found.mkdir(parents=True, exist_ok=True)
        known = shutil.copytree(HERE / f"corpus_{part}", build / f"corpus_{part}")
        limits = [f"-max_total_time={arguments.seconds}", f"-max_len={LONGEST}", "-timeout=10"]
        places = [f"-artifact_prefix={found}{os.sep}", str(found), str(known)]
        output = run([program, *limits, "-print_final_stats=1", *places], f"fuzz {part}")
        runs, speed = (
            re.findall(rf"stat::{name}:\s+(\d+)", output)[-1]
            for name in ("number_of_executed_units", "average_exec_per_sec")
        )
        edges, features = re.findall(r"cov: (\d+) ft: (\d+)", output)[-1]
        print(
            f"fuzz {part}: ok, {runs} executions in {arguments.seconds} s ({speed}/s), "
            f"coverage {edges} edges, {features} features"
        )


def instructions(_arguments: argparse.Namespace, build: Path) -> None:
    """Count each function's instructions for plain events, or chunks, of three sizes."""
    if not shutil.which("valgrind"):
        raise FailedError("there is no valgrind: install it", MISSING)
    report = build / "callgrind.out"
    programs = {part: compile_with(compiler(), "callgrind", part, ["-O2"], build) for part in PARTS}
    print(f"{'function':12}  event bytes  events  instructions/byte  instructions/event")
    for function, part in COUNTED.items():
        for size in SIZES:
            events = SCANNED // size
            tool = ["valgrind", "--tool=callgrind", f"--toggle-collect={function}"]
            options = [f"--callgrind-out-file={report}", programs[part], str(size), str(events)]
            run([*tool, *options], f"instructions {function}")
            counted = re.search(r"^totals: (\d+)", report.read_text(encoding="utf-8"), re.MULTILINE)
            if counted is None or int(counted[1]) == 0:
                raise FailedError(f"instructions: FAILED, callgrind counted nothing in {function}")
            total = int(counted[1])
            print(
                f"{function:12}  {size:11}  {events:6}  {total / (size * events):17.3f}  "
                f"{total / events:18.1f}"
            )
    print("instructions: ok, memchr and memmove of the C library included")


def main() -> int:
    """Run the step that the command line names."""
    parser = argparse.ArgumentParser(description="Compile and run the tests of the C part.")
    steps = parser.add_subparsers(dest="step", required=True)
    for step in (unit, corpus, fuzz, instructions):
        command = steps.add_parser(step.__name__, help=step.__doc__, description=step.__doc__)
        command.set_defaults(run=step)
        if step is fuzz:
            command.add_argument("--seconds", type=int, default=60, help="how long (default 60)")
            command.add_argument(
                "--keep", type=Path, help="a directory for the inputs that were found"
            )
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as build:
            arguments.run(arguments, Path(build))
    except FailedError as error:
        print(error)
        return error.status
    return 0


if __name__ == "__main__":
    sys.exit(main())
