"""Any backend as an OpenAI-compatible server: a WSGI application, mounted anywhere.

Everything is bounded: the body that is read, the time that a client may read nothing, what waits in
the stream.  What is wrong with a request is told with its place, in OpenAI's shape; of what goes
wrong behind it only a public sentence is told.
"""

from __future__ import annotations

import contextlib
import hmac
import http
import json
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Union

import inferd_engine as ie
from inferd_engine.web.body import HEARTBEAT, check_heartbeat, ending_of, sse
from inferd_engine.web.client import GLANCE, WatchedBody, watched, way_to_ask
from inferd_engine.web.errors import ErrorResponse, error_response, json_error, openai_error
from inferd_engine.web.openai_answer import (
    completion_document,
    embeddings_document,
    model_document,
    models_document,
)
from inferd_engine.web.openai_request import chat_from, embeddings_from
from inferd_engine.web.protocols.openai import OpenAI

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inferd_engine.web.openai_request import Asked

    StartResponse = Callable[[str, list[tuple[str, str]]], Any]
    Answer = Union[ErrorResponse, "_Streamed", dict[str, Any]]

_PATIENCE = 60.0  # seconds that a client may read nothing: a phone in a tunnel is back by then
_ROUTES = {
    "/chat/completions": "POST",
    "/embeddings": "POST",
    "/models": "GET",
    "/health": "GET",
}


class _Streamed:
    """An answer in chunks."""

    def __init__(self, body: WatchedBody, headers: list[tuple[str, str]]) -> None:
        self.body = body
        self.headers = headers


class _RefusedError(Exception):
    """The request is not answered."""

    def __init__(
        self,
        status: int,
        message: str,
        *headers: tuple[str, str],
        kind: str = "invalid_request_error",
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.response = json_error(status, openai_error(message, kind, code), *headers)


def _check_made_of(backend: object, api_key: object, models: object) -> None:
    for name, given, kind, wanted in (
        ("backend", backend, ie.Backend, "a Backend"),
        ("api_key", api_key, str, "a str"),
        ("models", {} if models is None else models, Mapping, "a mapping of names"),
    ):
        if not isinstance(given, kind):
            raise TypeError(f"{name} is of type {type(given).__name__}: give {wanted}")
    if isinstance(models, Mapping) and not all(
        isinstance(name, str) for name in (*models, *models.values())
    ):
        raise TypeError("models has something other than str in it: give a mapping of names")


class OpenAIApp:
    """Serve a backend to OpenAI's clients: give it to a WSGI server, or mount it in a program.

    Args:
        backend: Who answers; made with ``buffer`` above 0.
        api_key: What clients have to send as their key; empty: nobody is asked for one.
        models: Names that clients may use, and what they are to the backend; a name that is not
            among them goes to the backend as it is.
        heartbeat: Seconds of silence after which a comment is sent; above 0.
        max_body_bytes: How large a request may be, with its attachments.

    Raises:
        TypeError: One of them is of a wrong type.
        InvalidRequestError: ``heartbeat`` or ``max_body_bytes`` is no such number.
    """

    def __init__(
        self,
        backend: ie.Backend,
        *,
        api_key: str = "",
        models: Mapping[str, str] | None = None,
        heartbeat: float = HEARTBEAT,
        max_body_bytes: int = 64 << 20,
    ) -> None:
        _check_made_of(backend, api_key, models)
        check_heartbeat(heartbeat)
        if not isinstance(max_body_bytes, int) or max_body_bytes < 0:
            raise ie.InvalidRequestError(
                f"max_body_bytes is {max_body_bytes!r}: it has to be a whole number, 0 or more"
            )
        self._backend = backend
        self._key = api_key.encode("utf-8")
        self._models = dict(models or {})
        self._heartbeat = heartbeat
        self._max_body_bytes = max_body_bytes

    def __repr__(self) -> str:
        return f"<OpenAIApp {self._backend.name}{' with a key' if self._key else ''}>"

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""
        try:
            answer = self._answer(environ)
        except _RefusedError as refused:
            answer = refused.response
        except ie.InvalidRequestError as error:
            # About what the client sent: our messages name the place in it, and hold no secret.
            answer = json_error(400, openai_error(str(error), "invalid_request_error"))
        except ie.GenerateError as error:
            answer = _no_such_model() if _is_about_the_model(error) else error_response(error)
        if isinstance(answer, _Streamed):
            start_response("200 OK", answer.headers)
            return answer.body
        if isinstance(answer, dict):
            body = json.dumps(answer).encode("ascii")
            answer = ErrorResponse(200, (("Content-Type", "application/json"),), body)
        length = ("Content-Length", str(len(answer.body)))
        status = f"{answer.status} {http.HTTPStatus(answer.status).phrase}"
        start_response(status, [*answer.headers, length])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    def _answer(self, environ: dict[str, Any]) -> Answer:
        # Bytes as Latin-1 (PEP 3333, "Unicode Issues"): the name of a model may be in any language.
        path = environ.get("PATH_INFO", "").encode("latin-1", "replace").decode("utf-8", "replace")
        path = path.rstrip("/").removeprefix("/v1") or "/"
        route, _, name = path.partition("/models/")
        route = "/models" if name and not route else path
        if route not in _ROUTES:
            raise _RefusedError(404, "There is nothing at this address.", code="not_found")
        self._check_method(environ["REQUEST_METHOD"], _ROUTES[route])
        if route == "/health":
            return self._health()
        if self._key:
            self._check_key(environ.get("HTTP_AUTHORIZATION", ""))
        else:
            self._check_origin(environ)
        if route == "/models":
            return self._model(name) if name else self._list()
        body = self._read(environ)
        if route == "/embeddings":
            return self._embeddings(body, environ)
        return self._chat(chat_from(body), environ)

    # --- whether to answer at all ----------------------------------------------------------------

    @staticmethod
    def _check_method(method: str, allowed: str) -> None:
        allowed_too = "GET, HEAD" if allowed == "GET" else allowed
        if method not in allowed_too.split(", "):
            raise _RefusedError(405, f"This address takes {allowed}.", ("Allow", allowed_too))

    @staticmethod
    def _check_origin(environ: dict[str, Any]) -> None:
        """Refuse pages of other sites: where there is no key, any page could make this one work."""
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and origin.partition("://")[2] != environ.get("HTTP_HOST"):
            raise _RefusedError(403, "Pages of other sites may not ask here.", code="origin")

    def _check_key(self, authorization: str) -> None:
        """Compare in a time that tells nothing about the key."""
        scheme, _, given = authorization.partition(" ")
        is_right = hmac.compare_digest(given.strip().encode("latin-1", "replace"), self._key)
        if scheme.lower() != "bearer" or not is_right:
            raise _RefusedError(
                401,
                "The API key is missing or wrong.",
                ("WWW-Authenticate", "Bearer"),
                code="invalid_api_key",
            )

    def _read(self, environ: dict[str, Any]) -> bytes:
        """Return a request's body, which is bounded."""
        if environ.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
            raise _RefusedError(415, "The body is compressed: send it as it is.")
        source = environ["wsgi.input"]
        length = environ.get("CONTENT_LENGTH") or ""
        try:
            if length:
                size = int(length)
            elif environ.get("wsgi.input_terminated"):  # the server finds the end
                size = self._max_body_bytes + 1
            else:
                raise _RefusedError(411, "The body has no Content-Length.")
            if not 0 <= size <= self._max_body_bytes + (not length):
                self._refuse_size(size)
            body: bytes = source.read(size)
        except ValueError:
            raise _RefusedError(400, "Content-Length is not a number.") from None
        except TimeoutError:
            raise _RefusedError(408, "The body did not come in time.") from None
        except OSError:
            raise _RefusedError(400, "The body broke off.") from None
        if len(body) > self._max_body_bytes:
            self._refuse_size(len(body))
        if length and len(body) < size:
            raise _RefusedError(400, "The body broke off.")
        return body

    def _refuse_size(self, size: int) -> None:
        if size < 0:
            raise _RefusedError(400, "Content-Length is below 0.")
        raise _RefusedError(
            413, f"The body is larger than {self._max_body_bytes} bytes.", code="request_too_large"
        )

    # --- what is answered ------------------------------------------------------------------------

    def _health(self) -> Answer:
        if self._backend.ready():
            return {"status": "ok"}
        raise _RefusedError(503, "The backend is not ready.", kind="api_error", code="not_ready")

    def _names(self) -> list[str]:
        """Return the models that clients may name."""
        listing = getattr(self._backend, "models", None)
        if self._models:
            return list(self._models)
        if listing is not None:
            with contextlib.suppress(ie.UnsupportedError):  # as of Bedrock, which has no list
                return list(listing())
        config = getattr(self._backend, "config", None)
        return [getattr(config, "model", "") or self._backend.name]

    def _list(self) -> Answer:
        return models_document(self._names(), self._backend.name)

    def _model(self, name: str) -> Answer:
        if name not in self._names():
            return _no_such_model()
        return model_document(name, self._backend.name)

    def _embeddings(self, body: bytes, environ: dict[str, Any]) -> Answer:
        asked = embeddings_from(body, self._models)
        token = ie.CancelToken()
        with watched(way_to_ask(environ), token):
            result = self._backend.embed(asked.request, cancel=token)
        return embeddings_document(result, model=asked.model, is_base64=asked.is_base64)

    def _chat(self, asked: Asked, environ: dict[str, Any]) -> Answer:
        token = ie.CancelToken()
        model = self._models.get(asked.model, asked.model)
        is_gone = way_to_ask(environ)
        with watched(is_gone, token):
            stream = self._backend.stream(asked.messages, model=model, cancel=token, **asked.fields)
        config = getattr(self._backend, "config", None)
        named = asked.model or getattr(config, "model", "") or self._backend.name
        answer_id = f"chatcmpl-{uuid.uuid4().hex}"
        created = int(time.time())
        if not asked.is_streamed:
            with stream:
                completion, done = _collected(stream, is_gone)
            return completion_document(
                completion, done, answer_id=answer_id, model=named, created=created
            )
        protocol = OpenAI(answer_id, named, created, include_usage=asked.include_usage)
        try:
            body = sse(stream, heartbeat=self._heartbeat, protocol=protocol)
            patience = max(_PATIENCE, 4 * self._heartbeat)
            return _Streamed(WatchedBody(body, token, patience), body.headers)
        except BaseException:
            stream.close()
            raise


def _is_about_the_model(error: ie.GenerateError) -> bool:
    """Whether the upstream does not know the model, which the client has named."""
    return (
        isinstance(error, ie.HttpStatusError)
        and error.status == http.HTTPStatus.NOT_FOUND
        and "model" in f"{error.code} {error.message}".lower()
    )


def _no_such_model() -> ErrorResponse:
    told = "There is no such model."
    return json_error(404, openai_error(told, "invalid_request_error", "model_not_found", "model"))


def _collected(
    stream: ie.TokenStream, is_gone: Callable[[], bool] | None
) -> tuple[ie.Completion, ie.Done]:
    """Wait for a whole answer, as long as its client does.

    Raises:
        GenerateError: It failed, or nobody waits for it any more.
    """
    seen: list[Any] = []
    looked = time.monotonic()
    while (event := stream.poll(GLANCE)) is not None or not stream.ended:
        if event is not None:
            seen.append(event)
        if time.monotonic() - looked >= GLANCE:
            looked = time.monotonic()
            if is_gone is not None and is_gone():
                stream.close()
    ending = None if stream.done is None else ending_of(stream.done)
    if isinstance(ending, ie.GenerateError):
        raise ending
    if ending is None:
        raise ie.RequestCancelledError("the answer was stopped before it was whole")
    return ie.Completion.of(seen), ending
