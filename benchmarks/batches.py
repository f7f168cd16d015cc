"""What an answer of a batch costs: ``python benchmarks/batches.py [ANSWERS [MODEL]]``.

Started by its path, so that the installed packages are measured.  Each client asks the loopback
upstream (``upstream.py``) in a process of its own, 256 requests at a time; what is told is its CPU
time for an answer, and the memory that it had at the most, from a tenth of the answers on and at
the end."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from clients import keeping_connections

HERE = Path(__file__).parent
AT_ONCE = 256
ANSWERS = 2_000  # 20 000 take half an hour
MODEL = "paced:200:100"  # tokens, and how many of them a second
SAID = "Why is the sky blue?"


def ours(address, model, count):
    import inferd_engine as ie

    with ie.OpenAiCompat(base_url=address, api_key="", model=model) as backend:
        prompts = (f"{SAID} {number}" for number in range(count))
        for result in backend.map(prompts, concurrency=AT_ONCE):
            assert result.completion is not None, result.error
            yield result.completion.text


def with_threads(address, model, count):
    from openai import DefaultHttpxClient, OpenAI

    http = DefaultHttpxClient(limits=keeping_connections())
    client = OpenAI(base_url=address, api_key="x", max_retries=0, http_client=http)

    def ask(number):
        said = [{"role": "user", "content": f"{SAID} {number}"}]
        chunks = client.chat.completions.create(model=model, messages=said, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(ask, range(count))


def with_tasks(address, model, count):
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    texts = []

    async def main():
        http = DefaultAsyncHttpxClient(limits=keeping_connections())
        client = AsyncOpenAI(base_url=address, api_key="x", max_retries=0, http_client=http)
        numbers = iter(range(count))

        async def work():
            for number in numbers:
                said = [{"role": "user", "content": f"{SAID} {number}"}]
                chunks = await client.chat.completions.create(
                    model=model, messages=said, stream=True
                )
                texts.append(
                    "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])
                )

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))

    asyncio.run(main())
    yield from texts


CLIENTS = {"inferd-engine": ours, "openai, 256 threads": with_threads, "openai, async": with_tasks}


def measure(client, address, model, count):
    """Measure one client, in this process."""
    answers = CLIENTS[client]
    list(answers(address, "burst:2:290", AT_ONCE))  # whatever is loaded, or connected, at first
    cpu, wall = time.process_time(), time.perf_counter()
    seen, early = 0, 0
    for text in answers(address, model, count):
        assert text
        seen += 1
        if seen == count // 10:
            early = peak_mib()
    assert seen == count
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "cpu_us": cpu / count * 1e6,
        "answers_per_second": count / wall,
        "mib_early": early,
        "mib": peak_mib(),
    }


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    """Measure all clients, one after the other, and print how they compare."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else ANSWERS
    model = sys.argv[2] if len(sys.argv) > 2 else MODEL
    upstream = subprocess.Popen(
        [sys.executable, str(HERE / "upstream.py")], stdout=subprocess.PIPE, text=True
    )
    try:
        address = upstream.stdout.readline().strip()
        first = None
        for client in CLIENTS:
            ran = subprocess.run(
                [sys.executable, __file__, "--one", client, address, model, str(count)],
                check=True,
                capture_output=True,
                text=True,
            )
            found = json.loads(ran.stdout)
            first = first or found["cpu_us"]
            cpu, ratio = found["cpu_us"], found["cpu_us"] / first
            print(
                f"{client:<20} {cpu:8.0f} µs of CPU an answer ({ratio:.1f}), "
                f"{found['answers_per_second']:.0f} answers/s, {found['mib_early']:.0f} MiB, "
                f"at the end {found['mib']:.0f}",
                flush=True,
            )
    finally:
        upstream.kill()
        upstream.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one, where, what, times = sys.argv[2:]
        print(json.dumps(measure(one, where, what, int(times))))
    else:
        main()
