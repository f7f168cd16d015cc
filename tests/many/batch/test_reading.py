"""The one thread that reads the answers of a batch lets go of each of them."""

from __future__ import annotations

import threading

import inferd_engine as ie
from inferd_engine.many.batch.asking import begun
from inferd_engine.many.batch.reading import Reader
from inferd_engine.many.merging.merge import Merge
from inferd_engine.many.merging.rounds import Rounds
from inferd_engine.proto.v2 import RequestV2, user
from inferd_engine.stream.token_stream import TokenStream
from inferd_engine.testing import Reply, Stall, Upstream, chunk, text_reply

SOON = 10.0
A_MOMENT = 0.2


class _LateRounds(Rounds):
    """Rounds that have an answer in their hands before the thread that adds it goes on."""

    def __init__(self):
        super().__init__()
        self.is_looked_at = threading.Event()
        self.is_closing = threading.Event()
        self.on_look = lambda: None

    def _look(self, member):
        found = super()._look(member)
        self.is_looked_at.set()
        return found

    def join(self, member):
        super().join(member)
        assert self.is_looked_at.wait(SOON)
        self.on_look()
        self.is_closing.wait(A_MOMENT)  # not at all, if whoever closes waits for whoever adds


class _Late(Merge):
    """A merge of such rounds, which does not settle before the answer is added."""

    def __init__(self):
        super().__init__()
        self._rounds.waiter.close()
        self._rounds = _LateRounds()
        self._going = self._rounds.go()
        next(self._going)
        self.is_added = threading.Event()

    def close(self):
        self._rounds.is_closing.set()
        super().close()

    def _settle(self):
        assert self.is_added.wait(SOON)
        super()._settle()


def test_an_answer_that_is_added_while_all_is_closed():
    """Its connection is closed, however the two meet."""
    reader = Reader(lambda *_: None)
    reader._merge = merge = _Late()
    reading, closing = threading.Thread(target=reader.run), threading.Thread(target=reader.close)
    merge._rounds.on_look = closing.start
    with Upstream(Reply([chunk("a"), Stall()])) as upstream:
        with ie.OpenAiCompat(base_url=upstream.url, api_key="") as backend:
            stream = begun(backend, RequestV2([user("x")]).resolve(), None)
            assert isinstance(stream, TokenStream)
            reading.start()
            reader.add(None, stream)
            merge.is_added.set()
            closing.join(SOON)
            reading.join(SOON)
            assert not closing.is_alive()
            assert not reading.is_alive()
            assert stream.cancelled
            assert stream._reading.released_at is not None
            assert upstream.requests[0].gone.wait(SOON)


def test_reading_that_fails_is_told_to_each(monkeypatch):
    """No answer is waited for that nobody reads: those that come later are told, too."""

    def poll(self, timeout):
        if len(self):
            raise ZeroDivisionError
        threading.Event().wait(0.001)

    monkeypatch.setattr(Merge, "poll", poll)
    with Upstream(otherwise=lambda _: text_reply("a")) as upstream:
        with ie.OpenAiCompat(base_url=upstream.url, api_key="") as backend:
            results = list(backend.map(["x"] * 20, concurrency=4))
    assert len(results) == 20
    for result in results:
        assert isinstance(result.error, ie.InternalError)
        assert isinstance(result.error.__cause__, ZeroDivisionError)
