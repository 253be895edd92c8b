"""What the explorer shows, as a file: every group, not only those that are drawn."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse
from django.utils.text import slugify

from accounts.policy import Action, Standing
from usage.dashboard.explorer import amounts, words
from usage.dashboard.explorer.look import Look, look
from usage.dashboard.explorer.table import with_whole
from usage.dashboard.frame import in_team, on_instance
from usage.reports import sheet
from usage.reports.explorer.answer import Answer, NotAnswered, Series
from usage.reports.explorer.everything import ask_everything
from usage.reports.explorer.question import Compare, Dimension

REFUSED = 409


def table(request: HttpRequest, standing: Standing) -> HttpResponse:
    """A row for each group and bucket. Cost in full, to the nano-dollar; an empty cell is unknown."""
    seen = look(request, standing)
    place = seen.place
    try:
        answer = with_whole(ask_everything(place.scope, seen.question, seen.now, place.owner_id))
    except NotAnswered as error:
        text = words.why_not_text(error.reason)
        return HttpResponse(text, status=REFUSED, content_type="text/plain; charset=utf-8")
    file = HttpResponse(content_type="text/csv; charset=utf-8")
    file["Content-Disposition"] = f'attachment; filename="{_name(seen)}.csv"'
    csv.writer(file).writerows(_lines(seen, answer))
    return file


def _name(seen: Look) -> str:
    question = seen.question
    parts = (question.metric, question.group or "", question.subgroup or "", question.first_day, question.last_day)
    return slugify("-".join(str(part) for part in parts if part))


def _lines(seen: Look, answer: Answer) -> Iterator[list[str]]:
    question = seen.question
    dimensions = [each for each in (question.group, question.subgroup) if each]
    column = amounts.column(question.metric)
    has_before = question.compare is not Compare.NONE
    columns = [name for each in dimensions for name in (each.value, f"{each.value}_id")]
    yield ["start", *columns, column, *([f"{column}_before"] if has_before else [])]
    for series in answer.series:
        groups = _groups(series, dimensions)
        for at, start in enumerate(answer.starts):
            before = series.before_values[at] if at < len(series.before_values) else None
            line = [start.isoformat(), *groups, amounts.cell(question.metric, series.values[at])]
            yield [*line, amounts.cell(question.metric, before)] if has_before else line


def _groups(series: Series, dimensions: list[Dimension]) -> list[str]:
    values = (series.group, series.subgroup)
    cells = []
    for dimension, value in zip(dimensions, values, strict=False):
        cells += [sheet.as_cell(words.value_name(dimension, value)), sheet.as_cell(value.id if value else "")]
    return cells


team_csv = in_team(Action.SEE_USAGE)(table)
instance_csv = on_instance(table)
