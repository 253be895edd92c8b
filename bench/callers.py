"""Callers who never give up, and remember the `x-request-id` of every answer whose last byte they received.

A process of its own: reads one JSON order, calls until its standard input ends, prints one JSON report.
"""

import asyncio
import contextlib
import random
import sys
from typing import cast

import msgspec
import uvloop

from bench import wire
from bench.upstream import raise_open_files


class Order(msgspec.Struct):
    port: int
    key: str
    clients: int
    seed: int = 0


class Report(msgspec.Struct):
    """`broken` calls ended without a last byte; `failed` ones are whole answers other than 200."""

    finished: list[str] = []
    finished_streams: int = 0
    failed: dict[str, int] = {}
    broken: int = 0
    unreachable: int = 0


class Call(asyncio.Protocol):
    """One connection with one call at a time; `ended` is the whole reply, or None when the connection broke."""

    def __init__(self) -> None:
        self.reply = wire.Reply()
        self.ended: asyncio.Future[wire.Reply | None] | None = None
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    async def make(self, request: bytes) -> wire.Reply | None:
        self.reply = wire.Reply()
        self.ended = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.ended

    def data_received(self, data: bytes) -> None:
        self.reply.feed(data)
        if self.reply.whole and self.ended and not self.ended.done():
            self.ended.set_result(self.reply)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        if self.ended and not self.ended.done():
            self.ended.set_result(None)


class Callers:
    def __init__(self, order: Order) -> None:
        self.order = order
        self.chance = random.Random(order.seed)
        self.report = Report()
        self.is_over = False

    async def run(self) -> Report:
        tasks = [asyncio.create_task(self._caller()) for _ in range(self.order.clients)]
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        self.is_over = True
        await asyncio.wait(tasks, timeout=10)
        return self.report

    async def _caller(self) -> None:
        call: Call | None = None
        while not self.is_over:
            if call is None or call.is_lost:
                call = await self._connected()
            else:
                self._note(await call.make(self._request()))
                await asyncio.sleep(self.chance.uniform(0, 0.05))

    async def _connected(self) -> Call | None:
        with contextlib.suppress(OSError):
            _, call = await asyncio.get_running_loop().create_connection(Call, "127.0.0.1", self.order.port)
            return call
        self.report.unreachable += 1
        await asyncio.sleep(0.05)
        return None

    def _request(self) -> bytes:
        """Half streams of up to 150 ms, half small calls."""
        stream = self.chance.random() < 0.5
        chunks = self.chance.randint(1, 30)
        return wire.call(key=self.order.key, port=self.order.port, stream=stream, chunks=chunks, interval_ms=5)

    def _note(self, reply: wire.Reply | None) -> None:
        if reply is None:
            self.report.broken += 1
        elif reply.status != 200 or (reply.is_stream and not reply.is_done):
            # A stream the gateway itself ended with an error event is a whole answer, but not a finished one.
            reason = f"{reply.status}"
            self.report.failed[reason] = self.report.failed.get(reason, 0) + 1
        else:
            self.report.finished.append(wire.header(reply.head, b"x-request-id").decode())
            self.report.finished_streams += reply.is_stream


if __name__ == "__main__":
    raise_open_files()
    report = uvloop.run(Callers(msgspec.json.decode(sys.argv[1], type=Order)).run())
    print(msgspec.json.encode(report).decode(), flush=True)
