"""Clusters, which are not ours, on this machine: Dask's, and Ray's.

Without the packages these tests are not collected; with ``INFERD_ENGINE_EXECUTORS=1`` that is an
error instead.
"""

from __future__ import annotations

import importlib.metadata
import os

import pytest

import inferd_engine as ie
from inferd_engine.testing import Upstream, echo

try:
    for package in ("distributed", "ray"):
        importlib.metadata.version(package)
except importlib.metadata.PackageNotFoundError:
    if os.environ.get("INFERD_ENGINE_EXECUTORS") == "1":
        raise
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def upstream():
    """Serve echoes."""
    with Upstream(otherwise=echo) as upstream:
        yield upstream


@pytest.fixture
def backend(upstream):
    """Ask that upstream."""
    with ie.OpenAiCompat(upstream.url, api_key="") as backend:
        yield backend
