"""The last hour against the limits: what the page draws and its table says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext

from accounts.models import Team
from accounts.policy import Standing
from usage import headroom
from usage.dashboard import windows
from usage.dashboard.headroom import lines
from usage.dashboard.headroom.lines import Drawing, Layer
from usage.headroom import LimitName
from usage.reports import minutes, refused
from usage.reports.minutes import AN_HOUR, Hour, Use
from usage.reports.span import scope_of

NAMES: tuple[LimitName, ...] = ("requests", "tokens", "concurrent")
MOST_KEYS = len(windows.TONES)


@dataclass(frozen=True)
class Minute:
    """A line of the table. Concurrency is how many calls ran at once on average."""

    start: datetime
    is_known: bool
    is_running: bool
    calls: int
    tokens: int
    at_once: float
    refused: int


@dataclass(frozen=True)
class Drawn:
    """`legend`: (tone, name) of each part; empty where the reader sees no keys."""

    hour: Hour
    drawings: Mapping[LimitName, Drawing]
    legend: Sequence[tuple[str, str]]
    tones: Mapping[int, str]

    @property
    def has_gaps(self) -> bool:
        return not all(self.hour.known)

    @property
    def has_marks(self) -> bool:
        return any(drawing.marks for drawing in self.drawings.values())

    def minutes(self) -> list[Minute]:
        total, last = self.hour.total, AN_HOUR - 1
        at_once = total.values("concurrent", self.hour.seconds_of_last)
        return [
            Minute(
                start,
                self.hour.known[at],
                at == last,
                total.calls[at],
                total.tokens[at],
                at_once[at],
                total.refused[at],
            )
            for at, start in enumerate(self.hour.starts)
        ]


def of_team(team: Team, standing: Standing, now: datetime) -> Drawn:
    """Three or four queries."""
    scope = scope_of(team)
    hour = minutes.last_hour(scope, now, headroom.up_since())
    names = windows.names_of([use.key_id for use in hour.keys if use.key_id], standing)
    leaders = [use for use in hour.keys if use.key_id in names][:MOST_KEYS]
    tones = {use.key_id or 0: windows.TONES[place] for place, use in enumerate(leaders)}
    marks = refused.by_minute(scope, hour.starts[0])
    limits: dict[LimitName, int | None] = {
        "requests": team.tier.requests_per_minute,
        "tokens": team.tier.tokens_per_minute,
        "concurrent": team.tier.concurrent_requests,
    }
    drawings = {
        name: lines.draw(
            _layers(hour, leaders, names, name), hour.known, limits[name], marks.get(name, {}), hour.starts, scope.zone
        )
        for name in NAMES
    }
    legend = [(tones[use.key_id or 0], names[use.key_id or 0]) for use in leaders]
    if legend and len(hour.keys) > len(leaders):
        legend.append((windows.OTHERS, gettext("other keys")))
    return Drawn(hour, drawings, legend, tones)


def _layers(hour: Hour, leaders: Sequence[Use], names: Mapping[int, str], name: LimitName) -> list[Layer]:
    """The busiest keys from the bottom up, all others on top; one layer for who sees no keys."""
    seconds = hour.seconds_of_last
    total = hour.total.values(name, seconds)
    if not leaders:
        return [Layer(windows.TONES[0], "", total)]
    layers = [
        Layer(windows.TONES[place], names[use.key_id or 0], use.values(name, seconds))
        for place, use in enumerate(leaders)
    ]
    others = [max(0.0, total[at] - sum(layer.values[at] for layer in layers)) for at in range(AN_HOUR)]
    return [*layers, Layer(windows.OTHERS, gettext("other keys"), others)] if any(others) else layers
