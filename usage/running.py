"""One running instance, from its first line on the terminal to its last: what `manage.py run` does."""

from __future__ import annotations

import fcntl
import http.client
import math
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from usage import banner, catalog, first_start, ports
from usage.models import Model, Provider
from usage.supervision import HERE, Supervision, config, programs

READY_WITHIN_S = 90
STARTING_S = 10
LOOK_EVERY_S = 0.1
# `make` and the terminal both pass a signal on, so one Ctrl-C may arrive twice; a person's second one comes later.
SAME_SIGNAL_S = 0.7
# supervisord that lived shorter did not die by accident: starting it again would not help.
SHORTEST_LIFE_S = 5
OPEN_FILES = 65_536
# Needed by the first start only, so no running program gets them.
FIRST_START_ONLY = {
    *("MEGADASH_ADMIN_EMAIL", "MEGADASH_ADMIN_PASSWORD", "MEGADASH_BOOTSTRAP_KEY", "MEGADASH_BOOTSTRAP_TIER"),
    *("MEGADASH_BOOTSTRAP_ADMIN_KEY", "UPSTREAM_BASE_URL", "UPSTREAM_API_KEY", "OPENAI_API_KEY"),
}


class NotReady(Exception):
    """The programs were started, but the gateway does not answer."""


def run(say: Callable[[str], None], stop_with_parent: bool) -> None:
    """Returns when it was asked to stop and everything ended. Raises ImproperlyConfigured and NotReady."""
    with _only_one(settings.DATA_DIR / "run.lock"):
        ip = ports.listening_ip(settings.HOST)
        ports.refuse_if_taken(ip, settings.PORT)
        shown = first_start.prepare(settings.FIRST_START)
        if shown:
            say(banner.credentials(shown))
        instance = Instance(ip, settings.PORT, settings.DATA_DIR, say)
        ready = banner.ready(instance.url, instance.upstream, str(settings.DATA_DIR / "log"), _sample_model(), shown)
        connection.close()
        with StopSignals(os.getppid() if stop_with_parent else None) as signals:
            instance.run(ready, signals)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ImproperlyConfigured(
                f"MEGADASH_DATA_DIR {str(path.parent)!r} is in use by a running MegaDash."
            ) from error
        yield


def _sample_model() -> str:
    """A model for the snippet that is still served: the newest small one of the catalogue's."""
    chat = Model.objects.filter(kind=Model.Kind.CHAT, shutdown_date=None, enabled=True).exclude(
        name__startswith="sandbox-"
    )
    newest = (
        chat.filter(name__endswith="-mini").order_by("-released_at").first() or chat.order_by("-released_at").first()
    )
    return newest.name if newest else "gpt-4"


class StopSignals:
    """How often somebody asked to stop: Ctrl-C, SIGTERM, or the end of the parent process."""

    def __init__(self, parent: int | None) -> None:
        self._parent = parent
        self._asked_at: list[float] = []
        self.insists = False

    def __enter__(self) -> StopSignals:
        self._former = {
            number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    @property
    def asked(self) -> bool:
        return bool(self._asked_at) or (self._parent is not None and os.getppid() != self._parent)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        # Only a person insists; a service manager that sends SIGTERM twice does not mean to cut streams.
        if number == signal.SIGINT and self._asked_at and now - self._asked_at[-1] > SAME_SIGNAL_S:
            self.insists = True
        self._asked_at.append(now)


class Instance:
    """The programs of one data directory, seen from outside."""

    def __init__(self, ip: str, port: int, directory: Path, say: Callable[[str], None]) -> None:
        self.ip, self.port, self.directory, self.say = ip, port, directory, say
        self.url = ports.url(ip, port)
        self.sandbox_port = _sandbox_port()
        self.upstream = ", ".join(str(provider) for provider in Provider.objects.filter(enabled=True))

    def run(self, ready: str, signals: StopSignals) -> None:
        running = self._start()
        try:
            self._wait_until_ready(running, signals)
            if not signals.asked:
                self.say(ready)
            while not signals.asked:
                running = self._keep(running)
                time.sleep(LOOK_EVERY_S)
            self._stop(running, signals)
        finally:
            running.kill()

    def _start(self) -> Supervision:
        self._started_at = time.monotonic()
        found = programs(self.ip, self.port, self.sandbox_port)
        _private(self.directory / "log")
        for folder in ("queue/messages", "queue/control", "spool"):
            _private(self.directory / folder)
        (self.directory / "supervisord.conf").write_text(config(found, self.directory))
        _allow_many_open_files()
        return Supervision(self.directory, _environment(os.environ, self.directory))

    def _wait_until_ready(self, running: Supervision, signals: StopSignals) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not signals.asked and not self._answers():
            if not running.is_running or time.monotonic() > deadline:
                raise NotReady(f"The gateway does not answer on {self.url}.\n{self._last_words()}")
            time.sleep(LOOK_EVERY_S)

    def _answers(self) -> bool:
        """401 is an answer: the gateway is there."""
        sandbox_is_there = self.sandbox_port is None or not ports.is_free(self.sandbox_port)
        address = urlsplit(self.url)
        asking = http.client.HTTPConnection(address.hostname or "", self.port, timeout=2)
        try:
            asking.request("GET", "/v1/models")
            return sandbox_is_there and asking.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asking.close()

    def _last_words(self) -> str:
        log = self.directory / "log" / "gateway.log"
        lines = log.read_text(errors="replace").splitlines()[-20:] if log.exists() else []
        return "\n".join([*lines, f"The logs are in {log.parent}."])

    def _keep(self, running: Supervision) -> Supervision:
        """supervisord brings its programs back; this brings supervisord back."""
        if running.is_running:
            return running
        running.kill()
        if time.monotonic() - self._started_at < SHORTEST_LIFE_S:
            raise NotReady(f"supervisord stopped.\n{self._last_words()}")
        self.say("supervisord was killed; starting everything again.")
        return self._start()

    def _stop(self, running: Supervision, signals: StopSignals) -> None:
        self.say("Stopping. Running streams may end first; Ctrl-C again cuts them.")
        has_streams = self._answers_soon(running, signals)
        running.stop()
        deadline = time.monotonic() + (math.inf if has_streams else STARTING_S)
        while running.is_running and not signals.insists and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S)

    def _answers_soon(self, running: Supervision, signals: StopSignals) -> bool:
        """A granian worker that is still starting misses the signal, and would be waited for as if it had streams."""
        deadline = time.monotonic() + STARTING_S
        while not self._answers() and running.is_running and not signals.insists and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S)
        return self._answers()


def _sandbox_port() -> int | None:
    """The port in the sandbox's address; another one when somebody else took it since."""
    sandbox = Provider.objects.filter(is_sandbox=True, enabled=True).first()
    if sandbox is None:
        return None
    port = urlsplit(sandbox.base_url).port
    if port is None or not ports.is_free(port):
        port = ports.free_port()
        catalog.add_sandbox(f"http://127.0.0.1:{port}/v1")
    return port


def _private(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def _environment(ours: Mapping[str, str], directory: Path) -> dict[str, str]:
    kept = {name: value for name, value in ours.items() if name not in FIRST_START_ONLY}
    path = os.pathsep.join(filter(None, [str(HERE), ours.get("PYTHONPATH", "")]))
    # The set-up has run Django's checks. Celery would import every page to run them again: a second, and 30 MB.
    ours_alone = {"PYTHONUNBUFFERED": "1", "CELERY_SKIP_CHECKS": "1", "MEGADASH_DATA_DIR": str(directory)}
    return {**kept, "PYTHONPATH": path, **ours_alone}


def _allow_many_open_files() -> None:
    """A stream holds two sockets, and the usual soft limit is 1,024 (256 on macOS)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    for limit in (wanted, 10_240):  # macOS takes no more than its OPEN_MAX, whatever the hard limit says
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))
            return
