"""The overview: a team's, or the whole instance's. The page, its live parts, its chart and its table as a file."""

from __future__ import annotations

import csv
from datetime import datetime
from itertools import accumulate
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from accounts import policy
from accounts.policy import Action, Standing
from usage import charts
from usage.dashboard import gauges, snippets
from usage.dashboard.frame import in_team, on_instance, to_sign_in
from usage.reports import calls, colours, latency, pulse, sheet, spend, today
from usage.reports.span import Range, scope_of, span_of

METRICS = ("cost", "tokens")
RANGES = tuple(choice.value for choice in Range)
LATEST_CALLS = 10
NANO_A_USD = 1_000_000_000


def home(request: HttpRequest) -> HttpResponse:
    """The first team; an administrator without one sees the instance."""
    if not request.user.is_authenticated:
        return to_sign_in(request)
    teams = policy.teams_of(request.user)
    if teams:
        return redirect("overview", teams[0].pk)
    return redirect("instance-overview") if request.user.is_staff else render(request, "dashboard/no_team.html")


def page(request: HttpRequest, standing: Standing) -> HttpResponse:
    return render(request, "dashboard/overview.html", _everything(request, standing))


def live(request: HttpRequest, standing: Standing) -> HttpResponse:
    """Asked every second. Headroom always moves; the rest is drawn again only when something was recorded."""
    now = timezone.now()
    seen, was_empty = request.GET.get("seen"), "empty" in request.GET
    if seen == pulse.of(scope_of(standing.team), now):
        return render(
            request,
            "dashboard/live.html",
            _frame_of_live(request, standing, now) | {"pulse": seen, "is_empty": was_empty},
        )
    context = _everything(request, standing)
    if was_empty and not context["is_empty"]:
        answer = render(request, "dashboard/overview.html", context)
        answer["HX-Retarget"] = answer["HX-Reselect"] = "#main"
        answer["HX-Reswap"] = "outerHTML"
        return answer
    answer = render(request, "dashboard/live.html", context | {"has_changed": not context["is_empty"]})
    answer["HX-Trigger"] = "usage-changed"
    return answer


def figure(request: HttpRequest, standing: Standing) -> HttpResponse:
    chosen, metric = _chosen(request)
    scope = scope_of(standing.team)
    breakdown = spend.by_model(scope, span_of(chosen, timezone.now(), scope.zone))
    drawn = charts.stacked_bars(breakdown, metric, _colours(breakdown), gettext("other"), gettext("so far"))
    return JsonResponse(drawn)


def models_csv(request: HttpRequest, standing: Standing) -> HttpResponse:
    """The chart's numbers: a row for each model and bucket. Cost in full, to the nano-dollar."""
    chosen, _metric = _chosen(request)
    scope = scope_of(standing.team)
    span = span_of(chosen, timezone.now(), scope.zone)
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="models-{chosen}.csv"'
    write = csv.writer(answer)
    write.writerow(["start", "model", "cost_usd", "tokens"])
    for series in spend.by_model(scope, span).series:
        for at, start in enumerate(span.starts()):
            usd = f"{series.cost_nano_usd[at] // NANO_A_USD}.{series.cost_nano_usd[at] % NANO_A_USD:09}"
            write.writerow([start.isoformat(), sheet.as_cell(series.name), usd, series.tokens[at]])
    return answer


def _chosen(request: HttpRequest) -> tuple[Range, str]:
    """What the address asks for; what it cannot mean falls back to the default."""
    wanted, metric = request.GET.get("range"), request.GET.get("metric")
    chosen = Range(wanted) if wanted in RANGES else Range.MONTH
    return chosen, metric if metric in METRICS else METRICS[0]


def _everything(request: HttpRequest, standing: Standing) -> dict[str, Any]:
    now = timezone.now()
    scope = scope_of(standing.team)
    chosen, metric = _chosen(request)
    span = span_of(chosen, now, scope.zone)
    own_calls_of = None if standing.sees_all_calls else standing.user.pk
    breakdown = spend.by_model(scope, span)
    is_empty = not calls.has_any(scope)
    return {
        **_frame_of_live(request, standing, now),
        "pulse": pulse.of(scope, now),
        "is_empty": is_empty,
        "span": span,
        "today": (so_far := today.so_far(scope, now)),
        "curves": _curves(so_far),
        "pace": latency.recent(scope, now),
        "breakdown": breakdown,
        "ranked": _ranked(breakdown, metric),
        "leaders": _leaders(standing, span),
        "calls": calls.newest(scope, own_calls_of, LATEST_CALLS).calls if standing.sees_calls else [],
        "colours": _colours(breakdown),
        **(snippets.context(request) if is_empty else {}),
    }


def _ranked(breakdown: spend.Breakdown, metric: str) -> list[spend.Series]:
    by = {"cost": lambda series: -series.cost, "tokens": lambda series: -series.token_sum}[metric]
    return [series for series in sorted(breakdown.series, key=by) if series.calls or series.tokens_before]


def _colours(breakdown: spend.Breakdown) -> dict[str, str]:
    return colours.of(series.name for series in breakdown.series)


def _leaders(standing: Standing, span: Any) -> list[spend.Series]:
    if standing.team is None:
        return spend.top_teams(scope_of(None), span)
    if not standing.sees_keys:
        return []
    return spend.top_keys(
        scope_of(standing.team), span, None if standing.may(Action.MANAGE_ALL_KEYS) else standing.user.pk
    )


def _frame_of_live(request: HttpRequest, standing: Standing, now: datetime) -> dict[str, Any]:
    chosen, metric = _chosen(request)
    scope = scope_of(standing.team)
    return {
        "now": now,
        "zone": scope.zone,
        "chosen": chosen.value,
        "metric": metric,
        "ranges": [(choice.value, _range_name(choice)) for choice in Range],
        "range_name": _range_name(chosen),
        "links": _links(standing, chosen, metric),
        "gauges": gauges.of_team(standing.team),
    }


def _range_name(chosen: Range) -> str:
    return {
        Range.DAY: gettext("Last 24 hours"),
        Range.WEEK: gettext("Last 7 days"),
        Range.MONTH: gettext("Last 30 days"),
        Range.QUARTER: gettext("Last 90 days"),
    }[chosen]


def _links(standing: Standing, chosen: Range, metric: str) -> dict[str, str]:
    prefix, arguments = ("", [standing.team.pk]) if standing.team else ("instance-", [])
    query = urlencode({"range": chosen.value, "metric": metric})
    names = {"page": "overview", "live": "overview-live", "figure": "overview-figure", "csv": "overview-csv"}
    return {key: f"{reverse(prefix + name, args=arguments)}?{query}" for key, name in names.items()} | {
        "bare": reverse(prefix + "overview", args=arguments),
        "calls": reverse(prefix + "calls", args=arguments),
    }


def _curves(report: today.Today) -> dict[str, list[int]]:
    until = report.position + 1
    day, week_ago = report.today, report.last_week
    return {
        "spend": list(accumulate(day.values("cost", until))),
        "spend_before": list(accumulate(week_ago.values("cost"))) if report.knows_last_week else [],
        "month": list(accumulate(report.month_days)),
        "month_before": list(accumulate(report.last_month_days)) if report.last_month_cost is not None else [],
        "calls": day.values("calls", until),
        "tokens": day.values("tokens", until),
        "failed": day.values("failed", until),
    }


team_page = in_team(Action.SEE_USAGE)(page)
team_live = in_team(Action.SEE_USAGE)(live)
team_figure = in_team(Action.SEE_USAGE)(figure)
team_csv = in_team(Action.SEE_USAGE)(models_csv)
instance_page = on_instance(page)
instance_live = on_instance(live)
instance_figure = on_instance(figure)
instance_csv = on_instance(models_csv)
