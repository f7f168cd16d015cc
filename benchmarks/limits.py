"""What a process may have: files and threads for thousands of streams."""

from __future__ import annotations

import threading

STACK = 512 * 1024  # bytes of a thread's stack that are set aside; what is not used is not there


def raise_limits() -> None:
    """Let this process have as many files as it may."""
    threading.stack_size(STACK)
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
