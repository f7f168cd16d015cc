"""What every backend promises, as tests to inherit: write one method, and know what is missing.

    class TestMine(BackendContract):
        def make_backend(self, script):
            return MyBackend(script.tokens, ...)

``make_backend(script)`` gives a backend that answers every request as a ``MockConfig`` says.  For a
backend over HTTP the script becomes the answers of an ``Upstream``: ``script_reply(script)``.

Each test is bounded by itself: a backend that hangs fails it.  What waits does so for
milliseconds if the backend is right, and for ``LIMIT`` seconds if it is wrong; what has to be soon
is allowed ``SOON`` seconds, because machines that run tests are busy.
"""

from __future__ import annotations

from inferd_engine.testing.contract_ends import Ends
from inferd_engine.testing.contract_processes import Processes
from inferd_engine.testing.contract_stops import Stops


class BackendContract(Ends, Stops, Processes):
    """Inherit it as ``class TestMine(BackendContract)``, and write ``make_backend()``.

    ``answers`` of the scripts that it is given are never set; their other fields may be.
    """
