"""A FastAPI endpoint as tests need it."""

import os
from typing import Annotated

from fastapi import Body, FastAPI
from fastapi.responses import FileResponse, PlainTextResponse

import inferd_engine as ie
from inferd_engine.web.starlette import stream_response

app = FastAPI()
backend = ie.OpenAiCompat(base_url=os.environ["UPSTREAM"], api_key="", model="m")


@app.get("/")
def page():
    """Give the example's page."""
    return FileResponse(os.environ["PAGE"])


@app.get("/ready", response_class=PlainTextResponse)
def ready():
    """Answer, so that a test knows that the server does."""
    return "ready"


@app.post("/chat")
def chat(prompt: Annotated[str, Body(media_type="text/plain")], protocol: str = "inferd"):
    """Answer with a stream."""
    return stream_response(backend, prompt, heartbeat=1.0, protocol=protocol)
