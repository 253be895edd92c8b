"""The last hour of one limit as a drawing: who took how much each minute, against the line of the limit.

Coordinates are a minute wide and, upwards, percent of the drawing; the page stretches them. Pure: no request, no row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from usage.dashboard import formats

# Room above the highest thing drawn.
ABOVE = 1.12
TICK_EVERY_MIN = 10
# A label nearer to the edge than this would be cut off.
EDGE = 3


@dataclass(frozen=True)
class Layer:
    """What one key took each minute; `tone` is the class of its colour."""

    tone: str
    name: str
    values: Sequence[float]


@dataclass(frozen=True)
class Area:
    tone: str
    path: str


@dataclass(frozen=True)
class Tick:
    """`at` is in percent from the left, or from the top."""

    at: str
    label: str


@dataclass(frozen=True)
class Drawing:
    """`areas` lie on each other; `running` is the present minute, which is not over; `marks` are minutes with refusals,
    in percent from the left with how many."""

    length: int
    areas: Sequence[Area]
    running: Sequence[Area]
    line: str
    limit_y: str
    top: float
    y_ticks: Sequence[Tick]
    x_ticks: Sequence[Tick]
    marks: Sequence[tuple[str, int]]


def draw(
    layers: Sequence[Layer],
    known: Sequence[bool],
    limit: int | None,
    refused: Mapping[int, int],
    starts: Sequence[datetime],
    zone: tzinfo,
) -> Drawing:
    """`refused`: position of the minute -> how many."""
    length = len(known)
    sums = [sum(layer.values[at] for layer in layers) for at in range(length)]
    top = _top(max([*sums, float(limit or 0)], default=0.0))
    steps = _stack(layers, length)
    return Drawing(
        length=length,
        areas=[Area(tone, _area(low, high, known[:-1], top)) for tone, low, high in steps],
        running=[Area(tone, _box(length - 1, low[-1], high[-1], top)) for tone, low, high in steps],
        line=_line(sums, known, top),
        limit_y=f"{100 - 100 * limit / top:.2f}%" if limit else "",
        top=top,
        y_ticks=_y_ticks(top),
        x_ticks=_x_ticks(starts, zone),
        marks=[(f"{100 * (at + 0.5) / length:.2f}%", count) for at, count in sorted(refused.items()) if count],
    )


def _stack(layers: Sequence[Layer], length: int) -> list[tuple[str, list[float], list[float]]]:
    """(tone, lower edge, upper edge) of each layer."""
    stacked = []
    below = [0.0] * length
    for layer in layers:
        above = [low + value for low, value in zip(below, layer.values, strict=True)]
        stacked.append((layer.tone, below, above))
        below = above
    return stacked


def _top(highest: float) -> float:
    return highest * ABOVE if highest > 0 else 1.0


def _area(low: Sequence[float], high: Sequence[float], known: Sequence[bool], top: float) -> str:
    """Steps a minute wide; nothing is drawn where nothing is known."""
    return "".join(
        f"M{start} {_y(low[start], top)}"
        + "".join(f"V{_y(high[at], top)}H{at + 1}" for at in range(start, end))
        + "".join(f"V{_y(low[at], top)}H{at}" for at in range(end - 1, start - 1, -1))
        + "Z"
        for start, end in _runs(known)
    )


def _box(at: int, low: float, high: float, top: float) -> str:
    return f"M{at} {_y(low, top)}V{_y(high, top)}H{at + 1}V{_y(low, top)}Z" if high > low else ""


def _line(sums: Sequence[float], known: Sequence[bool], top: float) -> str:
    """The upper edge of it all, to the end of the last minute that is over."""
    return "".join(
        f"M{start} {_y(sums[start], top)}" + "".join(f"V{_y(sums[at], top)}H{at + 1}" for at in range(start, end))
        for start, end in _runs(known[:-1])
    )


def _runs(known: Sequence[bool]) -> list[tuple[int, int]]:
    """(first, end) of each unbroken run of what is known."""
    runs: list[tuple[int, int]] = []
    for at, is_known in enumerate(known):
        if is_known and runs and runs[-1][1] == at:
            runs[-1] = (runs[-1][0], at + 1)
        elif is_known:
            runs.append((at, at + 1))
    return runs


def _y(value: float, top: float) -> str:
    return f"{100 - 100 * value / top:.2f}"


def _y_ticks(top: float) -> list[Tick]:
    """Zero and two or three round numbers."""
    step = next(
        factor * 10.0**power for power in range(-2, 16) for factor in (1, 2, 5) if top / (factor * 10.0**power) <= 3.2
    )
    return [
        Tick(f"{100 - 100 * step * place / top:.2f}%", _amount(step * place)) for place in range(int(top / step) + 1)
    ]


def _amount(value: float) -> str:
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}" if value else formats.count(0)


def _x_ticks(starts: Sequence[datetime], zone: tzinfo) -> list[Tick]:
    ticks = []
    for at, start in enumerate(starts):
        local = start.astimezone(zone)
        if local.minute % TICK_EVERY_MIN == 0 and EDGE <= at <= len(starts) - EDGE:
            ticks.append(Tick(f"{100 * at / len(starts):.2f}%", f"{local:%H:%M}"))
    return ticks
