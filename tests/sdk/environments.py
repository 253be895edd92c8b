"""The environments of the official Python SDKs: one for each major version, made from its hash-locked file.

`python tests/sdk/environments.py` makes what is missing or out of date. `--lock` compiles the lock files anew.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parent.parent / ".venv-sdk"
MAJORS = (1, 2, 3)
# Where packages come from is this machine's matter, and must not end up in a lock file.
PLACES = (
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
)


def python_of(major: int) -> Path:
    return ENVIRONMENTS / f"openai-{major}" / "bin" / "python"


def lock_of(major: int) -> Path:
    return HERE / f"requirements-openai-{major}.lock"


def prepare() -> None:
    for major in MAJORS:
        stamp = ENVIRONMENTS / f"openai-{major}" / "made-from"
        wanted = hashlib.sha256(lock_of(major).read_bytes() + sys.version.encode()).hexdigest()
        if not stamp.exists() or stamp.read_text() != wanted:
            _make(major)
            stamp.write_text(wanted)


def _make(major: int) -> None:
    place = ENVIRONMENTS / f"openai-{major}"
    print(f"megadash: setting up the openai {major}.x SDK for the tests", file=sys.stderr)
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    options = ["--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:", "--no-compile"]
    pip = [_python_with_pip(), "-m", "pip", "--python", str(python_of(major)), "install", "--quiet"]
    subprocess.run([*pip, *options, "-r", str(lock_of(major))], check=True)


def _python_with_pip() -> str:
    """An environment may have been made without pip; then that of the machine installs from outside."""
    for python in (sys.executable, "python3"):
        asked = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return python
    raise SystemExit("megadash: no pip was found, neither here nor of python3 on PATH.")


def lock() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in PLACES}
    compile_ = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config", "--universal"]
    compile_ += ["--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--python-version", "3.11"]
    compile_ += ["--custom-compile-command", "python tests/sdk/environments.py --lock"]
    for major in MAJORS:
        wanted = f"openai>={major},<{major + 1}\n"
        command = [*compile_, "--upgrade", "-o", str(lock_of(major)), "-"]
        subprocess.run(command, input=wanted, text=True, env=environment, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", action="store_true", help="compile the lock files instead")
    lock() if parser.parse_args().lock else prepare()
