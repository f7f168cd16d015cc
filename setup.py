"""Build the package: with the C part where there is a compiler, without it where there is none.

INFERD_ENGINE_NATIVE: 1 = the C part must build, 0 = it is not built, unset = if it can be.
Everything else about the package is in pyproject.toml.
"""

import os
import platform
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

SWITCH = os.environ.get("INFERD_ENGINE_NATIVE", "")
# PyPy runs the pure decoder fast; cffi's limited API is CPython's.
WANTED = SWITCH != "0" and (SWITCH == "1" or platform.python_implementation() == "CPython")


class BuildIfPossible(build_ext):
    """Build the extension; where that fails, go on without it, unless it must be there."""

    def run(self):
        try:
            super().run()
        except (BaseError, CCompilerError, OSError) as error:
            if SWITCH == "1":
                raise
            print(f"inferd_engine: the C part is left out: {error}", file=sys.stderr)
            for extension in self.extensions:  # an earlier build's would go into the wheel
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions = self.distribution.ext_modules = []


class WheelOfWhatWasBuilt(bdist_wheel):
    """Tag the wheel by what it holds: abi3 with the extension, pure Python without it."""

    def run(self):
        self.run_command("build_ext")
        self.root_is_pure = not self.distribution.has_ext_modules()
        if self.root_is_pure:
            self.py_limited_api = False
        super().run()


setup(
    cffi_modules=["csrc/build_ffi.py:ffibuilder"] if WANTED else [],
    cmdclass={"build_ext": BuildIfPossible, "bdist_wheel": WheelOfWhatWasBuilt},
    options={"bdist_wheel": {"py_limited_api": "cp310"}} if WANTED else {},
)
