"""A page that talks with a model, and stops it: flask run, with OPENAI_BASE_URL set."""

from flask import Flask, request, send_file

import inferd_engine as ie
from inferd_engine.web.flask import stream_response

app = Flask(__name__)
backend = ie.OpenAiCompat(model="qwen3-8b")


@app.get("/")
def page():
    return send_file("page.html")


@app.post("/chat")
def chat():
    return stream_response(backend, request.form["said"])
