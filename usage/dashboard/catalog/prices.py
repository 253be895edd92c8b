"""The price book: every price now and over time; setting one, and taking one back that is not in force yet."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.policy import Standing
from usage import price_acts
from usage.dashboard.catalog.leaving import filters_of, leave
from usage.dashboard.catalog.price_form import LONGEST_NAME, PriceForm
from usage.dashboard.catalog.priced import history_address
from usage.dashboard.catalog.steps import steps_of
from usage.dashboard.frame import on_instance
from usage.dashboard.keys.forms import Once
from usage.models import PriceVersion, TokenClass
from usage.price_acts import Priced
from usage.reports import price_book
from usage.reports.price_book import Dated, Line, State
from usage.reports.sheet import as_cell

A_PAGE = 200
FILTERS = ("q", "book", "state")
STATES = (
    ("", _("All prices")),
    ("hand", _("Set by an administrator")),
    ("list", _("List prices")),
    ("coming", _("About to change")),
    ("unknown", _("Unknown")),
)


@on_instance
def price_list(request: HttpRequest, standing: Standing) -> HttpResponse:
    now, query = timezone.now(), request.GET
    lines = price_book.lines(now)
    shown = _wanted(lines, query)
    context = {
        "page": Paginator(shown, A_PAGE).get_page(query.get("page")),
        "found_count": len(shown),
        "states": STATES,
        "books": sorted({line.price_book for line in lines}),
        "chosen": {name: query.get(name, "")[:LONGEST_NAME] for name in FILTERS},
        "is_filtered": any(query.get(name) for name in FILTERS),
        "query": filters_of(query, FILTERS),
    }
    return render(request, "dashboard/catalog/prices.html", context)


@on_instance
def price_csv(request: HttpRequest, standing: Standing) -> HttpResponse:
    """Every version of what the page lists, one price a row."""
    now = timezone.now()
    rows = _csv_rows(_wanted(price_book.lines(now), request.GET))
    answer = StreamingHttpResponse(rows, content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="megadash-prices.csv"'
    return answer  # type: ignore[return-value]


@on_instance
def price_history(request: HttpRequest, standing: Standing) -> HttpResponse:
    priced, now = _asked(request.GET), timezone.now()
    tiers = price_book.history(priced.price_book, priced.model, now)
    if priced.service_tier and priced.service_tier not in {line.service_tier for line in tiers}:
        raise Http404
    line = next((line for line in tiers if line.service_tier == priced.service_tier), Line(*priced))
    context = {
        "line": line,
        "tiers": tiers,
        "versions": [(dated, price_acts.can_withdraw(dated.version, now)) for dated in line.versions],
        "classes": TokenClass.choices,
        "steps": steps_of(line.versions, now),
    }
    return render(request, "dashboard/catalog/price_history.html", context)


@on_instance
def price_set(request: HttpRequest, standing: Standing) -> HttpResponse:
    priced, now = _asked(request.GET), timezone.now()
    present = _present(priced, now)
    form = PriceForm(request.POST or None, present=present.prices if present else None, now=now)
    context = {"form": form, "priced": priced, "present": present, "is_new": present is None}
    if request.method != "POST" or not form.is_valid():
        return render(request, "dashboard/catalog/price_form.html", context)
    away = history_address(*priced)
    if not Once(request.session).claim(form.cleaned_data["ticket"]):
        messages.info(request, gettext("This form was sent twice; one price was set."))
        return leave(request, away)
    try:
        price_acts.set_price(standing.user, priced, form.prices, form.start, form.cleaned_data["note"], now)
    except price_acts.StartsAlready:
        form.refuse_start()
        return render(request, "dashboard/catalog/price_form.html", context)
    messages.success(request, gettext("The price is set. Calls that began before it cost what they cost."))
    return leave(request, away)


@on_instance
def price_withdraw(request: HttpRequest, standing: Standing, version_id: int) -> HttpResponse:
    version = get_object_or_404(PriceVersion, pk=version_id)
    away = history_address(version.price_book, version.model, version.service_tier)
    now = timezone.now()
    if request.method == "POST":
        try:
            price_acts.withdraw(standing.user, version.pk, now)
        except price_acts.InForce:
            messages.error(request, gettext("This price is in force, so it stays. Set another one."))
        else:
            messages.success(request, gettext("The price is withdrawn; the one before it holds on."))
        return leave(request, away)
    if not price_acts.can_withdraw(version, now):
        raise Http404
    return render(request, "dashboard/catalog/price_withdraw.html", {"version": version, "away": away})


def _asked(query: QueryDict) -> Priced:
    """404 for what can be no model's name."""
    priced = Priced(query.get("book", ""), query.get("model", ""), query.get("tier", ""))
    known = bool(priced.price_book and priced.model)
    fits = len(priced.price_book) <= 64 and len(priced.model) <= LONGEST_NAME and len(priced.service_tier) <= 20
    if not known or not fits or any("\0" in name or not name.isprintable() for name in priced):
        raise Http404
    return priced


def _present(priced: Priced, now: datetime) -> Dated | None:
    """Also of a tier that has none of its own: the standard price, which it follows."""
    lines = {line.service_tier: line for line in price_book.history(priced.price_book, priced.model, now)}
    for tier in (priced.service_tier, ""):
        if tier in lines and lines[tier].present:
            return lines[tier].present
    return None


def _wanted(lines: list[Line], query: QueryDict) -> list[Line]:
    text, book, state = query.get("q", "").strip().lower(), query.get("book", ""), query.get("state", "")
    if book:
        lines = [line for line in lines if line.price_book == book]
    if query.get("model"):
        lines = [line for line in lines if line.model == query["model"]]
    if text:
        lines = [line for line in lines if text in f"{line.price_book} {line.model} {line.service_tier}".lower()]
    return [line for line in lines if _is_in(line, state)]


def _is_in(line: Line, state: str) -> bool:
    present = line.present
    match state:
        case "hand":
            return any(dated.version.is_by_hand for dated in line.versions)
        case "list":
            return present is not None and not present.version.is_by_hand
        case "coming":
            return line.next is not None
        case "unknown":
            return present is None
    return True


def _csv_rows(lines: list[Line]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(
        ("price_book", "model", "service_tier", "price_version", "valid_from", "valid_to", "state", "source",
         "token_class", "above_input_tokens", "usd_per_million", "note")
    )  # fmt: skip
    for line in lines:
        for dated in line.versions:
            for kind, steps in dated.prices.prices.items():
                for above, usd in steps:
                    yield writer.writerow(_csv_row(line, dated, kind, above, format(usd.normalize(), "f")))


def _csv_row(line: Line, dated: Dated, kind: str, above: int, usd: str) -> tuple[object, ...]:
    version, until = dated.version, dated.until
    span = (version.valid_from.isoformat(), until.isoformat() if until and dated.state is not State.NEVER else "")
    names = (as_cell(line.price_book), as_cell(line.model), as_cell(line.service_tier))
    return (*names, version.pk, *span, dated.state, version.source, kind, above, usd, as_cell(version.note))


class _Echo:
    """What `csv` writes to: gives each line back."""

    def write(self, line: str) -> str:
        return line
