"""The explorer's page, and its whole table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext

from accounts.policy import Action, Standing
from usage.dashboard import formats, snippets
from usage.dashboard.explorer import amounts, choosing, colouring, controls, figure, saved, table, words
from usage.dashboard.explorer.address import Chart, Preset, View
from usage.dashboard.explorer.look import Look, look
from usage.dashboard.explorer.place import Place
from usage.dashboard.frame import in_team, on_instance
from usage.reports import calls
from usage.reports.explorer.answer import Answer
from usage.reports.explorer.marks import Mark, marks
from usage.reports.explorer.question import Compare, Metric, WhyNot

# Sent by the form's button, which only a reader without script sees.
BUTTON = "go"
MOST_MARKS_LISTED = 8


def page(request: HttpRequest, standing: Standing) -> HttpResponse:
    seen = look(request, standing)
    if BUTTON in request.GET:
        return redirect(seen.url)
    answer = render(request, "dashboard/explorer/page.html", _everything(request, seen))
    if request.headers.get("HX-Request"):
        # One view has one address, however the form spelled it.
        answer["HX-Push-Url"] = seen.url
    return answer


def buckets(request: HttpRequest, standing: Standing) -> HttpResponse:
    """A line for each bucket, a column for each series: what the chart draws, in figures."""
    seen = look(request, standing)
    answer, reason = seen.answer()
    context: dict[str, Any] = {"view": seen.view, "here": seen.url, "reason": words.why_not_text(reason)}
    if answer:
        answer = table.with_whole(answer)
        context |= {
            "names": table.names_of(answer),
            "lines": _lines(answer, seen.view.metric),
            "adds_up": seen.view.metric.adds_up,
            "has_before": figure.has_values(answer.before_values),
        }
    return render(request, "dashboard/explorer/buckets.html", context)


def _everything(request: HttpRequest, seen: Look) -> dict[str, Any]:
    view, place = seen.view, seen.place
    answer, reason = seen.answer()
    named = choosing.named(place, view, seen.now)
    context = {
        "now": seen.now,
        "zone": place.scope.zone,
        "view": view,
        "notes": seen.notes,
        "controls": controls.of_view(view, place, place.today(seen.now), named),
        "days_name": words.days_name(seen.question.first_day, seen.question.last_day),
        "links": _links(seen),
        "saved": saved.menu(place, view),
        "is_empty": False,
    }
    if answer is None:
        return context | {"refused": _refused(seen, reason)}
    if not figure.has_values(answer.values):
        is_empty = not calls.has_any(place.scope)
        nowhere = snippets.context(request) if is_empty else {"ways_back": _ways_back(seen)}
        return context | {"is_empty": is_empty, "answer": None, **nowhere}
    return context | _found(seen, answer)


def _found(seen: Look, answer: Answer) -> dict[str, Any]:
    view, place, question = seen.view, seen.place, seen.question
    answer = table.with_whole(answer)
    names, colours = table.names_of(answer), colouring.of(answer.series, view.group, view.subgroup)
    marked = marks(place.scope, question.first_day, question.last_day, place.owner_id)
    has_before = answer.before_total is not None
    before_name = _before_name(view, answer)
    estimates = _estimates(view, answer)
    return {
        "answer": answer,
        "figure": figure.of_answer(answer, view, names, colours, marked, before_name, estimates),
        "legend": [(name, *colour) for name, colour in zip(names, colours, strict=True)],
        "before_name": before_name if figure.has_values(answer.before_values) else "",
        "number": _number(seen, answer),
        "estimated": formats.percent(sum(estimates) / answer.total) if any(estimates) and answer.total else "",
        "marks": _listed(place, marked[-MOST_MARKS_LISTED:]),
        "marks_before": _listed(place, marked[:-MOST_MARKS_LISTED]),
        "rows": table.rows_of(answer, view, place, colours),
        "named_count": sum(not each.is_other for each in answer.series),
        "total": _total(answer, view),
        "headings": table.headings(view, place, has_before),
        "has_before": has_before,
        "has_groups": view.group is not None,
        "per_grain": words.per_grain(view.grain),
        "chart_name": _chart_name(view),
        "can_tell_why": view.metric is Metric.COST and has_before,
        "unknown": amounts.why_unknown(view.metric),
        "basis": amounts.basis_name(view.metric),
    }


def _estimates(view: View, answer: Answer) -> list[int]:
    """Of bars of cost; the other charts have no room for a second reading."""
    is_drawn = view.metric is Metric.COST and view.chart is Chart.BARS and not view.cumulative
    return answer.estimates if is_drawn else []


def _number(seen: Look, answer: Answer) -> dict[str, Any]:
    """The total, and what it is compared with: up to the same moment while the present span still runs."""
    metric, before = seen.view.metric, seen.question.before
    is_so_far = answer.is_running and answer.before_so_far is not None
    compared = answer.before_so_far if is_so_far else answer.before_total
    number = {
        "label": gettext("%(metric)s, %(span)s")
        % {"metric": words.metric_name(metric), "span": _in_text(words.span_name(seen.view.span), seen.view)},
        "text": amounts.text(metric, answer.total),
        "full_text": amounts.full_text(metric, answer.total),
        "has_money": amounts.unit_of(metric) == amounts.MONEY,
    }
    if before is None:
        return number
    if compared is None or answer.total is None:
        return number | {"nothing_before": True}
    return number | {
        "delta": formats.change(answer.total, compared),
        "before": amounts.text(metric, compared),
        "before_days": words.days_name(before.first_day, before.last_day),
        "is_so_far": is_so_far,
    }


def _in_text(name: str, view: View) -> str:
    return name[:1].lower() + name[1:] if isinstance(view.span, Preset) else name


def _listed(place: Place, marked: Sequence[Mark]) -> list[tuple[str, str, str, str]]:
    """Moment, day, text and address of each, ready to stand there: a template takes its time over two hundred."""
    listed = []
    for mark in marked:
        at = mark.at.astimezone(place.scope.zone)
        url = reverse("key", args=(place.team.pk, mark.key_id)) if place.team and mark.key_id else ""
        listed.append((at.isoformat(), formats.day(at), mark.text, url))
    return listed


def _before_name(view: View, answer: Answer) -> str:
    if not answer.before_values or view.compare is Compare.NONE:
        return ""
    return gettext("a year before") if view.compare is Compare.YEAR else gettext("the time before")


def _chart_name(view: View) -> str:
    by = " · ".join(words.dimension_name(each) for each in (view.group, view.subgroup) if each)
    metric, grain = words.metric_name(view.metric), words.per_grain(view.grain)
    if not by:
        return gettext("%(metric)s %(per_grain)s; the table below holds the figures") % {
            "metric": metric,
            "per_grain": grain,
        }
    return gettext("%(metric)s by %(groups)s, %(per_grain)s; the table below holds the figures") % {
        "metric": metric,
        "groups": by,
        "per_grain": grain,
    }


def _total(answer: Answer, view: View) -> dict[str, Any]:
    metric = view.metric
    known = answer.total is not None
    return {
        "text": amounts.text(metric, answer.total),
        "full_text": amounts.full_text(metric, answer.total),
        "before": amounts.text(metric, answer.before_total),
        "change": formats.change(answer.total or 0, answer.before_total) if known else formats.DASH,
        "calls": answer.calls,
        "name": gettext("Total") if metric.adds_up else gettext("All together"),
    }


def _lines(answer: Answer, metric: Metric) -> list[dict[str, Any]]:
    last = len(answer.starts) - 1
    return [
        {
            "name": name,
            "is_running": answer.is_running and at == last,
            "cells": [amounts.text(metric, each.values[at]) for each in answer.series],
            "total": amounts.text(metric, answer.values[at]),
            "before": amounts.text(metric, answer.before_values[at]) if answer.before_values else "",
        }
        for at, name in enumerate(words.bucket_names(answer.starts, answer.question.grain))
    ]


def _links(seen: Look) -> dict[str, str]:
    view, place = seen.view, seen.place
    return {
        "here": seen.url,
        "bare": place.bare(),
        "csv": place.url(view, "explorer-csv"),
        "why": place.url(view, "explorer-why"),
        "buckets": place.url(view, "explorer-buckets"),
        "switch_why": place.url(replace(view, why=not view.why)),
        "save": place.url(view, "explorer-view-new"),
        "views": place.url(view, "explorer-views"),
        # A drag over the chart appends the days it covers.
        "zoom": place.url(view.over(Preset.MONTH)),
    }


def _refused(seen: Look, reason: WhyNot) -> dict[str, Any]:
    """Why there is no answer, and a step to one."""
    mean = controls.mean_instead(seen.view) if reason is WhyNot.KEY_AND_MODEL else None
    if mean:
        instead = (gettext("Show the mean"), seen.place.url(seen.view.measuring(mean)))
    else:
        instead = (words.preset_name(Preset.MONTH), seen.place.url(seen.view.over(Preset.MONTH)))
    return {"text": words.why_not_text(reason), "name": instead[0], "url": instead[1]}


def _ways_back(seen: Look) -> Sequence[tuple[str, str]]:
    """From a look at nothing to one that may hold something."""
    view, place = seen.view, seen.place
    ways = []
    if view.filters or view.without:
        ways.append((gettext("Without filters"), place.url(replace(view, filters=(), without=()))))
    for preset in (Preset.MONTH, Preset.YEAR):
        if view.span is not preset:
            ways.append((words.preset_name(preset), place.url(view.over(preset))))
    return ways


team_page = in_team(Action.SEE_USAGE)(page)
team_buckets = in_team(Action.SEE_USAGE)(buckets)
instance_page = on_instance(page)
instance_buckets = on_instance(buckets)
