"""Answer a browser with a stream: one line in a view, and the model stops when the tab closes.

    from inferd_engine import web
    from inferd_engine.web.flask import stream_response  # or web.django, web.starlette

    @app.post("/chat")
    def chat():
        return stream_response(backend, request.json["messages"])

``sse()``, ``ndjson()`` and ``text()`` make a ``Body`` for any other WSGI or ASGI server.  No
framework is imported here.
"""

from inferd_engine.web.body import Body, ndjson, sse, text
from inferd_engine.web.errors import ErrorResponse, error_response
from inferd_engine.web.openai_app import OpenAIApp
from inferd_engine.web.protocols import AgUi, Inferd, OpenAI, Protocol, Vercel

__all__ = [
    "AgUi",
    "Body",
    "ErrorResponse",
    "Inferd",
    "OpenAI",
    "OpenAIApp",
    "Protocol",
    "Vercel",
    "error_response",
    "ndjson",
    "sse",
    "text",
]
