"""The last hour minute by minute: how near a team and each of its keys came to the limits.

A minute without a row is zero use while the gateway ran. It is unknown when it was over before the gateway of this
process began and nobody on the whole instance called in it: then nothing says that a gateway was there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db.models import Sum

from usage.models import MinuteBucket
from usage.reports.span import Scope

MINUTE_S, MINUTE_US = 60, 60_000_000
AN_HOUR = 60
Amounts = list[int]


@dataclass
class Use:
    """One key's last hour, or a team's: a value a minute, the present one last."""

    key_id: int | None = None
    calls: Amounts = field(default_factory=lambda: [0] * AN_HOUR)
    refused: Amounts = field(default_factory=lambda: [0] * AN_HOUR)
    tokens: Amounts = field(default_factory=lambda: [0] * AN_HOUR)
    busy_us: Amounts = field(default_factory=lambda: [0] * AN_HOUR)

    def add(self, at: int, row: Mapping[str, Any]) -> None:
        self.calls[at] += int(row["calls"])
        self.refused[at] += int(row["refused_calls"])
        self.tokens[at] += int(row["tokens"])
        self.busy_us[at] += int(row["busy_us"])

    def values(self, name: str, seconds_of_last: float = MINUTE_S) -> list[float]:
        """By the name of a limit. Concurrency is how many ran at once on average; the present minute is not over."""
        if name == "concurrent":
            ends = [MINUTE_US] * (AN_HOUR - 1) + [max(1, round(seconds_of_last * 1_000_000))]
            return [busy / end for busy, end in zip(self.busy_us, ends, strict=True)]
        return [float(value) for value in (self.calls if name == "requests" else self.tokens)]

    @property
    def call_sum(self) -> int:
        return sum(self.calls)

    @property
    def token_sum(self) -> int:
        return sum(self.tokens)

    @property
    def refused_sum(self) -> int:
        return sum(self.refused)


@dataclass
class Hour:
    """`known` says of each minute whether anything is known of it."""

    starts: Sequence[datetime]
    total: Use
    # The busiest first.
    keys: Sequence[Use]
    known: Sequence[bool]
    seconds_of_last: float


def last_hour(scope: Scope, now: datetime, up_since: datetime | None) -> Hour:
    """Two queries. `up_since`: when the gateway of this process began, if one runs here."""
    last = int(now.timestamp()) // MINUTE_S
    first = last - AN_HOUR + 1
    total, keys = Use(), defaultdict[int, Use](Use)
    for row in _rows(scope, first):
        at = row["minute"] - first
        if at < AN_HOUR:
            total.add(at, row)
            keys[row["key_id"]].add(at, row)
    for key_id, use in keys.items():
        use.key_id = key_id
    return Hour(
        starts=[datetime.fromtimestamp(minute * MINUTE_S, UTC) for minute in range(first, last + 1)],
        total=total,
        keys=sorted(keys.values(), key=lambda use: (-use.token_sum, -use.call_sum, use.key_id or 0)),
        known=_known(first, up_since),
        seconds_of_last=now.timestamp() - last * MINUTE_S,
    )


def busiest_teams(now: datetime) -> dict[int, Use]:
    """Each team's last hour as one sum (in its last value). One query."""
    first = int(now.timestamp()) // MINUTE_S - AN_HOUR + 1
    rows = MinuteBucket.objects.filter(minute__gte=first).order_by().values("team_id")
    found = {}
    sums: Iterable[Mapping[str, Any]] = rows.annotate(**{name: Sum(name) for name in MinuteBucket.SUMS})
    for row in sums:
        found[row["team_id"]] = use = Use()
        use.add(AN_HOUR - 1, row)
    return found


def pulse(scope: Scope, now: datetime) -> str:
    """A word that changes with every recorded call and with each minute. One query, of a few rows."""
    minute = int(now.timestamp()) // MINUTE_S
    recent = MinuteBucket.objects.filter(team_id=scope.team_id, minute__gte=minute - 5)
    sums = recent.aggregate(calls=Sum("calls"), refused=Sum("refused_calls"))
    return f"{minute}-{sums['calls'] or 0}-{sums['refused'] or 0}"


def _rows(scope: Scope, first: int) -> Iterable[Mapping[str, Any]]:
    rows = MinuteBucket.objects.filter(team_id=scope.team_id, minute__gte=first)
    found: Iterable[Mapping[str, Any]] = rows.values("minute", "key_id", *MinuteBucket.SUMS)
    return found


def _known(first: int, up_since: datetime | None) -> list[bool]:
    began = int(up_since.timestamp()) // MINUTE_S if up_since else None
    rows = MinuteBucket.objects.filter(minute__gte=first).order_by()
    seen = set(rows.values_list("minute", flat=True).distinct())
    minutes = range(first, first + AN_HOUR)
    return [minute in seen or (began is not None and minute >= began) for minute in minutes]
