"""Whose usage, and over which time: the two halves of every question."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from accounts.models import Team
from usage.models import QUARTER_S, WHOLE_INSTANCE

EPOCH = date(1970, 1, 1)
SLOTS_AN_HOUR = 3600 // QUARTER_S


@dataclass(frozen=True)
class Scope:
    """A team in its own time zone, or the whole instance in UTC."""

    team_id: int
    zone: ZoneInfo

    @property
    def is_instance(self) -> bool:
        return self.team_id == WHOLE_INSTANCE


INSTANCE = Scope(WHOLE_INSTANCE, ZoneInfo("UTC"))


def scope_of(team: Team | None) -> Scope:
    return Scope(team.pk, team.zone) if team else INSTANCE


class Range(StrEnum):
    """The spans a page offers, as its address names them."""

    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"
    QUARTER = "90d"

    @property
    def days(self) -> int:
        return {"24h": 1, "7d": 7, "30d": 30, "90d": 90}[self.value]


@dataclass(frozen=True)
class Span:
    """`length` steps from `first`, the last of which is still running.

    By day, `first` counts days since 1970-01-01 in the zone's calendar and a step is 1. By hour, it is a quarter-hour
    slot and a step is 4.
    """

    first: int
    length: int
    by_hour: bool
    zone: ZoneInfo

    @property
    def step(self) -> int:
        return SLOTS_AN_HOUR if self.by_hour else 1

    @property
    def column(self) -> str:
        """Of the tables that hold such buckets."""
        return "slot" if self.by_hour else "day"

    @property
    def end(self) -> int:
        """The first bucket after the span."""
        return self.first + self.length * self.step

    @property
    def before(self) -> Span:
        """As long, and just before."""
        return replace(self, first=self.first - self.length * self.step)

    def position(self, bucket: int) -> int:
        return (bucket - self.first) // self.step

    def start_of(self, position: int) -> datetime:
        """In the zone's local time."""
        bucket = self.first + position * self.step
        if self.by_hour:
            return datetime.fromtimestamp(bucket * QUARTER_S, UTC).astimezone(self.zone)
        return midnight(bucket, self.zone)

    def starts(self) -> list[datetime]:
        return [self.start_of(position) for position in range(self.length)]


def span_of(chosen: Range, now: datetime, zone: ZoneInfo) -> Span:
    if chosen is not Range.DAY:
        return Span(day_of(now, zone) - chosen.days + 1, chosen.days, by_hour=False, zone=zone)
    # The hour that is running, by the zone's clock: some zones are half an hour off.
    hour = now.astimezone(zone).replace(minute=0, second=0, microsecond=0)
    return Span(slot_of(hour) - 23 * SLOTS_AN_HOUR, 24, by_hour=True, zone=zone)


def day_of(moment: datetime, zone: ZoneInfo) -> int:
    return (moment.astimezone(zone).date() - EPOCH).days


def date_of(day: int) -> date:
    return EPOCH + timedelta(days=day)


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def month_began(day: int) -> int:
    """The first day of the month that `day` is in, both counted since 1970-01-01."""
    return day - date_of(day).day + 1


def midnight(day: int, zone: ZoneInfo) -> datetime:
    return datetime.combine(date_of(day), datetime.min.time(), zone)


def slot_of(moment: datetime) -> int:
    return int(moment.timestamp()) // QUARTER_S


def month_number(day: date) -> int:
    return day.year * 12 + day.month - 1


def first_of_month(number: int) -> date:
    return date(number // 12, number % 12 + 1, 1)


def same_day(day: date, months: int) -> date:
    """So many months later, or before; in a month that is too short, its last day."""
    last = first_of_month(month_number(day) + months + 1) - timedelta(days=1)
    return last.replace(day=min(day.day, last.day))


def month_shifted(day: date, months: int) -> date:
    """`same_day`, but a month's last day stays the last."""
    is_last = (day + timedelta(days=1)).day == 1
    return first_of_month(month_number(day) + months + 1) - timedelta(days=1) if is_last else same_day(day, months)


def whole_months(first: date, last: date, today: date) -> list[tuple[str, int, int]]:
    """(column, first, end) of the whole months in a span and of the days at its edges, as few as there are. The month
    that is running is whole: nothing has been recorded after today."""
    first_month = month_number(first) + (first.day > 1)
    end_month = month_number(last) + (last >= today or (last + timedelta(days=1)).day == 1)
    if end_month <= first_month:
        return [("day", day_number(first), day_number(last) + 1)]
    parts = [("month", first_month, end_month)]
    first_whole, first_after = first_of_month(first_month), first_of_month(end_month)
    if first < first_whole:
        parts.append(("day", day_number(first), day_number(first_whole)))
    if first_after <= last:
        parts.append(("day", day_number(first_after), day_number(last) + 1))
    return parts
