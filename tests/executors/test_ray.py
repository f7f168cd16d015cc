"""Ray asks, by way of the executor of four lines that docs/batch.md shows."""

from __future__ import annotations

import concurrent.futures
import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.filterwarnings("default")  # what Ray warns of is its own


@pytest.fixture(scope="module")
def executor():
    """Start Ray with two workers."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    import ray

    class RayExecutor(concurrent.futures.Executor):
        def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            return ray.remote(call).remote(*args, **kwargs).future()

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield RayExecutor()
    ray.shutdown()


@pytest.mark.timeout(180)
def test_ray_answers(executor, backend, upstream):
    """Each prompt is answered once, in processes of Ray's."""
    prompts = [f"p{number // 2}" for number in range(40)]
    results = list(backend.map(prompts, executor=executor, ordered=True))
    assert [result.completion.text for result in results] == [f"You said: {p}" for p in prompts]
    assert len(upstream.requests) == 40
