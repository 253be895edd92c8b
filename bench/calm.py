"""Which measurements were taken while the machine was itself: its neighbours slow it down by half for minutes."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

FIRST_LOOK_S = 2
# Beside the quickest look so far; of 336 requests, the 152 within it had a p95 of 101 ms, all of 135.
CALM = 1.3
# Requests for each that is wanted, before those that were disturbed count as well.
MOST_TRIES = 2
FIXED_WORK = {f"row {row}": [{"n": n, "text": "x" * 20, "product": row * n} for n in range(12)] for row in range(260)}


@dataclass
class Taken:
    """`calm_ms` are those that count; all are in `all_ms`."""

    calm_ms: list[float]
    all_ms: list[float]


class Machine:
    """Takes the same work as its own peer: a few milliseconds of what pages are made of, before and after."""

    def __init__(self) -> None:
        began = time.perf_counter()
        self.best_ms = _look_ms()
        while time.perf_counter() - began < FIRST_LOOK_S:
            self.best_ms = min(self.best_ms, _look_ms())

    def take(self, work: Callable[[], object], count: int) -> Taken:
        """Until `count` were calm. When too few of them were, those count that were disturbed least."""
        taken: list[tuple[float, float]] = []
        before_ms = _look_ms()
        while len(taken) < count * MOST_TRIES and sum(look_ms <= self.best_ms * CALM for look_ms, _ in taken) < count:
            began = time.perf_counter()
            work()
            took_ms = (time.perf_counter() - began) * 1000
            after_ms = _look_ms()
            self.best_ms = min(self.best_ms, after_ms)
            taken.append((max(before_ms, after_ms), took_ms))
            before_ms = after_ms
        return Taken([took_ms for _, took_ms in sorted(taken)[:count]], [took_ms for _, took_ms in taken])


def _look_ms() -> float:
    began = time.perf_counter()
    rows = sorted((row["text"], row["product"], name) for name, some in _again().items() for row in some)
    " ".join(f"{text}:{product}" for text, product, _ in rows)
    return (time.perf_counter() - began) * 1000


def _again() -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads(json.dumps(FIXED_WORK))
    return found
