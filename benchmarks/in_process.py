"""A model in this process: ``python benchmarks/in_process.py MODEL.gguf [--rounds N]``.

``LlamaCpp`` and llama-cpp-python's ``create_chat_completion`` answer the same question in turns,
each of them first in every other round, with the same sampling and seed: an answer of one token,
which is the time to the first text (some tokens are no text by themselves, and are held back), the
same of a question ten times as long, and a longer answer.  Both keep what they have read, and no
question begins like another.  Then several answers of ``LlamaCpp``: one after the other, and at a
time.  In turns, too: what disturbs the machine for a while disturbs everybody.  What is printed are
medians over the rounds and the best of them; the ratio is the median of those of each round, and in
brackets that of the best.

Last, what there is beside llama.cpp between the call and the end of an answer of one token, where
to compute costs nothing.

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


def question(number: int, times: int = 1) -> str:
    """Give one that differs from the others from its first word on: nothing of it is kept."""
    return f"{number} is a number. Tell me what you know of it, and of those beside it." * times


def ours(backend: ie.LlamaCpp, number: int, tokens: int, times: int = 1) -> None:
    """Have a streamed answer."""
    fields: Any = {**SAMPLING, "max_tokens": tokens, "seed": number}
    with backend.stream(question(number, times), **fields) as stream:
        for _ in stream:
            pass


def theirs(model: Any, number: int, tokens: int, times: int = 1) -> None:
    """Have the same from llama-cpp-python."""
    said = [{"role": "user", "content": question(number, times)}]
    fields: Any = {**SAMPLING, "min_p": 0.0, "repeat_penalty": 1.0, "max_tokens": tokens}
    for _ in model.create_chat_completion(said, stream=True, seed=number, **fields):
        pass


def timed(call: Any, *arguments: Any) -> tuple[float, float]:
    """Call something; give how many seconds it took, and how many of all processors."""
    began, cpu = time.perf_counter(), time.process_time()
    call(*arguments)
    return time.perf_counter() - began, time.process_time() - cpu


def told(what: str, mine: list[float], other: list[float], best: Any) -> str:
    """Give a line: medians, the best, the ratio."""
    ratio = statistics.median(one / two for one, two in zip(mine, other, strict=True))
    return f"{what:32}" + "".join(
        f"{text:>18}"
        for text in (
            f"{statistics.median(mine):.2f} ({best(mine):.2f})",
            f"{statistics.median(other):.2f} ({best(other):.2f})",
            f"{ratio:.3f} ({best(mine) / best(other):.3f})",
        )
    )


def both(path: str, threads: int) -> tuple[ie.LlamaCpp, Any]:
    """Give ours and theirs, with the same settings."""
    fields: Any = {"n_ctx": WIDTH, "n_threads": threads, "n_batch": 512}
    model = llama_cpp.Llama(path, n_threads_batch=threads, verbose=False, flash_attn=True, **fields)
    redirect_log(library())  # llama-cpp-python has set its own
    return ie.LlamaCpp(model_path=path, **fields), model


HEAD = f"{'median (best)':32}{'LlamaCpp':>18}{'llama-cpp-python':>18}{'ratio':>18}"
LINES = {
    "first text, ms": min,
    "first text, processor, ms": min,
    "first text of a long one, ms": min,
    "the same, processor, ms": min,
    "tokens a second": max,
    "processor, ms a token": min,
}


def side_by_side(backend: ie.LlamaCpp, model: Any, rounds: int) -> None:
    """Ask both in turns."""
    found: dict[Any, list[list[float]]] = {ours: [], theirs: []}
    for number in range(rounds + 1):
        pairs = [(ours, backend), (theirs, model)]
        for ask, who in pairs if number % 2 else reversed(pairs):
            first = timed(ask, who, 3 * number, 1)
            long = timed(ask, who, 3 * number + 1, 1, 10)
            took, cpu = timed(ask, who, 3 * number + 2, TOKENS)
            times = [1000 * value for value in (*first, *long)]
            found[ask].append([*times, TOKENS / took, 1000 * cpu / TOKENS])
    print(HEAD)
    for at, (what, best) in enumerate(LINES.items()):
        mine, other = ([one[at] for one in found[who][1:]] for who in (ours, theirs))
        print(told(what, mine, other, best))  # the first loads, and makes room


def beside_computing(backend: ie.LlamaCpp, model: Any, rounds: int) -> None:
    """Ask both in turns where nothing is computed, and always the same token follows."""
    low = llama_cpp.llama_cpp
    token = model.tokenize(b"a", add_bos=False)[-1]
    found: dict[Any, list[list[float]]] = {ours: [], theirs: []}
    decode, sample = low.llama_decode, low.llama_sampler_sample
    low.llama_decode, low.llama_sampler_sample = lambda *_: 0, lambda *_: token
    try:
        for number in range(rounds):
            pairs = [(ours, backend), (theirs, model)]
            for ask, who in pairs if number % 2 else reversed(pairs):
                found[ask].append([1000 * value for value in timed(ask, who, number, 1)])
    finally:
        low.llama_decode, low.llama_sampler_sample = decode, sample
    for at, what in enumerate(("beside computing, ms", "beside computing, processor, ms")):
        mine, other = ([one[at] for one in found[who][1:]] for who in (ours, theirs))
        print(told(what, mine, other, min))


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
    for at, (what, best) in enumerate([*LINES.items()][-2:]):
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
    backend, model = both(options.model, options.threads)
    with backend:
        side_by_side(backend, model, options.rounds)
        beside_computing(backend, model, 300)
    model.close()
    print(f"{'median (best)':32}{'at a time':>18}{'one by one':>18}{'ratio':>18}")
    for count in (2, 4):
        at_a_time(options.model, options.rounds, options.threads, count)
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
