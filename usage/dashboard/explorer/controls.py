"""What can be chosen: the form's selects, the presets, the chips, the steps around the present view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from django.utils.translation import gettext, pgettext

from usage.dashboard.explorer import address, words
from usage.dashboard.explorer.address import NOTHING, Chart, Days, Preset, View
from usage.dashboard.explorer.place import Place
from usage.reports.explorer.answer import Value
from usage.reports.explorer.question import MOST_DAYS, Compare, Dimension, Grain, Metric, WhyNot, why_not_by

TOPS = (3, 5, 9, 15, 20)
# More chips than this of one dimension are one chip that opens the list.
MOST_CHIPS = 4
IN_FORM = ("metric", "group", "then", "grain", "compare", "top")
SPAN_NAMES = ("range", "from", "to")


@dataclass(frozen=True)
class Option:
    value: str
    name: str
    is_chosen: bool
    # Why it cannot be chosen now; it is offered all the same, and explained on the page.
    note: str = ""


@dataclass(frozen=True)
class Select:
    name: str
    label: str
    # Option groups: (heading, options); without a heading they stand alone.
    groups: Sequence[tuple[str, Sequence[Option]]]


@dataclass(frozen=True)
class Link:
    name: str
    url: str
    is_current: bool = False
    id: str = ""


@dataclass(frozen=True)
class Chip:
    """One filter. `without` is the page without it; `choose` the list to choose others from."""

    dimension: str
    name: str
    without: str
    choose: str


@dataclass(frozen=True)
class Controls:
    selects: Sequence[Select]
    # What the form sends besides its selects.
    kept: Sequence[tuple[str, str]]
    # What the form of the dates sends besides them.
    kept_by_dates: Sequence[tuple[str, str]]
    presets: Sequence[Link]
    charts: Sequence[Link]
    filters: Sequence[Link]
    chips: Sequence[Chip]
    span_name: str
    days: Days
    wider: str
    summary: str


def of_view(view: View, place: Place, today: date, named: dict[Dimension, dict[str, Value]]) -> Controls:
    days = address.days_of(view.span, today)
    pairs = address.pairs(view)
    return Controls(
        selects=_selects(view, place),
        kept=[pair for pair in pairs if pair[0] not in IN_FORM],
        kept_by_dates=[pair for pair in pairs if pair[0] not in SPAN_NAMES],
        presets=[
            Link(words.preset_name(each), place.url(view.over(each)), each is view.span, f"range-{each.value}")
            for each in Preset
        ],
        charts=_charts(view, place),
        filters=[_filter_link(view, place, each) for each in Dimension if each in place.offered],
        chips=_chips(view, place, named),
        span_name=words.span_name(view.span),
        days=days,
        wider=place.url(view.over(_wider(days, today))) if isinstance(view.span, Days) else "",
        summary=summary(view),
    )


def _selects(view: View, place: Place) -> list[Select]:
    metrics = [
        (heading, [Option(value, name, value == view.metric) for value, name in options])
        for heading, options in words.metric_groups()
    ]
    offered = [each for each in Dimension if each in place.offered]
    then = [each for each in offered if each is not view.group] if view.group else []
    subgroups = _dimensions(then, view.subgroup, view, place, (view.group,))
    compares = [Option(each.value, words.compare_name(each), each is view.compare) for each in Compare]
    grains = [Option(each.value, words.grain_name(each), each is view.grain) for each in Grain]
    tops = [Option(str(each), str(each), each == view.top) for each in sorted({*TOPS, view.top})]
    return [
        Select("metric", pgettext("explorer", "Show"), metrics),
        Select("group", pgettext("explorer", "by"), [("", _dimensions(offered, view.group, view, place, ()))]),
        Select("then", pgettext("explorer", "then"), [("", subgroups)]),
        Select("grain", pgettext("explorer", "per"), [("", grains)]),
        Select("compare", pgettext("explorer", "against"), [("", compares)]),
        Select("top", pgettext("explorer", "top"), [("", tops)]),
    ]


def _dimensions(
    offered: Sequence[Dimension],
    chosen: Dimension | None,
    view: View,
    place: Place,
    beside: Sequence[Dimension | None],
) -> list[Option]:
    options = [Option(NOTHING, pgettext("explorer", "Nothing"), chosen is None)]
    held = frozenset(dimension for dimension, _ in (*view.filters, *view.without)) | frozenset(
        each for each in beside if each
    )
    for each in offered:
        reason = why_not_by(view.metric, held | {each}, place.scope.is_instance)
        note = "" if reason is WhyNot.ANSWERED else gettext("mean only")
        options.append(Option(each.value, words.dimension_name(each), each is chosen, note))
    return options


def _charts(view: View, place: Place) -> list[Link]:
    """Lines of what does not add up can be drawn one way only."""
    if not view.metric.adds_up:
        return []
    kinds = (
        ("bars", gettext("Bars"), replace(view, chart=Chart.BARS, cumulative=False)),
        ("area", gettext("Area"), replace(view, chart=Chart.AREA, cumulative=False)),
        ("cumulative", gettext("Cumulative"), replace(view, chart=Chart.AREA, cumulative=True)),
    )
    present = "cumulative" if view.cumulative else view.chart.value
    return [Link(name, place.url(other), kind == present, f"chart-{kind}") for kind, name, other in kinds]


def _filter_link(view: View, place: Place, dimension: Dimension) -> Link:
    return Link(words.dimension_name(dimension), choose_url(view, place, dimension), bool(view.of(dimension)))


def choose_url(view: View, place: Place, dimension: Dimension) -> str:
    return place.url(view, "explorer-choices", dimension.value)


def _chips(view: View, place: Place, named: dict[Dimension, dict[str, Value]]) -> list[Chip]:
    chips = []
    for dimension, values in view.filters:
        name, choose = words.dimension_name(dimension), choose_url(view, place, dimension)
        if len(values) > MOST_CHIPS:
            several = gettext("%(n)s of them") % {"n": len(values)}
            chips.append(Chip(name, several, place.url(view.filtered(dimension, ())), choose))
            continue
        for value in values:
            known = named.get(dimension, {}).get(value) or Value(value, value)
            without = view.filtered(dimension, [each for each in values if each != value])
            chips.append(Chip(name, words.value_name(dimension, known), place.url(without), choose))
    for dimension, values in view.without:
        for value in values:
            known = named.get(dimension, {}).get(value) or Value(value, value)
            name = gettext("not %(name)s") % {"name": words.value_name(dimension, known)}
            back = place.url(view.taking_back(dimension, value))
            chips.append(Chip(words.dimension_name(dimension), name, back, choose_url(view, place, dimension)))
    return chips


def _wider(days: Days, today: date) -> Days:
    """Twice as long around the same middle, but never into the future."""
    length = (days.last - days.first).days + 1
    last = min(today, days.last + timedelta(days=max(1, length // 2)))
    first = max(address.OLDEST, last - timedelta(days=min(2 * length, MOST_DAYS) - 1))
    return Days(first, last)


def summary(view: View) -> str:
    """On a phone, where the controls are folded away."""
    parts = [words.metric_name(view.metric)]
    parts += [words.dimension_name(each) for each in (view.group, view.subgroup) if each]
    return " · ".join([*parts, words.per_grain(view.grain), words.span_name(view.span)])


def mean_instead(view: View) -> Metric | None:
    """What is kept for every combination, where percentiles are not."""
    if not view.metric.is_percentile:
        return None
    return Metric.TTFT_MEAN if view.metric.startswith("ttft") else Metric.LATENCY_MEAN
