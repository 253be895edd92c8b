"""The gateway as it really runs, under granian, with its shipper, in front of a provider that misbehaves on purpose."""

from __future__ import annotations

import http.client
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench import processes
from tests.misbehaving import SCRIPTS, SECRET, Provider, provider

ROOT = Path(__file__).resolve().parent.parent
OURS = ("MEGADASH_", "UPSTREAM_", "OPENAI_", "DATABASE_URL", "VALKEY_URL", "DJANGO_", "GRANIAN_")
SERVE = ("--interface", "asgi", "--workers", "1", "--http", "1", "--no-ws", "--runtime-mode", "st", "--loop", "uvloop",
         "--http1-header-read-timeout", "8000", "--no-access-log", "--log-level", "warning")  # fmt: skip
PREPARE = """
import json, sys
import django
django.setup()
from django.core.management import call_command
from django.utils import timezone
from datetime import timedelta
from accounts.models import ApiKey, Team, Tier
from usage import catalog
from usage.models import Model, Provider, Route
call_command("migrate", verbosity=0)
given = json.loads(sys.argv[1])
catalog.seed_models(); catalog.seed_prices()
away = Provider(name="Away", base_url="http://127.0.0.1:9/v1", may_be_private=True); away.save()
local = f"http://127.0.0.1:{given['port']}/v1"
provider = catalog.add_provider("Misbehaving", local, given["secret"], may_be_private=True)
now = timezone.now()
for name in (*given["models"], "unreachable"):
    sizes = {"context_length": 8192, "max_output_tokens": 4096}
    model = Model(name=name, display_name=name, owned_by="tests", released_at=now, **sizes); model.save()
    Route(model=model, provider=away if name == "unreachable" else provider, upstream_model=name).save()
open_tier = Tier(name="Enterprise"); open_tier.save()
basic = Tier(name="Basic", requests_per_minute=60, tokens_per_minute=90000, concurrent_requests=10); basic.save()
keys = {}
def key(name, team, **fields):
    keys[name] = ApiKey.objects.create_with_secret(team=team, name=name, **fields)[1]
grace = Team(name="Grace's team", tier=open_tier); grace.save()
ada = Team(name="Ada's team", tier=basic); ada.save()
drains = Team(name="Drains", tier=open_tier, on_abort="drain"); drains.save()
key("grace", grace); key("ada", ada); key("drains", drains); key("mallory", ada, revoked_at=now)
key("past", ada, expires_at=now - timedelta(days=1)); key("narrow", grace, requests_per_minute=2)
print(json.dumps(keys))
"""
HI = [{"role": "user", "content": "hi"}]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The envelope, with its four keys."""
        error: dict[str, Any] = self.json["error"]
        assert list(error)[:4] == ["message", "type", "param", "code"]
        return error

    @property
    def id(self) -> str:
        return self.headers["x-request-id"]

    @property
    def events(self) -> list[Any]:
        """A stream's events; the last is "[DONE]" when it ended well."""
        payloads = [event.removeprefix(b"data: ") for event in self.body.split(b"\n\n")[:-1]]
        return ["[DONE]" if payload == b"[DONE]" else json.loads(payload) for payload in payloads]


class Gateway:
    def __init__(self, place: Path, upstream: Provider) -> None:
        self.data_dir, self.log_path, self.upstream = place / "data", place / "log", upstream
        self.port = processes.free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        self._environment = kept | {
            "MEGADASH_DATA_DIR": str(self.data_dir),
            "DJANGO_SETTINGS_MODULE": "megadash.settings",
        }
        given = {"port": upstream.port, "secret": SECRET, "models": list(SCRIPTS)}
        self.keys: dict[str, str] = json.loads(self.python(PREPARE, json.dumps(given)))

    def python(self, code: str, *arguments: str) -> str:
        """Run in a process of its own, with this gateway's database."""
        command = [sys.executable, "-c", code, *arguments]
        ended = subprocess.run(command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def change(self, code: str) -> None:
        self.python(
            "import django; django.setup()\nfrom django.utils import timezone\nfrom accounts.models import *\n" + code
        )

    # Calls ------------------------------------------------------------------------------------------------------------

    def call(
        self,
        method: str = "POST",
        path: str = "/v1/chat/completions",
        body: Any = None,
        key: str = "grace",
        **headers: str,
    ) -> Answer:
        """`body` bytes go as they are; a header's `_` is its `-`."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"authorization": f"Bearer {self.keys.get(key, key)}"} if key else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            return Answer(
                response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
            )

    def chat(
        self, model: str = "well", key: str = "grace", headers: dict[str, str] | None = None, **fields: Any
    ) -> Answer:
        return self.call(body={"model": model, "messages": HI, **fields}, key=key, **(headers or {}))

    def raw(self, data: bytes, *more: bytes, patience_s: float = 10) -> bytes:
        """What comes back on a socket on which just this was sent, until it is closed or nothing more comes."""
        with self.socket() as peer:
            peer.settimeout(patience_s)
            got = b""
            try:
                for piece in (data, *more):
                    peer.sendall(piece)
                while piece := peer.recv(65_536):
                    got += piece
            except (ConnectionError, TimeoutError):
                pass
            return got

    def socket(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    # Records ----------------------------------------------------------------------------------------------------------

    def event(self, request_id: str) -> dict[str, Any]:
        """The record of a call, once the shipper has brought it."""
        return eventually(
            lambda: next(iter(self.rows("SELECT * FROM usage_usageevent WHERE id = ?", request_id[4:])), {})
        )

    def attempts(self, request_id: str) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM usage_usageattempt WHERE event_id = ? ORDER BY position", request_id[4:])

    def events_of(self, model: str) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM usage_usageevent WHERE requested_model = ?", model)

    def rows(self, query: str, *parameters: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.data_dir / "megadash.sqlite3", timeout=20)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(query, parameters)]

    # Its processes ----------------------------------------------------------------------------------------------------

    @contextmanager
    def running(self) -> Iterator[None]:
        commands = [
            [sys.executable, "-m", "granian", *SERVE, "--port", str(self.port), "megadash.asgi:application"],
            [sys.executable, "manage.py", "ship"],
        ]
        with self.log_path.open("ab") as log:
            started = [
                subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)
                for command in commands
            ]
        try:
            eventually(self._answers)
            yield
        finally:
            for process in started:
                process.terminate()
            for process in started:
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _answers(self) -> bool:
        try:
            return self.call("GET", "/v1/models").status == 200
        except OSError:
            return False


def eventually(look: Callable[[], Any], patience_s: float = 15) -> Any:
    """The first truthy answer."""
    give_up_at = time.monotonic() + patience_s
    while not (seen := look()):
        assert time.monotonic() < give_up_at, "it never came"
        time.sleep(0.02)
    return seen


@contextmanager
def gateway_in(place: Path) -> Iterator[Gateway]:
    with provider() as upstream:
        made = Gateway(place, upstream)
        with made.running():
            yield made
