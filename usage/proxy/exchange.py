"""One HTTP request and its answer, over ASGI: what came, what goes back, and whether the caller is still there."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, MutableMapping
from itertools import takewhile
from typing import Any

import uuid_utils

from usage.proxy.directory import Caller

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

MOST_BODY_BYTES = 10 << 20
MOST_HEADER_TEXT = 200
BODY_TIMEOUT_S = 30
# Most calls answer before this: watching the caller costs a task, so it begins only then.
WATCH_AFTER_S = 0.05
# What is read and thrown away of a body that was refused, so that its sender gets to read the refusal.
LINGER_BYTES = 32 << 20
LINGER_S = 2


class BodyTooLarge(Exception):
    """413, said while the body is still coming."""


class UnsupportedMedia(Exception):
    """415: not JSON, or compressed."""


class BodyTooSlow(Exception):
    """408: the body did not come in time."""


class CallerGone(Exception):
    """The caller hung up before its request was whole: nobody is left to answer."""


class BadCredentials(Exception):
    """No bearer key, or something that is none."""

    def __init__(self, given: str) -> None:
        super().__init__("bad credentials")
        self.given = given


class Watchman:
    """One timer for all exchanges: slow bodies, and callers who may have gone. Two timers a call would cost more than
    reading its body."""

    def __init__(self) -> None:
        # Each with the time since when, in the order of their coming.
        self.reading: dict[Exchange, int] = {}
        self.calling: dict[Exchange, int] = {}

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(WATCH_AFTER_S)
            self.look(time.monotonic_ns())

    def look(self, now_ns: int) -> None:
        for exchange in _older_than(self.reading, now_ns - BODY_TIMEOUT_S * 1_000_000_000):
            exchange.body_is_too_slow()
        for exchange in _older_than(self.calling, now_ns - int(WATCH_AFTER_S * 1_000_000_000)):
            del self.calling[exchange]
            exchange.begin_watch()


def _older_than(waiting: dict[Exchange, int], since_ns: int) -> list[Exchange]:
    return [exchange for exchange, _ in takewhile(lambda item: item[1] < since_ns, waiting.items())]


class Exchange:
    """Made for each request; not thread-safe."""

    __slots__ = (
        "_gone",
        "_headers",
        "_is_too_slow",
        "_receive",
        "_send",
        "_task",
        "_watch",
        "_watchman",
        "authorizations",
        "body_bytes",
        "caller",
        "client_request_id",
        "connected_from",
        "content_encoding",
        "content_type",
        "debug",
        "head_sent",
        "id",
        "method",
        "path",
        "request_id",
        "sdk_retry_count",
        "started_ns",
        "started_us",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, watchman: Watchman) -> None:
        self._receive, self._send, self._watchman = receive, send, watchman
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        # The other end of the connection; empty on a Unix socket.
        client = scope.get("client")
        self.connected_from: str = client[0] if client else ""
        self.started_ns = time.monotonic_ns()
        self.started_us = time.time_ns() // 1_000
        made = uuid_utils.uuid7()
        self.id: bytes = made.bytes
        self.request_id = "req_" + made.hex
        self.head_sent = False
        # Once the key is known: every answer from then on says how much of its limits is left.
        self.caller: Caller | None = None
        self._gone = False
        self._watch: asyncio.Future[None] | None = None
        self._is_too_slow = False
        self._task: asyncio.Task[Any] | None = None
        self._headers = scope["headers"]
        self._read_headers(self._headers)

    def _read_headers(self, headers: Any) -> None:
        self.authorizations: list[bytes] = []
        self.content_type = self.content_encoding = b""
        self.client_request_id = ""
        self.sdk_retry_count = self.body_bytes = 0
        self.debug = False
        for name, value in headers:
            if name == b"authorization":
                self.authorizations.append(value)
            elif name == b"content-type":
                self.content_type = value
            elif name == b"content-length":
                self.body_bytes = _count(value)
            elif name == b"content-encoding":
                self.content_encoding = value
            elif name == b"x-stainless-retry-count":
                self.sdk_retry_count = min(_count(value), 1_000)
            elif name == b"x-client-request-id":
                self.client_request_id = value.decode("ascii", "replace")[:MOST_HEADER_TEXT].replace("\0", "")
            elif name == b"x-debug":
                self.debug = value.lower() in (b"true", b"1")

    def forwarded_for(self) -> str:
        """Asked by few calls, so not among the headers that are read for all."""
        told = [value.decode("latin-1") for name, value in self._headers if name == b"x-forwarded-for"]
        return ",".join(told)

    def bearer(self) -> str:
        """The one bearer key. Raises BadCredentials."""
        if len(self.authorizations) != 1:
            raise BadCredentials("" if not self.authorizations else "several keys at once")
        value = self.authorizations[0]
        if value[:7].lower() != b"bearer ":
            raise BadCredentials("" if not value.strip() else value[:200].decode("ascii", "replace"))
        try:
            secret = value[7:].strip().decode("ascii")
        except UnicodeDecodeError:
            raise BadCredentials(value[7:207].decode("ascii", "replace")) from None
        if not secret:
            raise BadCredentials("")
        if len(secret) > 512 or not secret.isprintable() or " " in secret:
            raise BadCredentials(secret[:200])
        return secret

    async def body(self) -> bytes:
        """The whole body. Raises BodyTooLarge, BodyTooSlow, UnsupportedMedia, CallerGone."""
        if self.content_encoding not in (b"", b"identity"):
            raise UnsupportedMedia(
                f"Content-Encoding {self.content_encoding.decode('latin-1')[:50]!r} is not supported"
            )
        if self.content_type and b"json" not in self.content_type.lower():
            raise UnsupportedMedia("Content-Type must be application/json")
        if self.body_bytes > MOST_BODY_BYTES:
            raise BodyTooLarge
        # Around the first piece too: a caller may send a head and then nothing.
        self._task = asyncio.current_task()
        self._watchman.reading[self] = self.started_ns
        try:
            return await self._pieces_of_body()
        except asyncio.CancelledError:
            if not self._is_too_slow:
                raise
            if self._task is not None:
                self._task.uncancel()
            raise BodyTooSlow from None
        finally:
            del self._watchman.reading[self]

    def body_is_too_slow(self) -> None:
        self._is_too_slow = True
        if self._task is not None:
            self._task.cancel()

    async def _pieces_of_body(self) -> bytes:
        pieces: list[bytes] = []
        length, more = 0, True
        # granian always says that more may come; the declared length knows better, and saves a turn of the loop.
        while more and not length == self.body_bytes > 0:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise CallerGone
            pieces.append(message.get("body", b""))
            length += len(pieces[-1])
            more = message.get("more_body", False)
            if length > MOST_BODY_BYTES:
                raise BodyTooLarge
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    # The answer -------------------------------------------------------------------------------------------------

    def base_headers(self) -> Headers:
        return [
            (b"x-request-id", self.request_id.encode()),
            (b"openai-processing-ms", b"%d" % (self.elapsed_us() // 1_000)),
        ]

    def elapsed_us(self) -> int:
        return (time.monotonic_ns() - self.started_ns) // 1_000

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """The whole answer at once."""
        self.head_sent = True
        headers.append((b"content-length", b"%d" % len(body)))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send(
            {"type": "http.response.body", "body": b"" if self.method == "HEAD" else body, "more_body": False}
        )

    async def answer_and_linger(self, status: int, headers: Headers, body: bytes) -> None:
        """The answer at once, its end a little later: a caller in the middle of sending would otherwise see its
        connection reset and never read what is wrong. Chunked: a declared length would let the server close early."""
        self.head_sent = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        left = LINGER_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while left > 0 and (message := await self._receive())["type"] == "http.request":
                    left -= len(message.get("body", b""))
                    if not message.get("more_body"):
                        break
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def begin_stream(self, headers: Headers) -> None:
        self.head_sent = True
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    def stream(self, data: bytes) -> Awaitable[None]:
        # Not a coroutine of its own: that would cost a frame a chunk.
        return self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end_stream(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    # Is the caller still there? ------------------------------------------------------------------------------------

    @property
    def is_gone(self) -> bool:
        return self._gone

    def watch_caller(self, *, cancel: bool) -> None:
        """From now on a hang-up sets `is_gone`, and with `cancel` also cancels this task."""
        self._task = asyncio.current_task() if cancel else None
        self._watchman.calling[self] = time.monotonic_ns()

    def stop_watching(self) -> None:
        self._watchman.calling.pop(self, None)
        self._task = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def begin_watch(self) -> None:
        self._watch = asyncio.ensure_future(self._wait_for_hang_up())
        self._watch.add_done_callback(self._hung_up)

    async def _wait_for_hang_up(self) -> None:
        # The end of the body may still be there to be received before the end of the connection.
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _hung_up(self, watch: asyncio.Future[None]) -> None:
        if watch.cancelled() or watch.exception() is not None:
            return
        self._gone = True
        if self._task is not None:
            self._task.cancel()


def _count(value: bytes) -> int:
    """Digits, and not so many that Python refuses to read them; anything else counts as none."""
    return int(value) if len(value) <= 18 and value.isdigit() else 0
