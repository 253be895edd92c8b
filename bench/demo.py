"""The running product with the demo's ninety days of usage, for what looks at pages."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import processes
from bench.product import OURS, ROOT


@contextmanager
def demo(data_dir: Path) -> Iterator[tuple[str, str]]:
    """The running product with the demo's usage: its address, and everybody's password."""
    port = processes.free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    environment = {**kept, "MEGADASH_DATA_DIR": str(data_dir), "MEGADASH_PORT": str(port)}
    manage = [sys.executable, str(ROOT / "manage.py")]
    subprocess.run([*manage, "demo"], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    with (data_dir.parent / f"{data_dir.name}.log").open("wb") as log:
        running = subprocess.Popen([*manage, "run"], cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        wait_for(f"http://127.0.0.1:{port}/accounts/login/", running)
        yield f"http://127.0.0.1:{port}", json.loads((data_dir / "demo").read_text())["password"]
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(30)


def wait_for(url: str, running: "subprocess.Popen[bytes]") -> None:
    give_up_at = time.monotonic() + 120
    while time.monotonic() < give_up_at and running.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise RuntimeError("the product does not answer")
