"""One port: the OpenAI data paths go to the gateway, everything else to Django."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "megadash.settings")

from django.conf import settings
from django.core.asgi import get_asgi_application

pages = get_asgi_application()

from accounts import secrets
from megadash import collector
from usage import headroom
from usage.proxy.app import Gateway
from usage.proxy.directory import Directory
from usage.proxy.exchange import Receive, Scope, Send
from usage.proxy.limits import Limiter
from usage.proxy.spool import Spool
from usage.proxy.upstream import Upstream

logger = logging.getLogger(__name__)

ORPHAN_LOOK_S = 0.25
# For what asks the database: an unknown key, the change feed.
ASIDE_THREADS = 2


class Application:
    def __init__(self) -> None:
        self._gateway: Gateway | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._gateway is not None and scope["type"] == "http" and self._gateway.serves(scope["path"]):
            await self._gateway(scope, receive, send)
        else:
            await pages(cast("dict[str, Any]", scope), receive, cast("Any", send))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(ASIDE_THREADS, thread_name_prefix="aside"))
        limiter = Limiter(time.monotonic_ns)
        directory = Directory(limiter, secrets.pepper_from(settings.SECRET_KEY))
        await asyncio.to_thread(directory.load)
        spool = Spool(settings.SPOOL_DIR, durability=settings.DURABILITY)
        upstream = Upstream()
        self._gateway = Gateway(directory, limiter, spool, upstream, settings.TRUSTED_PROXIES)
        headroom.register(limiter)
        loops = (directory.follow(), self._gateway.watchman.watch(), _die_with_parent(os.getppid()))
        beside = [asyncio.create_task(loop) for loop in loops]
        for task in beside:
            task.add_done_callback(_must_not_end)
        collector.keep_what_is_loaded()
        await send({"type": "lifespan.startup.complete"})
        warming = asyncio.create_task(self._gateway.warm_up())
        await receive()
        for task in (*beside, warming):
            task.cancel()
        await upstream.close()
        spool.close()
        await send({"type": "lifespan.shutdown.complete"})


async def _die_with_parent(parent: int) -> None:
    """A worker whose server was killed would hold the port and count limits beside its successor's."""
    while os.getppid() == parent:  # noqa: ASYNC110 - a parent cannot set an event when it is killed
        await asyncio.sleep(ORPHAN_LOOK_S)
    os.kill(os.getpid(), signal.SIGKILL)


def _must_not_end(task: asyncio.Task[None]) -> None:
    """A gateway that no longer follows the database would go on admitting revoked keys: better a fresh start."""
    if not task.cancelled():
        logger.critical("The gateway cannot go on and starts anew", exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGKILL)


application = Application()
