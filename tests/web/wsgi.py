"""Call a WSGI application as PEP 3333 says, and check it meanwhile."""

from __future__ import annotations

import io
import json
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator


class Answer:
    """A status, headers and a body."""

    def __init__(self, status, headers, body):
        self.status = int(status.split(" ")[0])
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body

    @property
    def json(self):
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def error(self):
        """OpenAI's error object."""
        error = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return error


def begin(app, path, data=None, method=None, headers=None, **environ):
    """Begin a request; give the status, the headers and the iterable."""
    body = data if isinstance(data, bytes) else b"" if data is None else json.dumps(data).encode()
    asked = {
        "REQUEST_METHOD": method or ("GET" if data is None else "POST"),
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "wsgi.input": io.BytesIO(body),
        **({} if data is None else {"CONTENT_LENGTH": str(len(body))}),
        **{f"HTTP_{k.upper().replace('-', '_')}": v for k, v in (headers or {}).items()},
        **environ,
    }
    setup_testing_defaults(asked)
    started = []

    def start_response(status, headers, exc_info=None):
        started[:] = [status, headers]

    iterable = validator(app)(asked, start_response)
    return started, iterable


def call(app, path, data=None, **options):
    """Make a request; give the whole answer."""
    started, iterable = begin(app, path, data, **options)
    try:
        body = b"".join(iterable)
    finally:
        iterable.close()
    return Answer(*started, body)
