"""The load generator: a process of its own that reads one JSON order from its arguments and prints one JSON report.

Orders (`Order`): `closed` keeps `clients` calls going, `open` starts `rate` calls a second whatever the answers do,
`hold` opens `clients` streams, says so, and keeps them until its standard input ends.
"""

import asyncio
import gc
import os
import sys
from collections import deque
from time import perf_counter
from typing import cast

import msgspec
import uvloop

from bench import wire
from bench.upstream import raise_open_files


class Order(msgspec.Struct):
    kind: str
    port: int = 0
    key: str = ""
    duration_s: float = 5.0
    clients: int = 1
    rate: int = 0
    stream: bool = False
    chunks: int = 0
    interval_ms: int = 0


class Report(msgspec.Struct):
    """What was seen between the end of the warm-up and the last answer."""

    calls: int = 0
    events: int = 0
    # Reads that brought events: as many as there are events when none was held back to go with the next.
    reads: int = 0
    bad: int = 0
    seconds: float = 0.0
    latencies_ms: list[float] = []
    first_bad: str = ""


class Client(asyncio.Protocol):
    """One keep-alive connection, one call at a time."""

    transport: asyncio.Transport

    def __init__(self, load: "Load") -> None:
        self.load = load
        self.reply: wire.Reply | None = None
        self.sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self) -> None:
        self.reply = wire.Reply()
        self.sent_at = perf_counter()
        self.transport.write(self.load.request)

    def data_received(self, data: bytes) -> None:
        reply = self.reply
        if reply is None:
            return
        before = reply.events
        reply.feed(data)
        if reply.events > before:
            self.load.report.events += reply.events - before
            self.load.report.reads += 1
        if reply.whole:
            self.reply = None
            self.load.answered(self, reply, perf_counter() - self.sent_at)

    def connection_lost(self, error: Exception | None) -> None:
        if self.reply is not None:
            self.load.broke(self, f"connection lost: {error}")


class Load:
    def __init__(self, order: Order) -> None:
        self.order = order
        self.request = wire.call(
            key=order.key, port=order.port, stream=order.stream, chunks=order.chunks, interval_ms=order.interval_ms
        )
        self.report = Report()
        self.idle: deque[Client] = deque()
        self.busy = 0
        self.is_over = False

    async def run(self) -> Report:
        for _ in range(self.order.clients):
            self.idle.append(await self.connect())
        started_at = perf_counter()
        await {"closed": self.closed, "open": self.open, "hold": self.hold}[self.order.kind]()
        self.report.seconds = perf_counter() - started_at
        return self.report

    async def connect(self) -> Client:
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: Client(self), "127.0.0.1", self.order.port)
        return client

    async def closed(self) -> None:
        """Streams start spread over one interval, so that chunks come one by one and not in volleys."""
        gap_s = self.order.interval_ms / 1000 / self.order.clients
        deadline = perf_counter() + self.order.duration_s
        while self.idle:
            self.start(self.idle.popleft())
            await asyncio.sleep(gap_s)
        await asyncio.sleep(max(0.0, deadline - perf_counter()))
        await self.finish()

    async def open(self) -> None:
        """Call n starts at n / rate, late answers or not: a slow gateway cannot slow the load down."""
        started_at = perf_counter()
        for number in range(int(self.order.rate * self.order.duration_s)):
            await asyncio.sleep(max(0.0, started_at + number / self.order.rate - perf_counter()))
            self.start(self.idle.popleft() if self.idle else await self.connect())
        await self.finish()

    async def hold(self) -> None:
        """Open every stream, wait for the first event of each, then tell and wait to be told."""
        clients = list(self.idle)
        for client in clients:
            self.start(client)
            await asyncio.sleep(0.001)
        give_up_at = perf_counter() + 30
        while self._streaming(clients) < len(clients) and perf_counter() < give_up_at:  # noqa: ASYNC110 - counts what arrived
            await asyncio.sleep(0.05)
        print(self._streaming(clients), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        self.report.calls = self._streaming(clients)
        for client in clients:
            client.reply = None
            client.transport.abort()

    def start(self, client: Client) -> None:
        self.busy += 1
        client.send()

    def answered(self, client: Client, reply: wire.Reply, took_s: float) -> None:
        self.busy -= 1
        self.report.calls += 1
        self.report.latencies_ms.append(took_s * 1000)
        if reply.status != 200:
            self.report.bad += 1
            self.report.first_bad = self.report.first_bad or reply.head.decode("latin-1")
        if self.order.kind == "closed" and not self.is_over:
            self.start(client)
        else:
            self.idle.append(client)

    def broke(self, client: Client, why: str) -> None:
        self.busy -= 1
        self.report.bad += 1
        self.report.first_bad = self.report.first_bad or why

    async def finish(self) -> None:
        self.is_over = True
        give_up_at = perf_counter() + 10 + self.order.chunks * self.order.interval_ms / 1000
        while self.busy and perf_counter() < give_up_at:  # noqa: ASYNC110 - an event would cost each call
            await asyncio.sleep(0.005)

    @staticmethod
    def _streaming(clients: list[Client]) -> int:
        return sum(client.reply is not None and client.reply.events > 0 for client in clients)


if __name__ == "__main__":
    raise_open_files()
    gc.disable()
    report = uvloop.run(Load(msgspec.json.decode(sys.argv[1], type=Order)).run())
    # A pipe that was left non-blocking takes 128 KiB and drops the rest without a word.
    os.set_blocking(sys.stdout.fileno(), True)
    print(msgspec.json.encode(report).decode(), flush=True)
