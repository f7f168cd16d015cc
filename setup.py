"""Build the package: with the C part where there is a compiler, without it where there is none.

INFERD_ENGINE_NATIVE: 1 = the C part must build, 0 = it is not built, unset = if it can be.
A build writes nothing into the checkout, which may be read-only; an editable install alone puts the
C part beside the sources.  Everything else about the package is in pyproject.toml.
"""

import os
import platform
import re
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

SWITCH = os.environ.get("INFERD_ENGINE_NATIVE", "")
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
# PyPy runs the pure decoder fast; cffi's limited API is CPython's, and needs the GIL.
LIMITED_API = platform.python_implementation() == "CPython" and not FREE_THREADED
WANTED = SWITCH != "0" and (SWITCH == "1" or LIMITED_API)

if SWITCH == "1" and FREE_THREADED:
    sys.exit(
        "INFERD_ENGINE_NATIVE=1, but the C part cannot be built for a free-threaded Python: "
        "unset the variable to install the pure part, or use a Python with the GIL"
    )


class BuildIfPossible(build_ext):
    """Build the extension; where that fails, go on without it, unless it must be there."""

    def run(self):
        try:
            super().run()
        except (BaseError, CCompilerError, OSError) as error:
            if SWITCH == "1":
                raise
            print(f"inferd_engine: the C part is left out: {error}", file=sys.stderr)
            for extension in self.extensions:
                earlier = Path(self.get_ext_fullpath(extension.name))
                if earlier.exists():  # an editable install's, which would be used
                    earlier.unlink()
            self.extensions = self.distribution.ext_modules = []

    def get_ext_filename(self, fullname):
        """Keep the name that every CPython finds: 3.15 would add a platform that 3.13 ignores."""
        return re.sub(r"\.abi3-[^.]+\.so$", ".abi3.so", super().get_ext_filename(fullname))


class WheelOfWhatWasBuilt(bdist_wheel):
    """Tag the wheel by what it holds: abi3 with the extension, pure Python without it."""

    def run(self):
        self.run_command("build_ext")
        self.root_is_pure = not self.distribution.has_ext_modules()
        if self.root_is_pure:
            self.py_limited_api = False
        super().run()


with tempfile.TemporaryDirectory(prefix="inferd_engine-") as scratch:
    setup(
        cffi_modules=["csrc/build_ffi.py:ffibuilder"] if WANTED else [],
        cmdclass={"build_ext": BuildIfPossible, "bdist_wheel": WheelOfWhatWasBuilt},
        options={
            "egg_info": {"egg_base": scratch},
            "build": {"build_base": scratch},
            # the folder on the path, so that type checkers and editors find the sources too
            "editable_wheel": {"mode": "compat"},
            "bdist_wheel": {"py_limited_api": "cp310" if WANTED else False},
        },
    )
