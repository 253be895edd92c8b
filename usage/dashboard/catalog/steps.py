"""How a price went over time, as steps: the points of a small drawing, scaled, without axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from usage.reports.price_book import Dated, State

WIDTH, HEIGHT = 640, 96
# Where nothing is; the highest price stays below the upper edge.
GROUND, ROOM_ABOVE = HEIGHT - 4, 8
# A list price holds from long before anybody used it.
SHOWN_BEFORE, SHOWN_AFTER = timedelta(days=60), timedelta(days=30)


@dataclass(frozen=True)
class Steps:
    """`lines` are (token class, points); `now_x` is where the present is; `marks` are (x, the version begun there)."""

    lines: list[tuple[str, str]]
    now_x: str
    marks: list[tuple[str, Dated]]
    first: datetime
    last: datetime
    # The highest price, at which the drawing ends.
    top: Decimal
    width: int = WIDTH
    height: int = HEIGHT
    ground: int = GROUND


def steps_of(versions: Sequence[Dated], now: datetime) -> Steps | None:
    """None when there was no step: one price, always."""
    applied = sorted((dated for dated in versions if dated.state is not State.NEVER), key=_starts)
    if len(applied) < 2:
        return None
    first = max(_starts(applied[0]), min(_starts(applied[1]), now) - SHOWN_BEFORE)
    last = max(_starts(applied[-1]), now) + SHOWN_AFTER

    def x(at: datetime) -> float:
        return WIDTH * (min(max(at, first), last) - first) / (last - first)

    top = max([usd for dated in applied for usd in dated.input_and_output() if usd] or [Decimal(1)])
    lines = []
    for place, kind in enumerate(("input", "output")):
        points: list[str] = []
        for dated in applied:
            usd = dated.input_and_output()[place]
            if usd is not None:
                y = f"{GROUND - (GROUND - ROOM_ABOVE) * float(usd / top):.1f}"
                points += [f"{x(_starts(dated)):.1f},{y}", f"{x(dated.until or last):.1f},{y}"]
        if points:
            lines.append((kind, " ".join(points)))
    marks = [(f"{x(_starts(dated)):.1f}", dated) for dated in applied[1:]]
    return Steps(lines, f"{x(now):.1f}", marks, first, last, top)


def _starts(dated: Dated) -> datetime:
    return dated.version.valid_from
