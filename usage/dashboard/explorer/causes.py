"""Why the cost changed: a waterfall of six parts, a sentence for each, and the keys and models behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext, pgettext

from accounts.policy import Action, Standing
from usage.dashboard import formats
from usage.dashboard.explorer import sentences, words
from usage.dashboard.explorer.look import Look, look
from usage.dashboard.frame import in_team, on_instance
from usage.reports import colours
from usage.reports.explorer.answer import NotAnswered
from usage.reports.explorer.names import HIDDEN
from usage.reports.explorer.question import Dimension
from usage.reports.explorer.why import Cause, Share, Why, explain

MOST_KEYS = 6
# Both totals are cut on the left when the steps between them would otherwise be slivers.
CUT_FROM = 0.5
# What is left of a cut total, beside the width of all steps.
STUB = 0.25
SLIVER = 0.35
SAVINGS = (Cause.CACHE_RATE, Cause.PRICE)


@dataclass(frozen=True)
class Step:
    """One line of the waterfall. `x` and `width` are percent of the bar's room; `joint` is where the next begins."""

    name: str
    sentence: str
    text: str
    tone: str
    x: str
    width: str
    joint: str
    is_total: bool = False


@dataclass(frozen=True)
class Mover:
    """A key or a model in the list beside it."""

    name: str
    detail: str
    sentence: str
    text: str
    percent: str
    url: str
    colour: str = ""


def why(request: HttpRequest, standing: Standing) -> HttpResponse:
    """Asked for by the page once its numbers are there; a page of its own without script."""
    seen = look(request, standing)
    context: dict[str, object] = {"here": seen.url, "view": seen.view}
    try:
        found = explain(seen.place.scope, seen.question, seen.now, seen.place.owner_id)
    except NotAnswered as error:
        return render(request, "dashboard/explorer/why.html", context | {"refused": words.why_not_text(error.reason)})
    return render(request, "dashboard/explorer/why.html", context | _told(seen, found))


def _told(seen: Look, found: Why) -> dict[str, object]:
    bounds = _bounds(found)
    sees_keys = Dimension.KEY in seen.place.offered
    return {
        "why": found,
        "is_empty": not found.before_total and not found.after_total,
        "steps": _steps(found, bounds),
        "is_cut": bounds[0] > 0,
        "before_days": words.days_name(*found.before_days),
        "after_days": words.days_name(*found.after_days),
        "keys": _causes(seen, found.keys, Dimension.KEY) if sees_keys else [],
        "models": [] if sees_keys else _causes(seen, found.models, Dimension.MODEL),
        "change": formats.signed_money(found.change),
        "new_models": [share.value.name for share in found.models if share.value and share.is_new],
        "gone_models": [share.value.name for share in found.models if share.value and share.is_gone],
        "without_savings": _without_savings(found),
        "unpriced": found.before.unpriced_calls + found.after.unpriced_calls,
    }


# The waterfall ------------------------------------------------------------------------------------------------------


def _bounds(found: Why) -> tuple[float, float]:
    """The values at the left and at the right end of the bars' room."""
    levels = _levels(found)
    low, high = min(levels), max(levels)
    if low <= CUT_FROM * high or low == high:
        return 0, max(high, 1)
    return low - STUB * (high - low), high


def _levels(found: Why) -> list[int]:
    levels = [found.before_total]
    for part in found.parts:
        levels.append(levels[-1] + part.nano_usd)
    return levels


def _steps(found: Why, bounds: tuple[float, float]) -> list[Step]:
    levels = _levels(found)
    steps = [_total(pgettext("explorer", "Before"), found.before_days, found.before_total, bounds)]
    for part, level in zip(found.parts, levels, strict=False):
        left, right = sorted((level, level + part.nano_usd))
        x, width = _percent(left, bounds), _percent(right, bounds) - _percent(left, bounds)
        steps.append(
            Step(
                name=sentences.cause_name(part.kind),
                sentence=sentences.of_part(part, found),
                text=formats.signed_money(part.nano_usd),
                tone="up" if part.nano_usd > 0 else "down" if part.nano_usd else "none",
                x=f"{min(x, 100 - SLIVER):.2f}%",
                width=f"{max(width, SLIVER) if part.nano_usd else 0:.2f}%",
                joint=f"{_percent(level + part.nano_usd, bounds):.2f}%",
            )
        )
    return [*steps, _total(pgettext("explorer", "After"), found.after_days, found.after_total, bounds)]


def _total(name: str, days: tuple[date, date], nano_usd: int, bounds: tuple[float, float]) -> Step:
    end = f"{_percent(nano_usd, bounds):.2f}%"
    return Step(name, words.days_name(*days), formats.money(nano_usd), "total", "0%", end, end, is_total=True)


def _percent(value: float, bounds: tuple[float, float]) -> float:
    return 100 * (value - bounds[0]) / (bounds[1] - bounds[0])


# Keys and models ----------------------------------------------------------------------------------------------------


def _causes(seen: Look, shares: Sequence[Share], dimension: Dimension) -> list[Mover]:
    """The largest changes first; what is beyond the list is one line."""
    named = [share for share in shares if share.value]
    shown, rest = named[:MOST_KEYS], named[MOST_KEYS:] + [share for share in shares if not share.value]
    known = colours.of(share.value.id for share in shown if share.value) if dimension is Dimension.MODEL else {}
    causes = [_cause(seen, share, dimension, known) for share in shown]
    if rest:
        change = sum(share.change for share in rest)
        causes.append(Mover(gettext("all others"), "", "", formats.signed_money(change), "", ""))
    return causes


def _cause(seen: Look, share: Share, dimension: Dimension, known: dict[str, str]) -> Mover:
    assert share.value
    view = seen.view.filtered(dimension, [share.value.id])
    beside = Dimension.MODEL if dimension is Dimension.KEY else Dimension.PROVIDER
    inside = seen.place.url(replace(view, group=beside, subgroup=None))
    return Mover(
        name=words.value_name(dimension, share.value),
        detail=share.value.detail,
        sentence=sentences.of_share(share),
        text=formats.signed_money(share.change),
        percent=formats.change(share.after.cost_nano_usd, share.before.cost_nano_usd),
        url="" if share.value.id == HIDDEN else inside,
        colour=known.get(share.value.id, "mo") if dimension is Dimension.MODEL else "",
    )


def _without_savings(found: Why) -> str:
    """What it would have cost at the old prices and the old cache rate, where those made it cheaper."""
    saved = sum(part.nano_usd for part in found.parts if part.kind in SAVINGS and part.nano_usd < 0)
    return formats.money(found.after_total - saved) if saved else ""


team_why = in_team(Action.SEE_USAGE)(why)
instance_why = on_instance(why)
