"""Stops of a model in this process: ``python benchmarks/in_process_stops.py MODEL.gguf [--make]``.

Each way to stop an answer, in loading, in the prompt, and while it is generated: how soon the call
returns, and how soon nothing is computed for it any more.  The prompt is one batch that takes long,
which nothing ends but the stop.  Then beside a second answer, computed in the same pass, which goes
on; it has to say what it says alone, and so does the next request.

Where nobody calls (a deadline, a drop), "returns" is how late the consumer hears of it, or how long
the drop takes; of Ctrl-C and the program's end it is how long until the program is told, or over.
What is printed are median and longest, in ms.

``--make`` writes the model first: a random one of 34 million parameters (it wants gguf and numpy).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import inferd_engine as ie

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = "я" * 7000  # a token each
OTHERS = 200  # tokens of the answer that goes on
GREEDY: Any = {"max_tokens": 7000, "temperature": 0}
SETTINGS: Any = {"n_ctx": 8192, "n_batch": 8192, "n_threads": 1, "cache_type": "f32"}
AFTER = 0.3  # seconds of computing before the stop
_TICK = 0.0002  # seconds between two looks at whether it has ended

PROGRAM = """
import os, signal, sys, threading, time
import inferd_engine as ie

backend = ie.LlamaCpp(model_path=sys.argv[1], n_ctx=8192, n_batch=8192, n_threads=1)
backend.load()
def interrupt():
    print(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
stream = backend.stream("я" * int(sys.argv[2]), max_tokens=7000, temperature=0)
if sys.argv[3] == "Ctrl-C":
    threading.Timer(0.3, interrupt).start()
    try:
        list(stream)
    except KeyboardInterrupt:
        print(time.monotonic(), flush=True)
    loaded = backend._engine.loaded
    while not loaded.slots._free:
        time.sleep(0.0002)
    print(time.monotonic(), flush=True)
    os._exit(0)
time.sleep(0.3)
print(time.monotonic(), flush=True)
"""


def until(condition: Callable[[], object]) -> float:
    """Wait until something is so; return when it was."""
    while not condition():
        time.sleep(_TICK)
    return time.monotonic()


def free(backend: Any) -> int:
    """How many contexts nobody has."""
    return len(backend._engine.loaded.slots._free)  # noqa: SLF001 - nobody else knows


def is_loading() -> bool:
    """Whether a model is loaded."""
    return any(thread.name.endswith("llamacpp-loading") for thread in threading.enumerate())


class Stops:
    """What was measured, by what was stopped and how."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], list[tuple[float, float]]] = {}

    def add(self, where: str, way: str, asked: float, returned: float, ended: float) -> None:
        """Keep a measurement, in seconds of the clock."""
        row = 1000 * (returned - asked), 1000 * (ended - asked)
        self.found.setdefault((where, way), []).append(row)

    def show(self) -> None:
        """Print medians and the longest."""
        print(f"{'stopped':44}{'by':10}{'returns':>20}{'ended':>22}")
        for (where, way), rows in self.found.items():
            shown = (
                f"{statistics.median(times):.1f}, {max(times):.1f}"
                for times in zip(*rows, strict=True)
            )
            print(f"{where:44}{way:10}" + "".join(f"{text:>21}" for text in shown))


def stop(backend: Any, way: str, prompt: str) -> tuple[float, float]:
    """Stop a stream that computes; return when that was asked for, and when the call returned."""
    if way == "deadline":
        began = time.monotonic()
        try:
            list(backend.with_options(timeout=AFTER).stream(prompt, **GREEDY))
        except ie.DeadlineError:
            return began + AFTER, time.monotonic()
        raise SystemExit("no deadline")
    token = ie.CancelToken()
    stream = backend.stream(prompt, cancel=token, **GREEDY)
    time.sleep(AFTER)
    asked = time.monotonic()
    if way == "close()":
        stream.close()
    elif way == "token":
        token.cancel()
    else:
        del stream
    return asked, time.monotonic()


def alone(path: str, rounds: int, stops: Stops) -> None:
    """Stop answers that are computed by themselves."""
    with ie.LlamaCpp(model_path=path, **SETTINGS) as backend:
        right = backend.complete("Hi", max_tokens=8, temperature=0).text
        for _ in range(rounds):
            for where, prompt in (("reading the prompt", LONG), ("generating", "Hi")):
                for way in ("close()", "token", "deadline", "drop"):
                    times = stop(backend, way, prompt)
                    stops.add(where, way, *times, until(lambda: free(backend)))
                    if backend.complete("Hi", max_tokens=8, temperature=0).text != right:
                        raise SystemExit("the next answer is wrong")


def loading(path: str, rounds: int, stops: Stops) -> None:
    """Stop a loading, in the middle of a file's hash."""
    with tempfile.NamedTemporaryFile(dir=Path(path).parent, suffix=".gguf") as file:
        file.write(Path(path).read_bytes()[:8])
        file.truncate(40 << 30)  # half a minute; none of it is on the disk
        for _ in range(rounds):
            backend = ie.LlamaCpp(model_path=file.name, model_sha256="0" * 64, n_ctx=512)
            token = ie.CancelToken()
            asked = time.monotonic() + AFTER
            token.cancel_after(AFTER)
            try:
                backend.complete("Hi", cancel=token)
            except ie.RequestCancelledError:
                returned = time.monotonic()
            stops.add("loading", "token", asked, returned, until(lambda: not is_loading()))


def beside(path: str, rounds: int, stops: Stops) -> None:
    """Stop one of two answers that are computed together."""
    with ie.LlamaCpp(model_path=path, n_parallel=2, **SETTINGS) as backend:
        for _ in range(2):  # with nothing of the prompt known, and then with all of it
            right = backend.complete("Well", max_tokens=OTHERS, temperature=0).text
        prompts = {"a prompt beside an answer": LONG, "an answer beside an answer": "Hi"}
        for _ in range(rounds):
            for where, prompt in prompts.items():
                for way in ("close()", "token"):
                    going_on = backend.stream("Well", max_tokens=OTHERS, temperature=0)
                    text = next(going_on).delta
                    times = stop(backend, way, prompt)
                    stops.add(where, way, *times, until(lambda: free(backend)))
                    if going_on.ended or text + "".join(going_on.text()) != right:
                        raise SystemExit("the other answer is wrong, or was over before")
                    until(lambda: free(backend) == 2)


def programs(path: str, rounds: int, stops: Stops) -> None:
    """Stop programs."""
    for _ in range(rounds):
        for where, length in (("reading the prompt", len(LONG)), ("generating", 1)):
            for way in ("Ctrl-C", "exit"):
                program = [sys.executable, "-W", "ignore", "-c", PROGRAM, path, str(length), way]
                with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as run:
                    said = run.stdout.read().split() if run.stdout else []
                over = time.monotonic()
                times = [*map(float, said), over][:3]
                stops.add(where, way, times[0], times[1], times[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.make:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
        from llamacpp.models import write_slow_model

        write_slow_model(options.model)
    warnings.simplefilter("ignore", ResourceWarning)  # of streams that are dropped
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    stops = Stops()
    for measure in (loading, alone, beside, programs):
        measure(options.model, options.rounds, stops)
    stops.show()
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
