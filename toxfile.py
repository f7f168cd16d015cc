"""Find the interpreters that ``oldest-*`` and ``newest-*`` run on; say how long a whole run takes.

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
    from tox.config.sets import ConfigSet, EnvConfigSet
    from tox.session.state import State

OLDEST = (3, 10)
NEWEST = (3, 15)
PATIENCE = 120  # seconds for an interpreter to say what it is: a slow disk needs more than tox's 15
# An estimate: added up from environments that were run one by one, beside other work.
WHOLE_RUN = """\
tox: lint, types, the C part under sanitizers, packers, all tests on the newest Python here with
the C part and on the oldest without it, some on the other pairs: about 40 minutes on two cores.
In less than one: pytest tests/proto tests/stream -k "not struck"
"""


def _candidates() -> list[str]:
    names = [f"python3.{minor}" for minor in range(OLDEST[1], NEWEST[1] + 1)]
    on_path = [path for name in names if (path := shutil.which(name))]
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return [sys.executable, *map(str, sorted(root.glob("versions/3.*/bin/python3"))), *on_path]


def _version(executable: str) -> tuple[int, ...] | None:
    """Give an interpreter's version; None if it does not run, or could not build the C part."""
    code = (
        "import sys; assert sys.implementation.name == 'cpython'; "
        "assert 't' not in getattr(sys, 'abiflags', ''); print(*sys.version_info[:2])"
    )
    try:
        ran = subprocess.run(  # noqa: S603 - an interpreter of this machine
            [executable, "-ISc", code],
            capture_output=True,
            check=True,
            text=True,
            timeout=PATIENCE,
        )
    except (OSError, subprocess.SubprocessError):  # a shim without its version, a broken link
        return None
    return tuple(map(int, ran.stdout.split()))


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
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:  # noqa: ARG001 - tox's hook
    """Say before a default run what runs, how long it takes, and what is quicker."""
    options = state.conf.options
    if options.command in ("legacy", "run", "run-parallel") and options.env.is_default_list:
        sys.stdout.write(WHOLE_RUN)
        sys.stdout.flush()


@impl
def tox_add_env_config(env_conf: EnvConfigSet, state: State) -> None:  # noqa: ARG001 - tox's hook
    """Give ``oldest-*`` and ``newest-*`` their interpreter, and each interpreter time to answer."""
    env_conf["set_env"].update({"PY_DISCOVERY_TIMEOUT": str(PATIENCE)}, override=False)
    which = env_conf.name.partition("-")[0]
    if which in ("oldest", "newest"):
        executable = list(_interpreters().values())[0 if which == "oldest" else -1]
        env_conf.loaders.insert(0, MemoryLoader(base_python=[executable]))
