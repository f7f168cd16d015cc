"""A model in this process: ``python benchmarks/in_process.py MODEL.gguf [--rounds N]``.

``LlamaCpp`` and llama-cpp-python's ``create_chat_completion`` answer the same question in turns,
with the same sampling and seed: an answer of one token, which is the time to the first text (some
tokens are no text by themselves, and are held back), and a longer one.  Then several answers of
``LlamaCpp``: one after the other, and at a time.  In turns, too: what disturbs the machine for a
while disturbs everybody.  What is printed are medians over the rounds, the best of them, and the
ratios of both.

``--make`` writes the model first: a random one of 34 million parameters (it wants gguf and numpy).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import llama_cpp

import inferd_engine as ie
from inferd_engine.backends.llamacpp.library import library, redirect_log

TOKENS = 48
WIDTH = 1024  # of a context
SAMPLING = {"temperature": 1.0, "top_k": 64, "top_p": 0.95}


def question(number: int) -> str:
    """Give one that differs from the others from its first word on: nothing of it is kept."""
    return f"{number} is a number. Tell me what you know of it, and of those beside it."


def ours(backend: ie.LlamaCpp, number: int, tokens: int) -> None:
    """Have a streamed answer."""
    fields: Any = {**SAMPLING, "max_tokens": tokens, "seed": number}
    with backend.stream(question(number), **fields) as stream:
        for _ in stream:
            pass


def theirs(model: Any, number: int, tokens: int) -> None:
    """Have the same from llama-cpp-python."""
    said = [{"role": "user", "content": question(number)}]
    fields: Any = {**SAMPLING, "min_p": 0.0, "repeat_penalty": 1.0, "max_tokens": tokens}
    for _ in model.create_chat_completion(said, stream=True, seed=number, **fields):
        pass


def seconds(call: Any, *arguments: Any) -> float:
    """Call something; give how long it took."""
    began = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - began


def told(what: str, mine: list[float], other: list[float], best: Any) -> str:
    """Give a line: medians, the best, the ratio of the medians."""
    middle = statistics.median(mine), statistics.median(other)
    ratio = f"{middle[0] / middle[1]:.2f} ({best(mine) / best(other):.2f})"
    return f"{what:32}" + "".join(
        f"{text:>16}"
        for text in (
            f"{middle[0]:.1f} ({best(mine):.1f})",
            f"{middle[1]:.1f} ({best(other):.1f})",
            ratio,
        )
    )


def side_by_side(path: str, rounds: int, threads: int) -> None:
    """Ask both in turns."""
    fields: Any = {"n_ctx": WIDTH, "n_threads": threads, "n_batch": 512}
    model = llama_cpp.Llama(path, n_threads_batch=threads, verbose=False, flash_attn=True, **fields)
    redirect_log(library())  # llama-cpp-python has set its own
    found: dict[Any, list[tuple[float, float]]] = {ours: [], theirs: []}
    with ie.LlamaCpp(model_path=path, **fields) as backend:
        for number in range(rounds + 1):
            pairs = [(ours, backend), (theirs, model)]
            for ask, who in pairs if number % 2 else reversed(pairs):
                first = seconds(ask, who, 2 * number, 1) * 1000
                speed = TOKENS / seconds(ask, who, 2 * number + 1, TOKENS)
                found[ask].append((first, speed))
    print(f"{'median (best)':32}{'LlamaCpp':>16}{'llama-cpp-python':>18}{'ratio':>14}")
    for what, best, at in (("first text, ms", min, 0), ("tokens a second", max, 1)):
        mine, other = ([one[at] for one in found[who][1:]] for who in (ours, theirs))
        print(told(what, mine, other, best))  # the first loads, and makes room
    model.close()


def at_a_time(path: str, rounds: int, threads: int, count: int) -> None:
    """Have several answers, one after the other and at a time, in turns."""
    found: dict[Any, list[tuple[float, float]]] = {map: [], None: []}
    fields: Any = {"n_ctx": WIDTH, "n_threads": threads, "n_parallel": count}
    with ie.LlamaCpp(model_path=path, **fields) as backend, ThreadPoolExecutor(count) as pool:

        def ask(number: int) -> int:
            usage = backend.complete(question(number), max_tokens=TOKENS, seed=number).usage
            return usage.output_tokens if usage else 0

        for number in range(rounds + 1):
            numbers = range(number * count, (number + 1) * count)
            for key, rows in found.items():
                began, cpu = time.perf_counter(), time.process_time()
                said = sum((key or pool.map)(ask, numbers))
                took = time.perf_counter() - began, time.process_time() - cpu
                rows.append((said / took[0], 1000 * took[1] / said))
    for what, best, at in (("tokens a second", max, 0), ("processor, ms a token", min, 1)):
        together, alone = ([one[at] for one in found[key][1:]] for key in (None, map))
        print(told(f"{count} answers, {what}", together, alone, best))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.make:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
        from llamacpp.models import write_slow_model

        write_slow_model(options.model)
    print(f"llama-cpp-python {llama_cpp.__version__}, {options.threads} threads of "
          f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    side_by_side(options.model, options.rounds, options.threads)
    print(f"{'median (best)':32}{'at a time':>16}{'one by one':>18}{'ratio':>14}")
    for count in (2, 4):
        at_a_time(options.model, options.rounds, options.threads, count)
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
