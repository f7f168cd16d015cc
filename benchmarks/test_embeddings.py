"""What a vector costs, of the bytes of an answer and in a whole call: ours, and openai-python's.

openai-python has two ways to a list of floats.  Left alone it asks for base64, decodes that and
makes floats of it; told ``encoding_format="float"`` it reads them as they are written.  Where it
has the bytes at hand it makes a request all the same, which is less than a tenth of the first way.
What its model of an answer takes to validate one, which neither does, is shown for comparison.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from vectors import COUNT, PACKED, WRITTEN

import inferd_engine as ie
from inferd_engine.wire.openai.embeddings import read_embeddings

TEXTS = ["a text"] * COUNT


def native():
    """base64, to ``array("f")``, every number looked at."""
    return read_embeddings(PACKED, COUNT).arrays


def native_written():
    """Numbers, to ``array("f")``."""
    return read_embeddings(WRITTEN, COUNT).arrays


def json_loads():
    """Numbers, to lists of floats: what people write."""
    return [item["embedding"] for item in json.loads(WRITTEN)["data"]]


def openai_model():
    """Numbers, by openai-python's own model of an answer."""
    from openai.types import CreateEmbeddingResponse

    made = CreateEmbeddingResponse.model_validate_json(WRITTEN)
    return [item.embedding for item in made.data]


@pytest.mark.parametrize("read", [native, native_written, json_loads, openai_model])
@pytest.mark.benchmark(group="vectors, from the bytes of an answer on")
def test_from_bytes(benchmark, read):
    """64 vectors of 1536 numbers."""
    measure(benchmark, read.__name__, read)


@pytest.mark.parametrize("encoding", ["base64", "float"])
@pytest.mark.benchmark(group="vectors, from the bytes of an answer on")
def test_from_bytes_of_openai(benchmark, encoding):
    """The same with openai-python, whose transport has the answer at hand."""
    import httpx

    body = PACKED if encoding == "base64" else WRITTEN
    headers = {"Content-Type": "application/json"}
    there = httpx.MockTransport(lambda _: httpx.Response(200, content=body, headers=headers))
    measure_openai(benchmark, encoding, http_client=httpx.Client(transport=there))


@pytest.fixture(scope="module")
def address():
    """The address of an upstream in a process of its own."""
    program = [sys.executable, str(Path(__file__).with_name("upstream.py"))]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.kill()


@pytest.mark.parametrize("encoding", ["base64", "float"])
@pytest.mark.benchmark(group="vectors, a whole call on loopback")
def test_our_calls(benchmark, address, encoding):
    """The same, asked for over HTTP."""
    with ie.OpenAiCompat(address, api_key="", encoding_format=encoding) as backend:
        name = "native" if encoding == "base64" else "native_written"
        measure(benchmark, name, lambda: backend.embeddings(TEXTS).arrays)


@pytest.mark.parametrize("encoding", ["base64", "float"])
@pytest.mark.benchmark(group="vectors, a whole call on loopback")
def test_calls_of_openai(benchmark, address, encoding):
    """The same with openai-python, which ends with lists of floats."""
    measure_openai(benchmark, encoding, base_url=address)


def measure_openai(benchmark, encoding, **options):
    """Measure openai-python in one of its two ways."""
    import openai

    asked = {} if encoding == "base64" else {"encoding_format": encoding}

    def call():
        made = client.embeddings.create(model="m", input=TEXTS, **asked)
        return [item.embedding for item in made.data]

    with openai.OpenAI(api_key="k", **options) as client:
        name = "openai" if encoding == "base64" else "openai_written"
        measure(benchmark, name, call)


def measure(benchmark, name, get):
    """Measure what gives the vectors, by the vector."""
    benchmark.name = name
    benchmark.extra_info.update(events=COUNT, of="vector")
    assert len(benchmark(get)) == COUNT
