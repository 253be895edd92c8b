"""Report rows -> Plotly figure. Colours are names of our palette; the page puts in those of its theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plotly import graph_objects  # type: ignore[import-untyped]

from usage.reports.span import Span
from usage.reports.spend import Breakdown, Series

MOST_SERIES = 9
OTHER_COLOUR = "mo"
NANO_A_USD = 1_000_000_000


def stacked_bars(
    breakdown: Breakdown, metric: str, colours: Mapping[str, str], other: str, so_far: str
) -> dict[str, Any]:
    """Cost or tokens by model over time, as JSON. `other` and `so_far` are words in the reader's language."""
    x = _instants(breakdown.span)
    bars = [
        graph_objects.Bar(
            x=x,
            y=_values(series, metric),
            name=series.name,
            meta={"colour": colours.get(series.name, OTHER_COLOUR)},
            hoverinfo="none",
        )
        for series in reversed(_top(_ranked(breakdown, metric), other))
    ]
    layout = graph_objects.Layout(_layout(breakdown.span, metric, so_far))
    # Not a Figure: it would add a template of 7 KB to every answer, and its module 4 MB to the gateway's process.
    return {"data": [bar.to_plotly_json() for bar in bars], "layout": layout.to_plotly_json()}


def _ranked(breakdown: Breakdown, metric: str) -> list[Series]:
    if metric == "tokens":
        return sorted(breakdown.series, key=lambda series: -series.token_sum)
    return breakdown.series


def _top(ranked: Sequence[Series], other: str) -> list[Series]:
    """The first nine that have anything to draw, the rest as one."""
    drawn = [series for series in ranked if series.cost or series.token_sum]
    top, rest = drawn[:MOST_SERIES], drawn[MOST_SERIES:]
    if not rest:
        return top
    costs = [sum(column) for column in zip(*(series.cost_nano_usd for series in rest), strict=True)]
    tokens = [sum(column) for column in zip(*(series.tokens for series in rest), strict=True)]
    return [*top, Series(other, costs, tokens)]


def _values(series: Series, metric: str) -> list[float | int]:
    if metric == "tokens":
        return list(series.tokens)
    return [cost / NANO_A_USD for cost in series.cost_nano_usd]


def _instants(span: Span) -> list[str]:
    """The zone's wall clock, which Plotly draws as it is given: no browser's own zone gets in."""
    return [start.strftime("%Y-%m-%dT%H:%M:%S" if span.by_hour else "%Y-%m-%d") for start in span.starts()]


def _layout(span: Span, metric: str, so_far: str) -> dict[str, Any]:
    half = 1_800_000 if span.by_hour else 43_200_000
    return {
        "barmode": "stack",
        "bargap": 0.24,
        "showlegend": False,
        "hovermode": "x",
        "meta": {"money": metric == "cost", "byHour": span.by_hour, "soFar": so_far, "halfBar": half},
        "xaxis": {"type": "date", "showgrid": False, "zeroline": False, "fixedrange": True},
        "yaxis": {
            "rangemode": "tozero",
            "zeroline": False,
            "fixedrange": True,
            "tickprefix": "$" if metric == "cost" else "",
            "nticks": 5,
        },
    }
