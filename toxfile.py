"""Find the interpreters that ``oldest-*`` and ``newest-*`` run on.

Supported interpreters may lie on the PATH or below pyenv's ``versions`` folder, where tox does not
look.  With a single one on the machine, oldest and newest are the same.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tox.config.loader.memory import MemoryLoader
from tox.plugin import impl

if TYPE_CHECKING:
    from tox.config.sets import EnvConfigSet
    from tox.session.state import State

OLDEST = (3, 10)
NEWEST = (3, 14)


def _candidates() -> list[str]:
    names = [f"python3.{minor}" for minor in range(OLDEST[1], NEWEST[1] + 1)]
    on_path = [path for name in names if (path := shutil.which(name))]
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return [sys.executable, *map(str, sorted(root.glob("versions/3.*/bin/python3"))), *on_path]


def _version(executable: str) -> tuple[int, ...] | None:
    """Give an interpreter's version; None if it does not run (a shim without its version)."""
    code = "import sys; assert sys.implementation.name == 'cpython'; print(*sys.version_info[:2])"
    ran = subprocess.run(  # noqa: S603 - an interpreter of this machine
        [executable, "-c", code], capture_output=True, text=True, check=False
    )
    return tuple(map(int, ran.stdout.split())) if ran.returncode == 0 else None


@functools.cache
def _interpreters() -> dict[tuple[int, ...], str]:
    """Give the supported interpreters of this machine by version, the oldest first."""
    found: dict[tuple[int, ...], str] = {}
    for executable in _candidates():
        version = _version(executable)
        if version is not None and OLDEST <= version <= NEWEST:
            found.setdefault(version, executable)
    return dict(sorted(found.items()))


@impl
def tox_add_env_config(env_conf: EnvConfigSet, state: State) -> None:  # noqa: ARG001 - tox's hook
    """Give ``oldest-*`` and ``newest-*`` their interpreter."""
    which = env_conf.name.partition("-")[0]
    if which in ("oldest", "newest"):
        executable = list(_interpreters().values())[0 if which == "oldest" else -1]
        env_conf.loaders.insert(0, MemoryLoader(base_python=[executable]))
