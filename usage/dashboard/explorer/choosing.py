"""What a dimension can be filtered by: names for the chips, and the list that is chosen from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from accounts.policy import Action, Standing
from usage.dashboard.explorer import address, words
from usage.dashboard.explorer.address import NUMBERED, View
from usage.dashboard.explorer.place import Place
from usage.dashboard.frame import in_team, on_instance
from usage.reports.explorer.answer import HIDDEN, Value, choices
from usage.reports.explorer.question import Dimension

MOST_SHOWN = 100
FIND = "find"
# A list shorter than this needs no search.
FEW = 8


@dataclass(frozen=True)
class Choice:
    value: str
    name: str
    detail: str
    is_chosen: bool


def named(place: Place, view: View, now: datetime) -> dict[Dimension, dict[str, Value]]:
    """The names behind the ids in the address. Asks only for dimensions that are filtered by ids."""
    return {
        dimension: {value.id: value for value in choices(place.scope, dimension, now, place.owner_id)}
        for dimension in {each for each, _ in (*view.filters, *view.without)} & NUMBERED
    }


def choose(request: HttpRequest, standing: Standing, dimension: str) -> HttpResponse:
    """Those that are chosen first, then those that cost most; `find` narrows the rest."""
    place = Place.of(standing)
    if dimension not in place.offered:
        raise Http404
    view, wanted = place.asked(request).view, Dimension(dimension)
    sought = request.GET.get(FIND, "").strip()[: address.MOST_VALUE_LENGTH]
    offered = _offered(place, view, wanted)
    shown = [each for each in offered if each.is_chosen or _matches(each, sought)]
    context = {
        "dimension": words.dimension_name(wanted),
        "field": wanted.value,
        "here": place.url(view),
        "self": place.bare("explorer-choices", wanted.value),
        "bare": place.bare(),
        "kept": [pair for pair in address.pairs(view) if pair[0] != wanted.value],
        "choices": shown[:MOST_SHOWN],
        "more": len(shown[MOST_SHOWN:]),
        "find": sought,
        "is_searched": len(offered) > FEW,
        "all": place.url(view.filtered(wanted, ())) if view.of(wanted) else "",
    }
    return render(request, "dashboard/explorer/choices.html", context)


def _offered(place: Place, view: View, dimension: Dimension) -> list[Choice]:
    chosen = view.of(dimension)
    known = {value.id: value for value in choices(place.scope, dimension, timezone.now(), place.owner_id)}
    for value in chosen:
        known.setdefault(value, Value(value, value))
    found = [
        Choice(value.id, words.value_name(dimension, value), value.detail, value.id in chosen)
        for value in known.values()
        if value.id != HIDDEN or dimension not in NUMBERED
    ]
    return sorted(found, key=lambda each: not each.is_chosen)


def _matches(choice: Choice, sought: str) -> bool:
    return sought.casefold() in f"{choice.name} {choice.detail}".casefold()


team_choose = in_team(Action.SEE_USAGE)(choose)
instance_choose = on_instance(choose)
