"""What is summed for each metric, and the number that the sums make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import add
from typing import Any

from django.db.models import Sum
from django.db.models.functions import Coalesce

from usage.models import FIRST_BIN, LAST_BIN
from usage.reports import measures
from usage.reports.explorer.question import PERCENTILES, Metric
from usage.reports.latency import percentile

Number = int | float


def _sum(column: str) -> Any:
    return Coalesce(Sum(column), 0)


# Refused calls were never sent on and cost nothing; of the rest, those whose cost is unknown are left out.
PRICED_CALLS = measures.CALLS - measures.REFUSED - measures.UNPRICED
# Numerator, and what it is a part of or spread over.
SUMS: Mapping[Metric, tuple[Any, Any]] = {
    Metric.COST: (measures.COST, measures.CALLS),
    Metric.TOKENS: (measures.TOKENS, measures.CALLS),
    **{metric: (_sum(f"{metric[7:]}_tokens"), measures.CALLS) for metric in Metric if metric.startswith("tokens_")},
    Metric.REQUESTS: (measures.CALLS, measures.CALLS),
    Metric.ERRORS: (measures.FAILED, measures.CALLS),
    Metric.REFUSED: (measures.REFUSED, measures.CALLS),
    Metric.ERROR_RATE: (measures.FAILED, measures.CALLS),
    Metric.CACHE_RATE: (_sum("cached_tokens"), measures.TOKENS_IN),
    Metric.COST_PER_REQUEST: (measures.COST, PRICED_CALLS),
    Metric.LATENCY_MEAN: (_sum("latency_us"), _sum("latency_calls")),
    Metric.TTFT_MEAN: (_sum("ttft_us"), _sum("ttft_calls")),
}
WHOLE_NUMBERS = frozenset({Metric.COST_PER_REQUEST, Metric.LATENCY_MEAN, Metric.TTFT_MEAN})


def sums_of(metric: Metric) -> dict[str, Any]:
    """The annotations of a query: part, whole and calls without a price, in this order; of cost also how much of it is
    an estimate: of tokens that we counted, or that broke off with the call."""
    if metric.is_percentile:
        calls = _sum(f"{PERCENTILES[metric][0]}_calls")
        return {"sum_part": calls, "sum_whole": calls, "sum_unpriced": measures.UNPRICED}
    part, whole = SUMS[metric]
    sums = {"sum_part": part, "sum_whole": whole, "sum_unpriced": measures.UNPRICED}
    return sums | ({"sum_estimated": measures.COUNTED + measures.PARTIAL} if metric is Metric.COST else {})


class Cell:
    """One bucket of one series: sums, or calls by bin for percentiles. There are thousands of them an answer."""

    __slots__ = ("bins", "estimated", "first_bin", "part", "unpriced", "whole")

    def __init__(self) -> None:
        self.part = self.whole = self.unpriced = self.estimated = 0
        # Calls by bin, from `first_bin` on; all cells of an answer have the same bins, or none.
        self.bins: list[int] = []
        self.first_bin = FIRST_BIN

    def add(self, part: int, whole: int, unpriced: int, estimated: int = 0) -> None:
        self.part += part
        self.whole += whole
        self.unpriced += unpriced
        self.estimated += estimated

    def add_bins(self, calls: Sequence[int], first_bin: int) -> None:
        self.bins = list(map(add, self.bins, calls)) if self.bins else list(calls)
        self.first_bin = first_bin
        self.whole += sum(calls)

    def merge(self, other: Cell) -> None:
        self.add(other.part, other.whole, other.unpriced, other.estimated)
        if other.bins:
            self.bins = list(map(add, self.bins, other.bins)) if self.bins else other.bins
            self.first_bin = other.first_bin

    def take(self, other: Cell) -> None:
        """Leave what is not in `other`, which is part of this. Of sums; nobody asks it of bins."""
        self.add(-other.part, -other.whole, -other.unpriced, -other.estimated)

    def value(self, metric: Metric) -> Number | None:
        """None when nothing is known: no calls of the kind, or none with a known cost."""
        if metric.is_percentile:
            return percentile(self.bins, PERCENTILES[metric][1], self.first_bin)
        if metric is Metric.COST:
            return None if self.unpriced and not self.part else self.part
        if metric.adds_up:
            return self.part
        if not self.whole:
            return None
        # Integers in, an integer out: half of the last one is far below anything shown.
        return (2 * self.part + self.whole) // (2 * self.whole) if metric in WHOLE_NUMBERS else self.part / self.whole


def merged(cells: Iterable[Cell]) -> Cell:
    whole = Cell()
    for cell in cells:
        whole.merge(cell)
    return whole


def cut_to_used(cells: Iterable[Cell]) -> tuple[int, int]:
    """The first and the last bin that holds any call; the cells keep what is between them. Half of the bins, mostly."""
    kept = list(cells)
    together = merged(kept)
    used = [number for number, calls in enumerate(together.bins, together.first_bin) if calls]
    if not used:
        return FIRST_BIN, LAST_BIN
    for cell in kept:
        cell.bins = cell.bins[used[0] - cell.first_bin : used[-1] - cell.first_bin + 1]
        cell.first_bin = used[0]
    return used[0], used[-1]
