import os
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.urls import get_resolver
from django.utils.module_loading import import_string
from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import MPServer

from usage.supervision import DRAIN_S

# A head that comes slower than this is cut off.
HEAD_TIMEOUT_MS = 8_000
# Between the death of a worker and the next: one that cannot start must not keep a core busy.
RESPAWN_S = 0.1
MOST_CALLS_AT_ONCE = 2_000


class Server(MPServer):
    """granian gives up on a worker that dies twice in 5.5 seconds; this one brings it back as often as it is killed."""

    def _respawn_workers(self, *args: Any, **kwargs: Any) -> None:
        time.sleep(RESPAWN_S)
        super()._respawn_workers(*args, **kwargs)
        self.respawned_wrks.clear()


class Command(BaseCommand):
    help = "Serve the gateway, the dashboard and REST on one port. `manage.py run` starts this among the others."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.HOST)
        parser.add_argument("--port", type=int, default=settings.PORT)

    def handle(self, *args: Any, **options: Any) -> None:
        _let_threads_finish()
        # Loaded before the worker is forked: one that is killed is back as soon as it is forked again, without a
        # second of imports.
        import_string(settings.ASGI_APPLICATION)
        _ = get_resolver().url_patterns
        Server(
            settings.ASGI_APPLICATION.replace(".application", ":application"),
            address=options["host"],
            port=options["port"],
            interface=Interfaces.ASGI,
            workers=settings.GATEWAY_WORKERS,
            http=HTTPModes.http1,
            websockets=False,
            runtime_mode=RuntimeModes.st,
            loop=Loops.uvloop,
            backlog=2_048,
            backpressure=MOST_CALLS_AT_ONCE,
            http1_settings=HTTP1Settings(header_read_timeout=HEAD_TIMEOUT_MS),
            log_level=LogLevels.warning,
            respawn_failed_workers=True,
            workers_kill_timeout=DRAIN_S,
        ).serve()


def _let_threads_finish() -> None:
    """A chunk goes from thread to thread. A thread that is woken must not push aside the one that woke it and still
    holds the interpreter lock: each such exchange costs two switches for nothing. SCHED_BATCH says so to Linux; it is
    inherited by every thread and worker."""
    if hasattr(os, "SCHED_BATCH"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
