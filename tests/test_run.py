"""`manage.py run` as a person sees it: one command, everything starts, nothing stays dead, Ctrl-C ends it all."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.test_settings import ROOT
from usage import ports

BACK_WITHIN_S = 3
PROGRAMS = {"shipper": "ship", "sandbox": "sandbox", "celery": "worker", "beat": "beat", "gateway": "gateway"}


class Product:
    def __init__(self, data_dir: Path) -> None:
        self.port = ports.free_port()
        self.log = data_dir / "terminal"
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MEGADASH_", "UPSTREAM_", "OPENAI_"))
        }
        environment = {**kept, "MEGADASH_DATA_DIR": str(data_dir), "MEGADASH_PORT": str(self.port)}
        with self.log.open("w") as terminal:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "run"], cwd=ROOT, env=environment, stdout=terminal, stderr=terminal
            )
        self.wait(lambda: "Ctrl-C stops everything" in self.said(), 90)

    def said(self) -> str:
        return self.log.read_text()

    def wait(self, happened: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not happened():
            assert time.monotonic() < deadline, self.said()
            assert self.process.poll() is None, self.said()
            time.sleep(0.05)

    def supervisor(self) -> psutil.Process:
        return next(
            child for child in psutil.Process(self.process.pid).children() if "usage.supervisord" in child.cmdline()
        )

    def program(self, name: str) -> psutil.Process | None:
        return next((child for child in self.supervisor().children() if runs(child, PROGRAMS[name])), None)

    def everything(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


def runs(process: psutil.Process, program: str) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and program in process.cmdline()
    except psutil.NoSuchProcess:
        return False  # It ended between being listed and being asked.


@pytest.fixture(scope="module")
def product(tmp_path_factory) -> Iterator[Product]:
    product = Product(tmp_path_factory.mktemp("data"))
    yield product
    if product.process.poll() is None:
        product.process.send_signal(signal.SIGTERM)
        product.process.wait(60)


def test_the_terminal_shows_address_credentials_and_a_snippet_that_runs(product):
    assert f"http://127.0.0.1:{product.port}" in product.said()
    assert "admin@localhost" in product.said()
    snippet = product.said().partition("  from openai")[2].partition("Ctrl-C")[0]
    done = subprocess.run(
        [sys.executable, "-c", "from openai" + snippet.replace("\n  ", "\n")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "sandbox" in done.stdout, done.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_killed_program_is_back_within_seconds_and_leaves_no_orphan(product, name):
    product.wait(lambda: product.program(name) is not None, 30)
    former = product.program(name)
    theirs = [former, *former.children(recursive=True)]
    former.kill()
    product.wait(lambda: product.program(name) not in (None, former), BACK_WITHIN_S)
    product.wait(lambda: not any(process.is_running() for process in theirs), BACK_WITHIN_S)


def test_a_killed_supervisor_is_back_with_everything(product):
    time.sleep(max(0, 6 - (time.time() - product.supervisor().create_time())))
    former = product.everything()
    product.supervisor().kill()
    product.wait(lambda: not any(process.is_running() for process in former), BACK_WITHIN_S)
    product.wait(lambda: bool(psutil.Process(product.process.pid).children()), BACK_WITHIN_S)
    product.wait(lambda: all(product.program(name) for name in PROGRAMS), BACK_WITHIN_S)


def test_ctrl_c_stops_everything_and_the_next_start_shows_no_secret(product):
    running = product.everything()
    product.process.send_signal(signal.SIGINT)
    assert product.process.wait(60) == 0
    assert not any(process.is_running() for process in running)
    again = Product(product.log.parent)
    assert "sk-mega-" not in again.said()
    orphans = again.everything()
    again.process.kill()
    again.process.wait()
    # Nobody is left to stop them but supervisord itself, which sees that its parent is gone.
    deadline = time.monotonic() + 30
    while any(process.is_running() for process in orphans) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(process.is_running() for process in orphans)
