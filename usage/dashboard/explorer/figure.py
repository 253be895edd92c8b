"""An answer -> Plotly figure. Colours are names of our palette; texts are the reader's own; buckets are numbered.

Numbered, because months and daylight saving would make a time axis uneven; `ticks` says what stands below it. Traces
are put down as plotly.js reads them: Plotly's Python classes look at each of thousands of points, for a tenth of the
page's time. The tests have them look.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext

from usage.dashboard.explorer import amounts, words
from usage.dashboard.explorer.address import Chart, View
from usage.reports.explorer.answer import Answer, Number, Series
from usage.reports.explorer.marks import Mark
from usage.reports.explorer.question import Grain, Metric

# More than this below the axis is no longer read.
MOST_TICKS = 14
LENGTHS = {Grain.HOUR: timedelta(hours=1), Grain.DAY: timedelta(days=1), Grain.WEEK: timedelta(weeks=1)}


def of_answer(
    answer: Answer,
    view: View,
    names: Sequence[str],
    colours: Sequence[tuple[str, int]],
    marks: Sequence[Mark],
    before_name: str,
    estimates: Sequence[int] = (),
) -> dict[str, Any]:
    """As JSON. `names` and `colours` stand beside `answer.series`, `estimates` beside `answer.values`."""
    metric = view.metric
    drawn = list(zip(answer.series, names, colours, strict=True))
    traces = [_trace(each, name, colour, view) for each, name, colour in _stacked(drawn, metric)]
    if any(estimates):
        traces.append(_estimated(answer, view, estimates))
    if has_values(answer.before_values):
        traces.append(_before(answer, view, before_name))
    return {"data": traces, "layout": _layout(answer, view, marks)}


def has_values(values: Sequence[Number | None]) -> bool:
    return any(value is not None for value in values)


def _stacked(drawn: Sequence[tuple[Series, str, Any]], metric: Metric) -> list[tuple[Series, str, Any]]:
    """Shades of one colour next to each other, the largest at the bottom; "other" on top of all."""
    if not metric.adds_up:
        return list(drawn)
    first: dict[str, int] = {}
    for place, (each, _name, _colour) in enumerate(drawn):
        first.setdefault(each.group.id if each.group else "", place)
    return sorted(drawn, key=lambda one: (one[0].is_other, first[one[0].group.id if one[0].group else ""]))


def _trace(series: Series, name: str, colour: tuple[str, int], view: View) -> dict[str, Any]:
    drawn = _points(view, series.values, name) | {"meta": {"colour": colour[0], "shade": colour[1]}}
    if not view.metric.adds_up:
        return drawn | {"type": "scatter", "mode": "lines+markers", "connectgaps": False}
    if view.chart is Chart.AREA:
        drawn["meta"]["area"] = True
        return drawn | {"type": "scatter", "mode": "lines", "stackgroup": "all"}
    return drawn | {"type": "bar"}


def _estimated(answer: Answer, view: View, estimates: Sequence[int]) -> dict[str, Any]:
    """Hatched over the top of each bar. A trace with a base of its own is laid over those that are stacked."""
    tops = zip(answer.values, estimates, strict=True)
    base = [amounts.drawn(view.metric, (value or 0) - part) for value, part in tops]
    drawn = _points(view, estimates, gettext("estimated"))
    return drawn | {"type": "bar", "base": base, "meta": {"estimated": True}}


def _before(answer: Answer, view: View, name: str) -> dict[str, Any]:
    """The whole of the time before, over everything that is drawn."""
    shape = "hvh" if view.metric.adds_up and view.chart is Chart.BARS else "linear"
    line = {"type": "scatter", "mode": "lines", "connectgaps": False, "line": {"shape": shape}}
    return _points(view, answer.before_values, name) | line | {"meta": {"before": True}}


def _points(view: View, values: Sequence[Number | None], name: str) -> dict[str, Any]:
    drawn = [amounts.drawn(view.metric, value) for value in values]
    return {"x": list(range(len(values))), "y": drawn, "name": name, "hoverinfo": "none"}


def _layout(answer: Answer, view: View, marks: Sequence[Mark]) -> dict[str, Any]:
    grain = view.grain
    return {
        "barmode": "stack",
        "bargap": 0.24,
        "showlegend": False,
        "hovermode": False,
        "meta": {
            "unit": amounts.unit_of(view.metric),
            "buckets": words.bucket_names(answer.starts, grain),
            "days": [_days(start, grain) for start in answer.starts],
            "ticks": _ticks(answer.starts, grain),
            "totals": [amounts.drawn(view.metric, value) for value in answer.values],
            "totalName": gettext("Total") if view.metric.adds_up else gettext("All together"),
            "running": answer.is_running,
            "soFar": gettext("so far") if answer.is_running else "",
            "marks": _placed(marks, answer.starts, grain),
        },
        "xaxis": {"type": "linear", "showgrid": False, "zeroline": False, "fixedrange": True},
        "yaxis": {"rangemode": "tozero", "zeroline": False, "fixedrange": True, "nticks": 5},
    }


def _days(start: datetime, grain: Grain) -> tuple[str, str]:
    """The first and the last day of a bucket: what a drag over the chart asks for."""
    first = start.date()
    last = end_of(start, grain).date() - timedelta(days=1) if grain is not Grain.HOUR else first
    return first.isoformat(), last.isoformat()


def end_of(start: datetime, grain: Grain) -> datetime:
    if grain is Grain.MONTH:
        return (start + timedelta(days=32)).replace(day=1)
    return start + LENGTHS[grain]


def _ticks(starts: Sequence[datetime], grain: Grain) -> list[tuple[int, str]]:
    """Where the calendar has its own marks: midnights, Mondays, firsts of the month, Januaries."""
    levels: tuple[Callable[[datetime], bool], ...] = {
        Grain.HOUR: (lambda at: at.hour % 6 == 0, _is_midnight, lambda at: _is_midnight(at) and at.weekday() == 0),
        Grain.DAY: (lambda at: at.weekday() == 0, lambda at: at.day == 1, lambda at: at.day == 1 and at.month % 3 == 1),
        Grain.WEEK: (lambda at: at.day <= 7, lambda at: at.day <= 7 and at.month % 3 == 1),
        Grain.MONTH: (lambda at: at.month % 3 == 1, lambda at: at.month == 1),
    }[grain]
    places = list(range(len(starts)))
    for wanted in levels:
        if len(places) <= MOST_TICKS:
            break
        places = [place for place, start in enumerate(starts) if wanted(start)]
    return [(place, words.bucket_short(starts[place], grain, _is_midnight(starts[place]))) for place in places]


def _is_midnight(at: datetime) -> bool:
    return at.hour == 0


def _placed(marks: Sequence[Mark], starts: Sequence[datetime], grain: Grain) -> list[dict[str, Any]]:
    """One for each bucket that has any; bucket 3 reaches from 2.5 to 3.5."""
    found: dict[int, list[str]] = {}
    for mark in marks:
        place = bisect_right(starts, mark.at) - 1
        if place >= 0 and mark.at < end_of(starts[place], grain):
            found.setdefault(place, []).append(mark.text)
    return [{"at": place, "texts": texts} for place, texts in sorted(found.items())]
