"""``LlamaCpp`` keeps the contract of every backend, over a real model and real contexts.

A script puts words into the model's mouth: which tokens are chosen, after how long, and what they
say.  All the rest is as ever; each token is computed.
"""

from __future__ import annotations

import copy
import itertools
import json
import threading
import time
from types import SimpleNamespace

import pytest
from llamacpp.conftest import SETTINGS

import inferd_engine as ie
from inferd_engine.backends.llamacpp import backend as room
from inferd_engine.backends.llamacpp.answer import CALL_BEGIN, CALL_END, Answer
from inferd_engine.testing import BackendContract

END = 2
WORDS = itertools.cycle(range(300, 400))  # tokens, any
SCRIPTS = {}  # by template: that goes wherever a configuration does
CONTEXTS = 8


def pieces_of(script):
    """What the model has to say, a token each."""
    if script.events is None:
        return [text.encode() for text in script.tokens]
    said = []
    for event in script.events:
        if event.type == "thinking":
            said += [f"<think>{event.delta}", "</think>"]
        elif event.type == "text":
            said.append(event.delta)
        elif event.type == "tool_use":
            call = json.dumps({"name": event.name, "arguments": event.input}, ensure_ascii=False)
            said.append(f"{CALL_BEGIN}{call}{CALL_END}")
    return [text.encode() for text in said]


class Speaker:
    """A model, as far as one answer looks at it, and its sampler."""

    def __init__(self, model, script):
        self._model = model
        self._script = script
        self._pieces = pieces_of(script)
        self._count = -1
        self.flag = False

    def __getattr__(self, name):
        return getattr(self._model, name)

    def next(self, *_):
        self._count += 1
        return next(WORDS) if self._count < len(self._pieces) else END

    def piece(self, _):
        most = self._script.mid_stream_drop_after
        if most is not None and self._count >= most:
            raise ie.StreamInterruptedError("cut")
        until = time.monotonic() + self._script.token_delay
        while time.monotonic() < until:
            if self.flag:
                raise ie.RequestCancelledError("the answer was stopped")
            threading.Event().wait(0.002)
        return self._pieces[self._count]

    def is_end(self, token):
        return token == END


class Scripted(ie.LlamaCpp):
    """A model that says what a script says."""

    def _open(self, loaded, prompt, sampling, answer, **fields):
        script = SCRIPTS[self.config.chat_template]
        if script.pre_stream_error is not None:
            raise copy.copy(script.pre_stream_error)
        if script.events is not None:  # the contract asks for calls, and gives no tools
            answer = Answer(split=True, has_tools=True)
        model = Speaker(loaded.model, script)
        speaking = SimpleNamespace(
            model=model, size=loaded.size, slots=loaded.slots, loaded=loaded, projector=None
        )
        stream = super()._open(speaking, prompt, sampling, answer, **fields)
        model.flag = stream._reading.source._flag
        return stream


class TestLlamaCpp(BackendContract):
    @pytest.fixture(autouse=True)
    def _model(self, tiny, monkeypatch):
        self.tiny = tiny
        monkeypatch.setattr(room, "Sampler", lambda model, _: model)
        yield
        SCRIPTS.clear()

    def make_backend(self, script):
        template = f"{{# {len(SCRIPTS)} #}}a"  # three tokens with the one that begins
        SCRIPTS[template] = script
        fields = {"chat_template": template, "buffer": script.buffer, "timeout": 60.0}
        return Scripted(model_path=self.tiny, n_parallel=CONTEXTS, **SETTINGS, **fields)


class TestWithoutWorker(TestLlamaCpp):
    def make_backend(self, script):
        return super().make_backend(script).with_options(buffer=0)
