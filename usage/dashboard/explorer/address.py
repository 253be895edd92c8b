"""What the explorer's address says, and the address that says it. Pure: no rows, no clock, no request.

Every choice is in the query string. `parse` takes any text and never raises: what it cannot mean falls back to the
default and is named in `ignored`. `build` is its inverse and leaves defaults out, so that one view has one address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode

from usage.reports.explorer.question import (
    MOST_DAYS,
    MOST_SERIES,
    USUAL_SERIES,
    Compare,
    Dimension,
    Grain,
    Metric,
    Question,
)
from usage.reports.span import first_of_month, month_number

MOST_TEXT = 8_000
MOST_VALUES = 60
MOST_VALUE_LENGTH = 200
MOST_IGNORED = 5
# A year in days is still a picture; beyond it bars are thinner than a pixel.
MOST_DAY_DAYS = 400
HOURS_UP_TO_DAYS, DAYS_UP_TO_DAYS, WEEKS_UP_TO_DAYS = 2, 100, 200
OLDEST, NEWEST = date(2015, 1, 1), date(2100, 12, 31)
NOTHING = "none"
# Before the name of a dimension: what is left out of it.
NOT = "not-"
ON, OFF = "1", "0"
# Ids of rows; the others are names, and anything can be a name.
NUMBERED = frozenset({Dimension.KEY, Dimension.MEMBER, Dimension.TEAM})

E = TypeVar("E", bound=StrEnum)


class Preset(StrEnum):
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"
    QUARTER = "90d"
    YEAR = "12m"
    THIS_MONTH = "this-month"
    LAST_MONTH = "last-month"
    THIS_YEAR = "this-year"


@dataclass(frozen=True)
class Days:
    """Both counted in, on the team's calendar."""

    first: date
    last: date


Span = Preset | Days
_DAYS = {Preset.DAY: 2, Preset.WEEK: 7, Preset.MONTH: 30, Preset.QUARTER: 90}
_GRAINS = {
    Preset.DAY: Grain.HOUR,
    Preset.YEAR: Grain.MONTH,
    Preset.THIS_YEAR: Grain.MONTH,
}


class Chart(StrEnum):
    BARS = "bars"
    AREA = "area"


class Sort(StrEnum):
    """Of the table's rows; a minus is largest first."""

    TOTAL_DOWN = "-total"
    TOTAL_UP = "total"
    NAME_UP = "name"
    NAME_DOWN = "-name"
    BEFORE_DOWN = "-before"
    BEFORE_UP = "before"
    CHANGE_DOWN = "-change"
    CHANGE_UP = "change"


Filters = tuple[tuple[Dimension, tuple[str, ...]], ...]


@dataclass(frozen=True)
class View:
    """Everything that can be chosen on the page."""

    metric: Metric = Metric.COST
    group: Dimension | None = Dimension.MODEL
    subgroup: Dimension | None = None
    span: Span = Preset.MONTH
    grain: Grain = Grain.DAY
    filters: Filters = ()
    # What is left out.
    without: Filters = ()
    top: int = USUAL_SERIES
    cumulative: bool = False
    compare: Compare = Compare.BEFORE
    chart: Chart = Chart.BARS
    why: bool = True
    sort: Sort = Sort.TOTAL_DOWN

    def of(self, dimension: Dimension) -> tuple[str, ...]:
        return dict(self.filters).get(dimension, ())

    def filtered(self, dimension: Dimension, values: Iterable[str]) -> View:
        """With these values of one dimension and no others of it."""
        kept = {**dict(self.filters), dimension: tuple(values)}
        return replace(self, filters=_in_order(kept))

    def leaving_out(self, dimension: Dimension, value: str) -> View:
        """Without one value: no longer chosen where it was one of several, else left out."""
        chosen = [each for each in self.of(dimension) if each != value]
        if chosen:
            return self.filtered(dimension, chosen)
        gone = dict(self.without)
        return replace(self, without=_in_order({**gone, dimension: (*gone.get(dimension, ()), value)}))

    def taking_back(self, dimension: Dimension, value: str) -> View:
        """With a value that was left out."""
        gone = dict(self.without)
        kept = [each for each in gone.get(dimension, ()) if each != value]
        return replace(self, without=_in_order({**gone, dimension: kept}))

    def over(self, span: Span) -> View:
        """Over another time. A grain that was never chosen is the new span's own."""
        was_usual = self.grain is usual_grain(self.span, self.metric)
        grain = usual_grain(span, self.metric) if was_usual else fitting_grain(self.grain, span, self.metric)
        return replace(self, span=span, grain=grain)

    def measuring(self, metric: Metric) -> View:
        """The same view of another metric."""
        return parse(build(replace(self, metric=metric))).view


@dataclass(frozen=True)
class Asked:
    view: View
    # As they stood in the address: "metric=lines".
    ignored: tuple[str, ...] = ()


# From the address -----------------------------------------------------------------------------------------------------


def parse(text: str, offered: frozenset[Dimension] = frozenset(Dimension)) -> Asked:
    """`offered` are the dimensions this reader may group and filter by."""
    return _Reading(text, offered).asked()


class _Reading:
    """One address being read: its parameters, and what of them could not be meant."""

    def __init__(self, text: str, offered: frozenset[Dimension]) -> None:
        self._offered = offered
        self._given: dict[str, list[str]] = {}
        self._ignored: list[str] = []
        for name, value in parse_qsl(text[:MOST_TEXT], keep_blank_values=True, errors="replace"):
            self._given.setdefault(name, []).append(value)

    def asked(self) -> Asked:
        metric = self._one_of("metric", Metric, Metric.COST)
        group, subgroup = self._groups()
        span = self._span()
        view = View(
            metric=metric,
            group=group,
            subgroup=subgroup,
            span=span,
            grain=self._grain(span, metric),
            filters=self._filters(""),
            without=self._filters(NOT),
            top=self._top(),
            cumulative=self._switch("cumulative", False) and metric.adds_up,
            compare=self._one_of("compare", Compare, Compare.BEFORE),
            chart=self._one_of("chart", Chart, Chart.BARS) if metric.adds_up else Chart.BARS,
            why=self._switch("why", True),
            sort=self._one_of("sort", Sort, Sort.TOTAL_DOWN),
        )
        return Asked(view, tuple(self._ignored[:MOST_IGNORED]))

    def _last(self, name: str) -> str:
        return self._given.get(name, [""])[-1]

    def _ignore(self, name: str, value: str | None = None) -> None:
        self._ignored.append(f"{name}={_shown(self._last(name) if value is None else value)}")

    def _read(self, name: str, read: Callable[[str], E]) -> E | None:
        text = self._last(name)
        try:
            return read(text) if text else None
        except ValueError:
            self._ignore(name)
            return None

    def _one_of(self, name: str, kind: type[E], default: E) -> E:
        return self._read(name, kind) or default

    def _switch(self, name: str, default: bool) -> bool:
        text = self._last(name)
        if text not in ("", ON, OFF):
            self._ignore(name)
        return text == ON if text in (ON, OFF) else default

    def _groups(self) -> tuple[Dimension | None, Dimension | None]:
        group = None if self._last("group") == NOTHING else self._dimension("group") or View.group
        subgroup = None if self._last("then") == NOTHING else self._dimension("then")
        if subgroup and (subgroup is group or group is None):
            self._ignore("then")
            subgroup = None
        return group, subgroup

    def _dimension(self, name: str) -> Dimension | None:
        dimension = self._read(name, Dimension)
        if dimension and dimension not in self._offered:
            self._ignore(name)
            return None
        return dimension

    def _span(self) -> Span:
        if not self._last("from") and not self._last("to"):
            return self._one_of("range", Preset, Preset.MONTH)
        first, last = (_day(self._last(name)) for name in ("from", "to"))
        if first and last and first <= last and (last - first).days < MOST_DAYS:
            return Days(first, last)
        for name in ("from", "to"):
            self._ignore(name)
        return self._one_of("range", Preset, Preset.MONTH)

    def _grain(self, span: Span, metric: Metric) -> Grain:
        wanted = self._read("grain", Grain)
        if wanted and fitting_grain(wanted, span, metric) is not wanted:
            self._ignore("grain")
            wanted = None
        return wanted or usual_grain(span, metric)

    def _top(self) -> int:
        text = self._last("top")
        if re.fullmatch(r"[0-9]{1,2}", text) and 1 <= int(text) <= MOST_SERIES:
            return int(text)
        if text:
            self._ignore("top")
        return USUAL_SERIES

    def _filters(self, prefix: str) -> Filters:
        kept = {}
        for dimension in Dimension:
            given = self._given.get(prefix + dimension.value, [])
            good = [value for value in given if dimension in self._offered and _may_be(dimension, value)][:MOST_VALUES]
            for value in [value for value in given if value not in good][:1]:
                self._ignore(prefix + dimension.value, value)
            kept[dimension] = tuple(good)
        return _in_order(kept)


def _may_be(dimension: Dimension, value: str) -> bool:
    """ "" is none: untagged, no key."""
    if dimension in NUMBERED:
        return not value or re.fullmatch(r"[1-9][0-9]{0,17}", value) is not None
    return len(value) <= MOST_VALUE_LENGTH and "\0" not in value and not re.search("[\ud800-\udfff]", value)


def _day(text: str) -> date | None:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if OLDEST <= day <= NEWEST else None


def _in_order(filters: Mapping[Dimension, Sequence[str]]) -> Filters:
    return tuple((each, tuple(sorted(set(filters[each])))) for each in Dimension if filters.get(each))


def _shown(value: str) -> str:
    return value if len(value) <= 40 else f"{value[:39]}…"


# To the address -------------------------------------------------------------------------------------------------------


def build(view: View) -> str:
    """The query string, without its question mark; "" for the default view."""
    return urlencode(pairs(view))


def pairs(view: View) -> list[tuple[str, str]]:
    """Names and values, as a form would send them."""
    usual = View()
    choices: list[tuple[str, str, str]] = [
        ("metric", view.metric, usual.metric),
        ("group", view.group or NOTHING, Dimension.MODEL),
        ("then", view.subgroup or NOTHING, NOTHING),
        *_span_choices(view.span),
        ("grain", view.grain, usual_grain(view.span, view.metric)),
        ("top", str(view.top), str(usual.top)),
        ("cumulative", ON if view.cumulative else OFF, OFF),
        ("compare", view.compare, usual.compare),
        ("chart", view.chart, usual.chart),
        ("why", ON if view.why else OFF, ON),
        ("sort", view.sort, usual.sort),
    ]
    told = [(name, str(value)) for name, value, default in choices if value != default]
    for prefix, filters in (("", view.filters), (NOT, view.without)):
        told += [(prefix + dimension.value, value) for dimension, values in filters for value in values]
    return told


def _span_choices(span: Span) -> list[tuple[str, str, str]]:
    if isinstance(span, Preset):
        return [("range", span, Preset.MONTH)]
    return [("from", span.first.isoformat(), ""), ("to", span.last.isoformat(), "")]


# What follows from it -------------------------------------------------------------------------------------------------


def usual_grain(span: Span, metric: Metric) -> Grain:
    """What is drawn when nobody chose: between a dozen and a hundred buckets. Percentiles are kept by day."""
    if isinstance(span, Preset):
        grain = _GRAINS.get(span, Grain.DAY)
    else:
        length = (span.last - span.first).days + 1
        steps = ((HOURS_UP_TO_DAYS, Grain.HOUR), (DAYS_UP_TO_DAYS, Grain.DAY), (WEEKS_UP_TO_DAYS, Grain.WEEK))
        grain = next((grain for most, grain in steps if length <= most), Grain.MONTH)
    return Grain.DAY if grain is Grain.HOUR and metric.is_percentile else grain


def fitting_grain(wanted: Grain, span: Span, metric: Metric) -> Grain:
    """What was chosen, where it makes a picture; else the usual one."""
    too_many_days = isinstance(span, Days) and (span.last - span.first).days >= MOST_DAY_DAYS
    return usual_grain(span, metric) if wanted is Grain.DAY and too_many_days else wanted


def days_of(span: Span, today: date) -> Days:
    """On a calendar where it is `today`. A day that has not come is not asked for."""
    if isinstance(span, Days):
        return Days(span.first, max(span.first, min(span.last, today)))
    if span in _DAYS:
        return Days(today - timedelta(days=_DAYS[span] - 1), today)
    month = month_number(today)
    if span is Preset.LAST_MONTH:
        return Days(first_of_month(month - 1), first_of_month(month) - timedelta(days=1))
    first = {
        Preset.YEAR: first_of_month(month - 11),
        Preset.THIS_MONTH: first_of_month(month),
        Preset.THIS_YEAR: date(today.year, 1, 1),
    }[span]
    return Days(first, today)


def question_of(view: View, today: date) -> Question:
    days = days_of(view.span, today)
    return Question(
        metric=view.metric,
        group=view.group,
        subgroup=view.subgroup,
        grain=view.grain,
        first_day=days.first,
        last_day=days.last,
        filters=dict(view.filters),
        without=dict(view.without),
        top=view.top,
        cumulative=view.cumulative,
        compare=view.compare,
    )
