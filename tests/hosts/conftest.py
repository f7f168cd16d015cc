"""Give the package to the programs that pack it, install it, and find interpreters for its tests.

Tests whose tool is not there are not collected; with ``INFERD_ENGINE_HOSTS=1`` that is an error.
"""

import importlib.util
import os

TOOLS = {"test_pyinstaller.py": "PyInstaller", "test_tox.py": "tox", "test_uv.py": "uv"}

collect_ignore = [file for file, tool in TOOLS.items() if importlib.util.find_spec(tool) is None]
if collect_ignore and os.environ.get("INFERD_ENGINE_HOSTS") == "1":
    missing = ", ".join(TOOLS[file] for file in collect_ignore)
    raise ModuleNotFoundError(f"INFERD_ENGINE_HOSTS=1, but these modules are not there: {missing}")
