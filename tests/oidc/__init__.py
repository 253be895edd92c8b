"""A real OpenID Connect provider for tests, and a person who signs in there."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from bench.processes import end, free_port, wait_for_port
from bench.product import ROOT

SCRIPT = Path(__file__).parent / "provider.mjs"
PACKAGE = ROOT / "node_modules" / "oidc-provider" / "package.json"


def has_provider() -> bool:
    return shutil.which("node") is not None and PACKAGE.exists()


@contextmanager
def provider(callback: str, log_path: Path) -> Iterator[str]:
    """Its issuer's address; it sends people back to `callback`."""
    port, node = free_port(), shutil.which("node")
    assert node is not None
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [node, str(SCRIPT), str(port), callback], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        wait_for_port(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process, patience_s=0.5)


def sign_in_there(address: str, email: str, callback: str) -> str:
    """From where MegaDash sends a person, through the provider's forms, to where it sends them back."""
    with requests.Session() as browser:
        browser.trust_env = False
        answer = browser.get(address, timeout=10)
        while not answer.url.startswith(callback):
            form = re.search(r'action="([^"]+)"', answer.text)
            assert form, answer.text[:2000]
            prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
            assert prompt, answer.text[:2000]
            fields = {"prompt": prompt[1], "login": email, "password": "any"}
            answer = _follow(
                browser, browser.post(html.unescape(form[1]), fields, timeout=10, allow_redirects=False), callback
            )
        return str(answer.url)


def _follow(browser: requests.Session, answer: requests.Response, callback: str) -> requests.Response:
    """Redirections, but not the one back to MegaDash, whom the test plays itself."""
    while answer.is_redirect:
        goal = requests.compat.urljoin(answer.url, answer.headers["location"])
        if goal.startswith(callback):
            answer.url = goal
            return answer
        answer = browser.get(goal, timeout=10, allow_redirects=False)
    return answer
