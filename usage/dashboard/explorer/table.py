"""The chart's table: a row for each series, and everything a row leads to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.urls import reverse
from django.utils.translation import gettext, pgettext

from usage.dashboard import formats
from usage.dashboard.explorer import amounts, words
from usage.dashboard.explorer.address import Sort, View
from usage.dashboard.explorer.place import Place
from usage.reports.explorer.answer import HIDDEN, Answer, Number, Series, Value
from usage.reports.explorer.question import Dimension, WhyNot, why_not_by

# Where a look goes on to, the likeliest first.
NEXT = {
    Dimension.TEAM: (Dimension.MODEL, Dimension.KEY),
    Dimension.MODEL: (Dimension.KEY, Dimension.PROVIDER, Dimension.TEAM),
    Dimension.KEY: (Dimension.MODEL, Dimension.PROVIDER),
    Dimension.MEMBER: (Dimension.KEY, Dimension.MODEL),
    Dimension.PROVIDER: (Dimension.MODEL, Dimension.KEY),
    Dimension.TAG: (Dimension.KEY, Dimension.MODEL),
}


@dataclass(frozen=True)
class Row:
    """Texts, and where they lead. `into` is the look inside this row, `only` the same page without the others."""

    name: str
    detail: str
    group_name: str
    colour: str
    shade: int
    text: str
    full_text: str
    share: str
    before: str
    change: str
    calls: int
    trend: Sequence[float]
    is_other: bool = False
    into: str = ""
    into_name: str = ""
    only: str = ""
    without: str = ""
    page: str = ""
    page_name: str = ""

    @property
    def tone(self) -> str:
        """Of its little curve."""
        return f"c-{self.colour}"


def with_whole(answer: Answer) -> Answer:
    """An answer that is not divided has one series: everything."""
    if answer.question.group:
        return answer
    whole = Series(
        group=None,
        subgroup=None,
        values=answer.values,
        total=answer.total,
        share=1.0 if answer.total and answer.question.metric.adds_up else None,
        before_values=answer.before_values,
        before_total=answer.before_total,
        calls=answer.calls,
    )
    return replace(answer, series=[whole], rows_total_count=1)


def names_of(answer: Answer) -> list[str]:
    """Of each series in one line, as the legend and the card call it."""
    question = answer.question
    found = []
    for each in answer.series:
        if each.is_other:
            found.append(gettext("other"))
            continue
        parts = (words.value_name(question.group, each.group), words.value_name(question.subgroup, each.subgroup))
        found.append(words.joined(parts) or words.metric_name(question.metric))
    return found


def rows_of(answer: Answer, view: View, place: Place, colours: Sequence[tuple[str, int]]) -> list[Row]:
    """In the order that the address asks for; "other" stays last."""
    both = list(zip(answer.series, colours, strict=True))
    ordered = sorted(both, key=lambda pair: _order(pair[0], view.sort), reverse=view.sort.startswith("-"))
    ordered.sort(key=lambda pair: pair[0].is_other)
    return [_row(each, colour, view, place) for each, colour in ordered]


def _row(series: Series, colour: tuple[str, int], view: View, place: Place) -> Row:
    metric = view.metric
    inner = series.subgroup if view.subgroup else series.group
    dimension = view.subgroup or view.group
    row = Row(
        name=gettext("other") if series.is_other else words.value_name(dimension, inner) or words.metric_name(metric),
        detail=inner.detail if inner else "",
        group_name=words.value_name(view.group, series.group) if view.subgroup and not series.is_other else "",
        colour=colour[0],
        shade=colour[1],
        text=amounts.text(metric, series.total),
        full_text=amounts.full_text(metric, series.total),
        share=formats.percent(series.share),
        before=amounts.text(metric, series.before_total),
        change=formats.DASH if series.total is None else formats.change(series.total, series.before_total),
        calls=series.calls,
        trend=_trend(series.values, metric.adds_up),
        is_other=series.is_other,
    )
    return row if series.is_other or not series.group else _leading(row, series, view, place)


def _leading(row: Row, series: Series, view: View, place: Place) -> Row:
    chosen = [(view.group, series.group), (view.subgroup, series.subgroup)]
    known = [(dimension, value) for dimension, value in chosen if dimension and value]
    if any(value.id == HIDDEN for _, value in known):
        return row
    only = view
    for dimension, value in known:
        only = only.filtered(dimension, [value.id])
    deeper = next_group(only, known[-1][0], place)
    page, page_name = _page(known[-1][0], known[-1][1], place)
    return replace(
        row,
        into=place.url(replace(only, group=deeper, subgroup=None)) if deeper else "",
        into_name=words.dimension_name(deeper) if deeper else "",
        only=place.url(only),
        # Of a group and its subgroup together nothing less can be left out.
        without="" if view.subgroup else place.url(view.leaving_out(known[-1][0], known[-1][1].id)),
        page=page,
        page_name=page_name,
    )


def next_group(filtered: View, present: Dimension, place: Place) -> Dimension | None:
    """The next that is not already held to one value, and that this metric is kept by."""
    held = frozenset(dimension for dimension, _ in filtered.filters)
    known = held | {dimension for dimension, _ in filtered.without}
    for dimension in NEXT[present]:
        if dimension in held or dimension not in place.offered:
            continue
        if why_not_by(filtered.metric, known | {dimension}, place.scope.is_instance) is WhyNot.ANSWERED:
            return dimension
    return None


def _page(dimension: Dimension, value: Value, place: Place) -> tuple[str, str]:
    """The page of the key or the team itself."""
    if not value.url_id:
        return "", ""
    if dimension is Dimension.TEAM:
        return place.team_url(value.url_id), gettext("Open the team's explorer")
    if dimension is Dimension.KEY and place.team:
        return reverse("key", args=(place.team.pk, value.url_id)), gettext("Open the key")
    return "", ""


def _order(series: Series, sort: Sort) -> tuple[bool, Number | str]:
    """What is unknown comes last when the largest come first."""
    by = sort.lstrip("-")
    if by == "name":
        name = series.group.name if series.group else ""
        return True, f"{name}\0{series.subgroup.name if series.subgroup else ''}".casefold()
    value = {
        "total": series.total,
        "before": series.before_total,
        "change": None if series.total is None else series.total - (series.before_total or 0),
    }[by]
    return value is not None, value if value is not None else 0


def _trend(values: Sequence[Number | None], adds_up: bool) -> list[float]:
    """For the little curve: nothing is nought where that is true, and left out where it is not."""
    return [float(value or 0) for value in values if adds_up or value is not None]


def headings(view: View, place: Place, has_before: bool) -> list[tuple[str, str, str, str]]:
    """(name, address that sorts by it, aria-sort, class) for each column that can be sorted by."""
    first = " · ".join(words.dimension_name(each) for each in (view.group, view.subgroup) if each)
    columns = [("name", first or gettext("All together"), ""), ("total", words.metric_name(view.metric), "n")]
    if has_before:
        columns += [("before", pgettext("explorer", "Before"), "n wide-only"), ("change", gettext("Change"), "n")]
    return [(name, *_sorting(view, place, by), css) for by, name, css in columns]


def _sorting(view: View, place: Place, by: str) -> tuple[str, str]:
    down, up = Sort(f"-{by}"), Sort(by)
    first, second = (up, down) if by == "name" else (down, up)
    following = second if view.sort is first else first
    state = {down: "descending", up: "ascending"}.get(view.sort, "none")
    return place.url(replace(view, sort=following)), state
