"""The buckets of time of a question: where each begins, and which rows belong to it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from usage.models import QUARTER_S
from usage.reports.explorer.question import Grain, Question
from usage.reports.span import SLOTS_AN_HOUR, day_number, first_of_month, midnight, month_number, slot_of

DAYS_A_WEEK = 7
# 1970-01-01 was a Thursday: days are counted from the Monday before it.
FIRST_MONDAY = -3


@dataclass(frozen=True)
class Periods:
    """Bucket i begins with unit `lows[i]` of the table's time column; rows from `first` up to before `end` are asked
    for, `width` units a group, the groups beginning `offset` units after 0."""

    # "slot", "day" or "month".
    column: str
    starts: list[datetime]
    lows: list[int]
    first: int
    end: int
    width: int = 1
    offset: int = 0

    def place(self, group: int) -> int:
        """In which bucket a group of rows is; `group` is (unit - offset) // width."""
        return bisect_right(self.lows, max(group * self.width + self.offset, self.lows[0])) - 1


def periods_of(question: Question, zone: ZoneInfo, now: datetime) -> Periods:
    """Without the buckets that have not begun."""
    today = now.astimezone(zone).date()
    last = min(question.last_day, today)
    if question.grain is Grain.HOUR:
        return _hours(question.first_day, last, zone, now)
    if question.grain is Grain.DAY:
        return _days(question.first_day, last, zone, lambda day: day)
    if question.grain is Grain.WEEK:
        weeks = _days(question.first_day, last, zone, lambda day: day - timedelta(days=day.weekday()))
        return Periods("day", weeks.starts, weeks.lows, weeks.first, weeks.end, DAYS_A_WEEK, FIRST_MONDAY)
    if _is_whole_months(question, today) and not question.metric.is_percentile:
        return _months(question.first_day, last, zone)
    return _days(question.first_day, last, zone, lambda day: day.replace(day=1))


def aligned(present: Periods, before: Periods, shift: timedelta) -> list[int | None]:
    """For each bucket of `present` the place of the one it is compared with: hours by the clock on the wall, so that a
    day of 23 or 25 hours moves nothing; others one by one."""
    if present.column != "slot":
        return [place if place < len(before.starts) else None for place in range(len(present.starts))]
    places = {(start.replace(tzinfo=None), start.fold): place for place, start in enumerate(before.starts)}
    return [places.get((start.replace(tzinfo=None) - shift, start.fold)) for start in present.starts]


def _days(first: date, last: date, zone: ZoneInfo, start_of: Callable[[date], date]) -> Periods:
    """`start_of` gives the first day of a day's bucket, which may lie before the span."""
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    lows = sorted({day_number(start_of(day)) for day in days})
    starts = [midnight(low, zone) for low in lows]
    return Periods("day", starts, lows, day_number(first), day_number(last) + 1)


def _months(first: date, last: date, zone: ZoneInfo) -> Periods:
    lows = list(range(month_number(first), month_number(last) + 1))
    starts = [midnight(day_number(first_of_month(low)), zone) for low in lows]
    return Periods("month", starts, lows, lows[0] if lows else 0, month_number(last) + 1)


def _hours(first: date, last: date, zone: ZoneInfo, now: datetime) -> Periods:
    """By the zone's clock: some zones are half an hour off, and days have 23 or 25 hours when clocks change."""
    slot, end = slot_of(midnight(day_number(first), zone)), slot_of(midnight(day_number(last) + 1, zone))
    end = min(end, slot_of(now) + 1)
    first_slot, lows, starts = slot, [], []
    while slot < end:
        lows.append(slot)
        starts.append(_moment(slot, zone))
        slot += SLOTS_AN_HOUR
        # Lord Howe Island moves its clocks by half an hour: that bucket is as much longer.
        while _moment(slot, zone).minute:
            slot += 1
    is_even = len({low % SLOTS_AN_HOUR for low in lows}) == 1
    width, offset = (SLOTS_AN_HOUR, lows[0] % SLOTS_AN_HOUR) if is_even else (1, 0)
    return Periods("slot", starts, lows, first_slot, end, width, offset)


def _moment(slot: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(slot * QUARTER_S, UTC).astimezone(zone)


def _is_whole_months(question: Question, today: date) -> bool:
    """The running month is whole up to today: nothing has been recorded after it."""
    ends_whole = question.last_day >= today or (question.last_day + timedelta(days=1)).day == 1
    return question.first_day.day == 1 and ends_whole
