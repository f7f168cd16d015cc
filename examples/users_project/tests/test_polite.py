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
