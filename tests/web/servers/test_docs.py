"""docs/web.md is true: its snippets run, in order, against a real upstream."""

from __future__ import annotations

import re
from pathlib import Path
from wsgiref.util import setup_testing_defaults

from inferd_engine.testing import Upstream

PAGE = (Path(__file__).parents[3] / "docs" / "web.md").read_text("utf-8")
ADDRESS = "http://localhost:8080"


def test_the_snippets_run():
    """Each is a part of one program, whose views then answer."""
    with Upstream() as upstream:
        names = {"__name__": "docs_web"}
        for number, code in enumerate(
            re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL), 1
        ):
            source = code.replace(ADDRESS, upstream.url)
            exec(compile(source, f"docs/web.md, snippet {number}", "exec"), names)
        said = {"role": "user", "parts": [{"type": "text", "text": "Hi"}, {"type": "step-start"}]}
        assert names["messages_of"]({"messages": [said]}) == [{"role": "user", "content": "Hi"}]
        assert names["shouted"] == b":\n\nYOU SAID: HELLO!"
        started = []
        environ = {}
        setup_testing_defaults(environ)
        body = names["application"](environ, lambda *given: started.append(given))
        assert b'"end_turn"' in b"".join(body)
        assert started[0][0] == "200 OK"
        client = names["app"].test_client()
        answer = client.post("/chat", json={"messages": [{"role": "user", "content": "Hi"}]})
        assert b"You" in answer.data
        assert names["endpoint"]("Hi").status_code == 200
        environ = {"PATH_INFO": "/llm/v1/models", "HTTP_AUTHORIZATION": "Bearer sk-local"}
        setup_testing_defaults(environ)
        assert b'"fast"' in b"".join(names["mounted"](environ, lambda *_: None))
        names["backend"].close()


def test_every_name_is_told():
    """The page tells of each public name of the room."""
    from inferd_engine import web

    assert [name for name in web.__all__ if f"{name}" not in PAGE] == ["ErrorResponse"]
