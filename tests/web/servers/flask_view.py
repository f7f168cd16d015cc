"""A Flask view as tests need it: its upstream and its heartbeat come from the environment."""

import os

from flask import Flask, Response, request, send_file

import inferd_engine as ie
from inferd_engine import web
from inferd_engine.web.flask import stream_response

app = Flask(__name__)
backend = ie.OpenAiCompat(base_url=os.environ["UPSTREAM"], api_key="", model="m", max_connections=1)


@app.get("/")
def page():
    """Give the example's page."""
    return send_file(os.environ["PAGE"])


@app.get("/ready")
def ready():
    """Answer, so that a test knows that the server does."""
    return "ready"


@app.post("/text")
def text():
    """Answer with text alone."""
    body = web.text(backend.stream("Hi"))
    return Response(body, headers=dict(body.headers), direct_passthrough=True)


@app.post("/chat")
def chat():
    """Answer with a stream."""
    protocol = request.args.get("protocol", "inferd")
    return stream_response(
        backend, request.get_data(as_text=True), heartbeat=1.0, protocol=protocol
    )
