"""The measuring itself: rounds in which nginx and the gateway take turns on one core."""

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import NamedTuple

import msgspec
import psutil

from bench import processes, records
from bench.figures import Figure, median_difference, median_ratio, percentile
from bench.load import Order, Report
from bench.nginx import Nginx
from bench.product import ROOT, Product

CLIENTS = 32
STREAMS = 50
INTERVAL_MS = 20
CALLS_A_SECOND = 200
OPEN_STREAMS = 1000


class Length(NamedTuple):
    rounds: int
    calls_s: float
    streams_s: float
    latency_s: float
    hold_s: float


FULL = Length(rounds=5, calls_s=4, streams_s=5, latency_s=5, hold_s=6)
QUICK = Length(rounds=3, calls_s=1, streams_s=2, latency_s=1.5, hold_s=3)


class Target(NamedTuple):
    """Something that answers calls, and the processes whose CPU it costs."""

    port: int
    measured: list[psutil.Process]


class Turn(NamedTuple):
    """One target's share of one round."""

    report: Report
    cpu_s: float

    @property
    def us_a_call(self) -> float:
        return self.cpu_s / self.report.calls * 1e6

    @property
    def us_a_chunk(self) -> float:
        return self.cpu_s / self.report.events * 1e6

    def added_ms(self, share: float) -> float:
        return percentile(self.report.latencies_ms, share)


class Rounds:
    def __init__(self, length: Length, product: Product, peer: Nginx, direct: Target) -> None:
        self.length = length
        self.product = product
        self.direct = direct
        self.plain, self.unbuffered = Target(peer.port, peer.measured()), Target(peer.stream_port, peer.measured())
        self.gateway = Target(product.port, product.gateway())
        self.answered = 0
        self._place()

    def measure(self) -> list[Figure]:
        for target in (self.plain, self.gateway):
            self._turn(target, Order(kind="closed", clients=CLIENTS, duration_s=0.5))
        return [*self._calls(), *self._chunks(), *self._latency(), *self._open_streams(), self._records()]

    def _place(self) -> None:
        """The gateway and nginx take turns on the last core; load, provider, shipper and the rest have the others."""
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cpus[:-1])
        for process in self.product.all_processes():
            processes.pin(process, cpus[:-1])
        for process in (*self.gateway.measured, *self.plain.measured):
            processes.pin(process, cpus[-1:])

    def _calls(self) -> list[Figure]:
        order = Order(kind="closed", clients=CLIENTS, duration_s=self.length.calls_s)
        shipper, before_s, before = self.product.shipper(), self._shipper_s(), self.answered
        turns = [(self._turn(self.plain, order), self._turn(self.gateway, order)) for _ in range(self.length.rounds)]
        records.settled(self.product, at_least=self.answered)
        shipper_us = (processes.cpu_s([shipper]) - before_s) / (self.answered - before) * 1e6
        pairs = [(peer.us_a_call, gateway.us_a_call) for peer, gateway in turns]
        return [
            Figure("CPU a small call, gateway / nginx", median_ratio(pairs), "x", at_most=10),
            *_both("  CPU a call", pairs, "us"),
            *_both(
                "  calls a second",
                [(a.report.calls / a.report.seconds, b.report.calls / b.report.seconds) for a, b in turns],
                "/s",
            ),
            Figure("  shipper, a process of its own, CPU a call", shipper_us, "us"),
        ]

    def _chunks(self) -> list[Figure]:
        chunks = int(self.length.streams_s * 1000 / INTERVAL_MS)
        order = Order(kind="closed", clients=STREAMS, duration_s=0, stream=True, chunks=chunks, interval_ms=INTERVAL_MS)
        turns = [
            (self._turn(self.unbuffered, order), self._turn(self.gateway, order)) for _ in range(self.length.rounds)
        ]
        pairs = [(peer.us_a_chunk, gateway.us_a_chunk) for peer, gateway in turns]
        rates = [(a.report.events / a.report.seconds, b.report.events / b.report.seconds) for a, b in turns]
        return [
            Figure("CPU a streamed chunk, gateway / nginx", median_ratio(pairs), "x", at_most=3),
            *_both("  CPU a chunk", pairs, "us"),
            *_both("  chunks a second", rates, "/s"),
            *_both(
                "  chunks a read",
                [(a.report.events / a.report.reads, b.report.events / b.report.reads) for a, b in turns],
                "",
            ),
        ]

    def _latency(self) -> list[Figure]:
        order = Order(kind="open", rate=CALLS_A_SECOND, clients=8, duration_s=self.length.latency_s)
        turns = [
            tuple(self._turn(target, order) for target in (self.direct, self.plain, self.gateway))
            for _ in range(self.length.rounds)
        ]
        found = []
        for name, share, at_most in (("p50", 0.5, 1.0), ("p99", 0.99, 5.0)):
            gateway = median_difference((direct.added_ms(share), ours.added_ms(share)) for direct, _, ours in turns)
            peer = median_difference((direct.added_ms(share), nginx.added_ms(share)) for direct, nginx, _ in turns)
            found += [
                Figure(f"added latency at {CALLS_A_SECOND} calls a second, {name}", gateway, "ms", at_most=at_most),
                Figure(f"  nginx's, {name}", peer, "ms"),
            ]
        return found

    def _open_streams(self) -> list[Figure]:
        worker = self.gateway.measured[-1]
        before = max(self._database_handles(worker) for _ in range(50))
        order = Order(
            kind="hold",
            port=self.gateway.port,
            key=self.product.key,
            clients=OPEN_STREAMS,
            stream=True,
            chunks=3600,
            interval_ms=1000,
        )
        load = _started_load(order)
        assert load.stdin is not None
        assert load.stdout is not None
        opened = int(load.stdout.readline())
        give_up_at = time.monotonic() + self.length.hold_s
        most_rss = most_threads = most_handles = 0
        while time.monotonic() < give_up_at:
            most_rss = max(most_rss, worker.memory_info().rss)
            most_threads = max(most_threads, worker.num_threads())
            most_handles = max(most_handles, self._database_handles(worker))
            time.sleep(0.02)
        report = msgspec.json.decode(load.communicate(timeout=30)[0], type=Report)
        self.answered += OPEN_STREAMS
        return [
            Figure("streams open at once", min(opened, report.calls), exactly=OPEN_STREAMS),
            Figure("  worker's memory meanwhile (RSS)", most_rss / 1e6, "MB", at_most=250),
            Figure("  worker's threads", most_threads, at_most=8),
            Figure("  database handles more than before", max(0, most_handles - before), exactly=0),
        ]

    def _records(self) -> Figure:
        found = records.settled(self.product, at_least=self.answered)
        return Figure("calls recorded, once each", min(found), exactly=self.answered)

    def _turn(self, target: Target, order: Order) -> Turn:
        order = msgspec.structs.replace(order, port=target.port, key=self.product.key)
        before_s = processes.cpu_s(target.measured)
        load = _started_load(order)
        said = load.communicate(timeout=60)[0]
        try:
            report = msgspec.json.decode(said, type=Report)
        except msgspec.DecodeError as error:
            # Seen in one of some fifty turns: a report that is cut off says nothing of the target. The calls it had
            # made are in the ledger, so the count at the end starts from there.
            ended = f"with {load.returncode} after {len(said)} bytes, {said[-60:]!r}"
            print(f"The load generator ended {ended} ({error}): this turn is done again.", file=sys.stderr)
            if target is self.gateway:
                self.answered = records.settled(self.product).events
            return self._turn(target, order)
        used_s = processes.cpu_s(target.measured) - before_s
        if report.bad:
            raise RuntimeError(f"{report.bad} of {report.calls} answers were not right. The first: {report.first_bad}")
        if target is self.gateway:
            self.answered += report.calls
        return Turn(report, used_s)

    def _shipper_s(self) -> float:
        return processes.cpu_s([self.product.shipper()])

    def _database_handles(self, worker: psutil.Process) -> int:
        return processes.open_files_under(worker, str(self.product.data_dir / "megadash.sqlite3"))


def started_upstream(stack: ExitStack) -> int:
    """The provider, ended with the stack; its port."""
    port = processes.free_port()
    upstream = subprocess.Popen([sys.executable, "-m", "bench.upstream", str(port)], cwd=ROOT)
    stack.callback(processes.end, upstream)
    processes.wait_for_port(port, upstream)
    processes.pin(psutil.Process(upstream.pid), sorted(os.sched_getaffinity(0))[:-1] or [0])
    return port


def _started_load(order: Order) -> "subprocess.Popen[bytes]":
    arguments = [sys.executable, "-m", "bench.load", msgspec.json.encode(order).decode()]
    return subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _both(name: str, pairs: list[tuple[float, float]], unit: str) -> list[Figure]:
    peers, ours = zip(*pairs, strict=True)
    return [
        Figure(f"{name}, gateway", sorted(ours)[len(ours) // 2], unit),
        Figure(f"{name}, nginx", sorted(peers)[len(peers) // 2], unit),
    ]
