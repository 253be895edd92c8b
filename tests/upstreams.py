"""Providers nobody here wrote: `llmock` from PyPI, `@copilotkit/aimock` from npm. Real servers, stopped by pid."""

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.processes import end, free_port, wait_for_port
from bench.product import ROOT

AIMOCK = ROOT / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
NODE_SDK = ROOT / "node_modules" / "openai" / "package.json"


class Upstream:
    def __init__(self, port: int, journal_path: str) -> None:
        self.port, self._journal_path = port, journal_path

    def journal(self) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{self._journal_path}", timeout=30) as answer:
            return json.load(answer)


class LLMock(Upstream):
    def script(self, *behaviors: dict[str, Any]) -> None:
        """What it does to which model, for good unless `times` says otherwise; see llmock's documentation."""
        payload = json.dumps({"behaviors": [{"times": None, **behavior} for behavior in behaviors]}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/_llmock/scenario", data=payload)
        urllib.request.urlopen(request, timeout=10).close()


@contextmanager
def llmock(log_path: Path) -> Iterator[LLMock]:
    port = free_port()
    command = [sys.executable, "-m", "llmock.cli", "serve", "--port", str(port), "--log-level", "warning"]
    with _running(command, port, log_path):
        yield LLMock(port, "/_llmock/requests")


@contextmanager
def aimock(log_path: Path, fixtures: list[dict[str, Any]]) -> Iterator[Upstream]:
    port = free_port()
    path = log_path.with_suffix(".fixtures.json")
    path.write_text(json.dumps({"fixtures": fixtures}, ensure_ascii=False))
    node = shutil.which("node")
    assert node is not None
    command = [node, str(AIMOCK), "--port", str(port), "--fixtures", str(path), "--journal-max", "0"]
    command += ["--strict", "--log-level", "warn"]
    with _running(command, port, log_path):
        yield Upstream(port, "/__aimock/journal")


def has_node() -> bool:
    return shutil.which("node") is not None and AIMOCK.exists() and NODE_SDK.exists()


@contextmanager
def _running(command: list[str], port: int, log_path: Path) -> Iterator[None]:
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, cwd=log_path.parent, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for_port(port, process)
        yield
    finally:
        # It would wait for the answers that it was told to hold back.
        end(process, patience_s=0.5)
