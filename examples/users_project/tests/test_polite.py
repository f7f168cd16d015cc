"""A backend of one's own is checked by inheriting what every backend promises."""

from __future__ import annotations

from explainer import Polite

import inferd_engine as ie
from inferd_engine.testing import BackendContract


class TestPolite(BackendContract):
    """Every check, for a backend that asks another one."""

    def make_backend(self, script: ie.MockConfig) -> ie.Backend:
        """Ask a mock that says what the script says."""
        return Polite(ie.Mock(script))


def test_what_is_asked_stays_as_it_is(inferd_mock: ie.Mock) -> None:
    """A word in front, and nothing else is changed."""
    Polite(inferd_mock).complete("Hi", max_tokens=7)
    [asked] = inferd_mock.requests
    assert [message.role for message in asked.messages] == [ie.Role.SYSTEM, ie.Role.USER]
    assert asked.max_tokens == 7
