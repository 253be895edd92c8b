"""What is summed for each metric, and the number that the sums make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Sum
from django.db.models.functions import Coalesce

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


# Bins are in tables of their own; how many calls are in them is known to all.
BIN_SUMS: Mapping[str, Any] = {"sum_calls": _sum("calls")}


def sums_of(metric: Metric) -> dict[str, Any]:
    """The annotations of a query: part, whole and calls without a price, in this order."""
    if metric.is_percentile:
        calls = _sum(f"{PERCENTILES[metric][0]}_calls")
        return {"sum_part": calls, "sum_whole": calls, "sum_unpriced": measures.UNPRICED}
    part, whole = SUMS[metric]
    return {"sum_part": part, "sum_whole": whole, "sum_unpriced": measures.UNPRICED}


class Cell:
    """One bucket of one series: sums, or calls by bin for percentiles. There are thousands of them an answer."""

    __slots__ = ("bins", "part", "unpriced", "whole")

    def __init__(self, part: int = 0, whole: int = 0, unpriced: int = 0) -> None:
        self.part, self.whole, self.unpriced = part, whole, unpriced
        self.bins: dict[int, int] = {}

    def add(self, part: int, whole: int, unpriced: int) -> None:
        self.part += part
        self.whole += whole
        self.unpriced += unpriced

    def add_bin(self, number: int, calls: int) -> None:
        self.bins[number] = self.bins.get(number, 0) + calls
        self.whole += calls

    def merge(self, other: Cell) -> None:
        self.part += other.part
        self.whole += other.whole
        self.unpriced += other.unpriced
        if other.bins:
            bins = self.bins
            for number, calls in other.bins.items():
                bins[number] = bins.get(number, 0) + calls

    def value(self, metric: Metric) -> Number | None:
        """None when nothing is known: no calls of the kind, or none with a known cost."""
        if metric.is_percentile:
            return percentile(self.bins, PERCENTILES[metric][1])
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
