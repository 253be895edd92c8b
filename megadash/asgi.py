"""One port: the OpenAI data paths go to the gateway, everything else to Django."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "megadash.settings")

from django.conf import settings
from django.core.asgi import get_asgi_application

pages = get_asgi_application()

from accounts import secrets
from usage import headroom
from usage.proxy import tokenizer
from usage.proxy.app import Gateway
from usage.proxy.directory import Directory
from usage.proxy.exchange import Receive, Scope, Send
from usage.proxy.limits import Limiter
from usage.proxy.spool import Spool
from usage.proxy.upstream import Upstream

ORPHAN_LOOK_S = 0.25


class Application:
    def __init__(self) -> None:
        self._gateway: Gateway | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._gateway is not None and scope["type"] == "http" and self._gateway.serves(scope["path"]):
            await self._gateway(scope, receive, send)
        else:
            await pages(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        limiter = Limiter(time.monotonic_ns)
        directory = Directory(limiter, secrets.pepper_from(settings.SECRET_KEY))
        await asyncio.to_thread(directory.start)
        await asyncio.to_thread(_warm_up)
        spool = Spool(settings.SPOOL_DIR, durability=settings.DURABILITY)
        upstream = Upstream()
        self._gateway = Gateway(directory, limiter, spool, upstream)
        headroom.register(limiter)
        watch = asyncio.create_task(_die_with_parent(os.getppid()))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        watch.cancel()
        await upstream.close()
        await asyncio.to_thread(directory.stop)
        spool.close()
        await send({"type": "lifespan.shutdown.complete"})


def _warm_up() -> None:
    """The tokenizer of all current models is unpacked now; that of the retired ones (50 MB more) when a call needs it."""
    tokenizer.count(["ready"], "o200k_base")
    # What the start made stays for good: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()


async def _die_with_parent(parent: int) -> None:
    """A worker whose server was killed would hold the port and count limits beside its successor's."""
    while os.getppid() == parent:
        await asyncio.sleep(ORPHAN_LOOK_S)
    os.kill(os.getpid(), signal.SIGKILL)


application = Application()
