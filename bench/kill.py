"""kill -9 of the gateway under load: is every finished answer in the ledger, and in it once?

`python -m bench.kill [--kills 50] [--clients 100] [--seed 7]`. See docs/benchmarks.md.
"""

import argparse
import contextlib
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil

from bench import callers, figures, records
from bench.product import ROOT, Product
from bench.rounds import started_upstream

BACK_WITHIN_S = 3.0


@dataclass
class Ordeal:
    """What was done, what the callers saw, and what the ledger says."""

    kills: Counter[str] = field(default_factory=Counter)
    seconds_away: list[float] = field(default_factory=list)
    seen: callers.Report = field(default_factory=callers.Report)
    outcomes: Counter[str] = field(default_factory=Counter)
    lost: set[str] = field(default_factory=set)
    exported_twice: int = 0
    added_twice: int = 0

    def figures(self) -> list[figures.Figure]:
        whole = len(self.seen.finished)
        return [
            *(figures.Figure(f"kill -9: {victim}", count) for victim, count in sorted(self.kills.items())),
            figures.Figure("away after a kill, median", statistics.median(self.seconds_away), "s"),
            figures.Figure("away after a kill, longest", max(self.seconds_away), "s", at_most=BACK_WITHIN_S),
            figures.Figure("finished answers", whole),
            figures.Figure("  of them streams", self.seen.finished_streams),
            figures.Figure("calls cut off by a kill", self.seen.broken),
            figures.Figure("answers other than 200, or ended with an error", sum(self.seen.failed.values())),
            *(figures.Figure(f"events recorded: {name}", count) for name, count in sorted(self.outcomes.items())),
            figures.Figure("finished answers without a record", len(self.lost), exactly=0),
            figures.Figure("exported twice", self.exported_twice, exactly=0),
            figures.Figure("added to the buckets twice, or not at all", self.added_twice, exactly=0),
        ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="megadash-kill-") as folder:
        found = undergo(Path(folder), arguments.kills, arguments.clients, arguments.seed).figures()
    figures.show(found)
    figures.keep(found, ROOT / "bench" / "results")
    return 0 if all(figure.is_met for figure in found) else 1


def undergo(folder: Path, kills: int, clients: int, seed: int) -> Ordeal:
    """Start the product, kill it `kills` times under load, and compare what callers saw with what is recorded."""
    ordeal, chance = Ordeal(), random.Random(seed)
    with ExitStack() as stack:
        product = stack.enter_context(Product(folder / "data", started_upstream(stack)))
        since = int(time.time()) - 1
        order = callers.Order(port=product.port, key=product.key, clients=clients, seed=seed)
        load = _started(order, stack)
        for number in range(kills):
            time.sleep(chance.uniform(0.1, 0.8))
            _kill(product, ordeal, chance, number)
        time.sleep(0.5)
        ordeal.seen = msgspec.json.decode(load.communicate(timeout=30)[0], type=callers.Report)
        _compare(ordeal, product, since)
    return ordeal


def _started(order: callers.Order, stack: ExitStack) -> "subprocess.Popen[bytes]":
    arguments = [sys.executable, "-m", "bench.callers", msgspec.json.encode(order).decode()]
    load = subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    stack.callback(load.kill)
    return load


def _kill(product: Product, ordeal: Ordeal, chance: random.Random, number: int) -> None:
    """Mostly the worker; sometimes its parent, or both at once; and every fifth time the shipper, too."""
    main, worker = product.gateway()
    victim = chance.choices(("worker", "parent", "both"), weights=(7, 2, 1))[0]
    ordeal.kills[f"gateway's {victim}" if victim != "both" else "gateway's worker and parent"] += 1
    if number % 5 == 4:
        ordeal.kills["shipper"] += 1
        _kill_now(product.shipper())
    for process in {"worker": [worker], "parent": [main], "both": [main, worker]}[victim]:
        _kill_now(process)
    killed_at = time.monotonic()
    _wait_for_successors(product, worker)
    product.wait_until_ready(patience_s=20)
    ordeal.seconds_away.append(time.monotonic() - killed_at)


def _kill_now(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()


def _wait_for_successors(product: Product, killed: psutil.Process, patience_s: float = 20) -> None:
    """A killed parent's worker answers a moment longer: only its successor counts as back."""
    give_up_at = time.monotonic() + patience_s
    while time.monotonic() < give_up_at:
        with contextlib.suppress(psutil.NoSuchProcess):
            gateway = product.gateway()
            if (
                len(gateway) == 2
                and gateway[1] != killed
                and not killed.is_running()
                and product.shipper().is_running()
            ):
                return
        time.sleep(0.05)
    raise RuntimeError(f"The gateway and its shipper did not come back. The log:\n{product.log()}")


def _compare(ordeal: Ordeal, product: Product, since: int) -> None:
    sums = records.settled(product, at_least=len(ordeal.seen.finished))
    rows = records.exported(product, since, int(time.time()) + 2)
    ids = [row["request_id"] for row in rows]
    ordeal.outcomes = Counter(row["outcome"] for row in rows)
    ordeal.lost = set(ordeal.seen.finished) - set(ids)
    ordeal.exported_twice = len(ids) - len(set(ids))
    ordeal.added_twice = abs(sums.bucket_calls - sums.events)


if __name__ == "__main__":
    sys.exit(main())
