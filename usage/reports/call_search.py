"""Looks for calls from the newest back, in windows, so that no question blocks a page however rare its answers are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet

from usage.models import UsageEvent
from usage.reports import call_filter, calls, events
from usage.reports.call_filter import CallFilter
from usage.reports.patience import TookTooLongError, at_most
from usage.reports.span import Scope

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# Each as long as the database is quick: the next is only begun when it can be expected to end in time.
WINDOWS = (HOUR, DAY, 7 * DAY, 30 * DAY, 91 * DAY, 365 * DAY)
LONGEST_FIRST = WINDOWS.index(91 * DAY)
# With what else a page needs, a tenth of a second on ten million calls.
MOST_S = 0.04
# What the first window may take, before a shorter one is tried: an old one may come from a slow disk.
FIRST_MOST_S = 1.0
MOST_NEWS = 100
Clock = Callable[[], float]


@dataclass(frozen=True)
class Found:
    """`older_than`: where to go on; None at the end. `looked_back_to` is given when the search stopped for time, with
    older calls still unseen."""

    calls: Sequence[UsageEvent]
    older_than: UUID | None = None
    looked_back_to: datetime | None = None


def search(
    scope: Scope,
    owner_id: int | None,
    wanted: CallFilter,
    count: int,
    older_than: UUID | None = None,
    *,
    clock_s: Clock = time.monotonic,
    most_s: float = MOST_S,
) -> Found:
    """A page of the calls that are wanted, the newest first. One query where an index leads to them."""
    everything = calls.visible(scope, owner_id)
    asked = call_filter.apply(wanted, everything.select_related("key", "team").only(*calls.COLUMNS))
    if older_than is not None:
        asked = asked.filter(id__lt=older_than)
    if not wanted.must_search:
        rows = list(asked[: count + 1])
        return Found(rows[:count], rows[count - 1].id if len(rows) > count else None)
    ids = everything.values_list("id", flat=True)
    newest, oldest = ids.first(), ids.order_by("id").first()
    if newest is None or oldest is None:
        return Found([])
    # Nobody waits for a search through years without calls.
    upper = min(newest, *_upper_ends(wanted, older_than))
    looked_at = call_filter.moment_of(newest) - call_filter.moment_of(upper)
    return _Search(asked, count, clock_s, most_s).run(upper, max(oldest, _lower(wanted)), _first_window(looked_at))


class _Search:
    def __init__(self, asked: QuerySet[UsageEvent], count: int, clock_s: Clock, most_s: float) -> None:
        self.asked, self.count, self.clock_s, self.most_s = asked, count, clock_s, most_s
        self.rows: list[UsageEvent] = []

    def run(self, newest: UUID, oldest: UUID, place: int) -> Found:
        """`place`: with which of the windows to begin."""
        began_s = self.clock_s()
        top = call_filter.moment_of(newest)
        # The first window has no upper end: `older_than` is in the question already.
        ceiling: UUID | None = None
        while True:
            window, following = _window(place), _window(place + 1)
            bottom = _before(top, window)
            floor = call_filter.first_id(bottom)
            window_began_s = self.clock_s()
            try:
                self._look(floor, ceiling, self._patience_s(ceiling, place, window_began_s - began_s))
            except TookTooLongError:
                if ceiling is not None:
                    return Found(self.rows, ceiling, top)
                place -= 1
                continue
            if len(self.rows) > self.count:
                return Found(self.rows[: self.count], self.rows[self.count - 1].id)
            if floor <= oldest:
                return Found(self.rows)
            now_s = self.clock_s()
            expected_s = (now_s - window_began_s) * (following / window)
            if now_s - began_s + expected_s > self.most_s:
                return Found(self.rows, floor, bottom)
            top, ceiling, place = bottom, floor, place + 1

    def _patience_s(self, ceiling: UUID | None, place: int, taken_s: float) -> float | None:
        """What a window may take. Some window has to be seen to its end, or nobody would ever come further back."""
        if ceiling is not None:
            return self.most_s - taken_s
        return FIRST_MOST_S if place else None

    def _look(self, floor: UUID, ceiling: UUID | None, patience_s: float | None) -> None:
        asked = self.asked.filter(id__gte=floor)
        if ceiling is not None:
            asked = asked.filter(id__lt=ceiling)
        with at_most(patience_s) if patience_s is not None else nullcontext():
            self.rows += asked[: self.count + 1 - len(self.rows)]


def _first_window(looked_at: timedelta) -> int:
    """Whoever looks further looks at more than was looked at before, so that a few looks reach any day; no request
    begins with more than LONGEST_FIRST."""
    longer = (place for place, window in enumerate(WINDOWS) if window > looked_at)
    return min(next(longer, LONGEST_FIRST), LONGEST_FIRST)


def _window(place: int) -> timedelta:
    return WINDOWS[min(place, len(WINDOWS) - 1)]


def _before(top: datetime, window: timedelta) -> datetime:
    return max(call_filter.EPOCH, top - window) if top - call_filter.EPOCH > window else call_filter.EPOCH


def _upper_ends(wanted: CallFilter, older_than: UUID | None) -> Iterator[UUID]:
    # Above every id, so that there is always one to compare with.
    yield UUID(int=2**128 - 1)
    if wanted.until is not None:
        yield call_filter.first_id(wanted.until + call_filter.NEAR)
    if older_than is not None:
        yield older_than


def _lower(wanted: CallFilter) -> UUID:
    return call_filter.first_id(wanted.since - call_filter.NEAR) if wanted.since else UUID(int=0)


def newer(scope: Scope, owner_id: int | None, than: UUID) -> int:
    """How many calls were recorded that began after this one; more than MOST_NEWS are not counted."""
    later = calls.visible(scope, owner_id).filter(id__gt=than).values_list("id", flat=True)
    return len(later[:MOST_NEWS])


def chunks(scope: Scope, owner_id: int | None, wanted: CallFilter) -> Iterator[list[events.Record]]:
    """Every call that is wanted, the newest first, in the columns of the export. Each chunk is a query of its own."""
    asked = call_filter.apply(wanted, calls.visible(scope, owner_id)).values(*events.ROW)
    names = events.Names()
    older_than: UUID | None = None
    while True:
        rows = list((asked.filter(id__lt=older_than) if older_than else asked)[: events.CHUNK_ROWS])
        if rows:
            yield events.records(rows, names)
        if len(rows) < events.CHUNK_ROWS:
            return
        older_than = rows[-1]["id"]
