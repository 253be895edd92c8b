"""A team's calendar: another time zone, and the days of the past counted again by it.

Days cannot be moved from one zone to another, so they are counted again from the events, a local month at a time. From
the moment the change is wanted the ledger adds every new event to the days of both zones; a month is deleted and
counted inside one transaction that keeps the ledger out, so each event is in it exactly once, however late it came.
Pages go over to the new zone when all months are there. Killed half-way, it is simply done again.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from accounts import audit
from accounts.models import Team, User, check_time_zone
from usage import ledger
from usage.models import (
    ANY,
    BINS_AN_OCTAVE,
    FIRST_BIN,
    LAST_BIN,
    MEASURES,
    DayKeyBucket,
    DayModelBucket,
    LatencyBins,
    LatencyBucket,
    LatencyKeyBucket,
    MonthKeyBucket,
    UsageEvent,
)

logger = logging.getLogger(__name__)

EVENTS = UsageEvent._meta.db_table
DAY_S = 86_400
TABLES: tuple[Any, ...] = (DayKeyBucket, DayModelBucket, MonthKeyBucket, LatencyBucket, LatencyKeyBucket)
# The columns that a table has besides zone and team, as the events call them.
DIMENSIONS: dict[Any, dict[str, str]] = {
    DayKeyBucket: {"key_id": "COALESCE(key_id, 0)", "model": "served_model", "provider": "provider"},
    DayModelBucket: {"model": "served_model", "provider": "provider"},
    MonthKeyBucket: {"key_id": "COALESCE(key_id, 0)", "model": "served_model", "provider": "provider"},
    LatencyBucket: {"model": "served_model", "provider": "provider"},
    LatencyKeyBucket: {"key_id": "COALESCE(key_id, 0)"},
}


@transaction.atomic
def change(actor: User, team: Team, zone_name: str) -> None:
    """Wanted from now on; `recount_all` does it. Harmless when sent twice. Raises ValidationError."""
    check_time_zone(zone_name)
    team = Team.objects.select_for_update().get(pk=team.pk)
    wanted = "" if zone_name == team.time_zone else zone_name
    if wanted != team.next_time_zone:
        team.next_time_zone = wanted
        team.save(update_fields=["next_time_zone"])
        audit.record(actor, "team.time_zone", team, team, old=team.time_zone, new=zone_name)


def recount_all() -> int:
    """Every team that waits for its new zone; how many there were."""
    waiting = list(Team.objects.exclude(next_time_zone=""))
    for team in waiting:
        recount(team)
    return len(waiting)


def recount(team: Team) -> None:
    """Count the team's past by its next zone, then go over to it."""
    zone = team.next_time_zone
    for first, following in _months(team, zone):
        with transaction.atomic():
            _keep_the_ledger_out()
            _count_month(team.pk, zone, first, following)
    with transaction.atomic():
        # Somebody may have chosen again meanwhile: then there is another turn.
        if not Team.objects.filter(pk=team.pk, next_time_zone=zone).exists():
            return
        team.refresh_from_db()
        team.time_zone, team.next_time_zone = zone, ""
        team.save(update_fields=["time_zone", "next_time_zone"])
        for table in TABLES:
            table.objects.filter(team_id=team.pk).exclude(zone__in=("UTC", zone)).delete()
    logger.info("Team %s: days are those of %s", team.pk, zone)


def _months(team: Team, zone: str) -> Iterator[tuple[date, date]]:
    """The local months that hold events, and the first day after each. UTC is always counted."""
    ids = UsageEvent.objects.filter(team=team).order_by("id").values_list("id", flat=True)
    oldest, newest = ids.first(), ids.last()
    if zone == "UTC" or oldest is None or newest is None:
        return
    first, last = (_started(id_).astimezone(ZoneInfo(zone)).date() for id_ in (oldest, newest))
    month = first.replace(day=1)
    # The present month too: it is only half counted by the ledger.
    while month <= last:
        following = (month + timedelta(days=32)).replace(day=1)
        yield month, following
        month = following


def _started(event_id: Any) -> datetime:
    """The time in a UUIDv7."""
    return datetime.fromtimestamp((event_id.int >> 80) / 1000, UTC)


def _keep_the_ledger_out() -> None:
    """Until the end of the transaction. SQLite's are IMMEDIATE: nobody else writes meanwhile."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {EVENTS} IN SHARE ROW EXCLUSIVE MODE")


def _count_month(team_id: int, zone: str, first: date, following: date) -> None:
    days = {"day__gte": first.toordinal() - ledger.EPOCH_DAY, "day__lt": following.toordinal() - ledger.EPOCH_DAY}
    month = {"month": first.year * 12 + first.month - 1}
    for table in TABLES:
        there = table.objects.filter(zone=zone, team_id=team_id, **(month if table is MonthKeyBucket else days))
        there.delete()
    for begin_s, end_s, offset_s in _stretches(ZoneInfo(zone), first, following):
        day = f"CAST(({_epoch_s()} + {offset_s}) / {DAY_S} AS INTEGER)"
        within = (team_id, *_id_range(begin_s, end_s))
        for table in (DayKeyBucket, DayModelBucket):
            _insert(table, zone, {"day": day}, MEASURE_SUMS, within)
        _insert(MonthKeyBucket, zone, {"month": str(month["month"])}, MEASURE_SUMS, within)
        for table in (LatencyBucket, LatencyKeyBucket):
            rows: defaultdict[tuple[Any, ...], list[int]] = defaultdict(ledger.no_bins)
            for kind in LatencyBins.Kind.values:
                _add_bins(rows, table, zone, kind, day, within)
            ledger.upsert(table, rows)


def _stretches(zone: ZoneInfo, first: date, following: date) -> Iterable[tuple[int, int, int]]:
    """(begin, end, offset from UTC) in seconds: the spans of a month in which the clocks are not changed."""
    begin = datetime.combine(first, datetime.min.time(), zone)
    end = datetime.combine(following, datetime.min.time(), zone)
    at_s, end_s = int(begin.timestamp()), int(end.timestamp())
    while at_s < end_s:
        offset_s = _offset_s(zone, at_s)
        until_s = at_s
        # Clocks are changed at quarter hours.
        while until_s < end_s and _offset_s(zone, until_s) == offset_s:
            until_s += 900
        yield at_s, min(until_s, end_s), offset_s
        at_s = until_s


def _offset_s(zone: ZoneInfo, at_s: int) -> int:
    offset = datetime.fromtimestamp(at_s, zone).utcoffset()
    return int(offset.total_seconds()) if offset else 0


def _id_range(begin_s: int, end_s: int) -> tuple[str, str]:
    """The UUIDv7s of a span, as the database compares them: from the first, up to before the second."""
    from_, until = (f"{second * 1000:012x}" + "0" * 20 for second in (begin_s, end_s))
    return from_, until


def _insert(table: Any, zone: str, keys: dict[str, str], sums: dict[str, str], within: tuple[Any, ...]) -> None:
    """Sums of events, added to what an earlier stretch put in the same bucket."""
    named = {"zone": "CAST(%s AS varchar)", "team_id": "team_id", **DIMENSIONS[table], **keys}
    name, conflict = table._meta.db_table, ", ".join(table.KEYS)
    adding = ", ".join(f"{column} = {name}.{column} + excluded.{column}" for column in sums)
    chosen = ", ".join(f"{expression} AS {column}" for column, expression in (named | sums).items())
    groups = ", ".join(str(place) for place in range(2, len(named) + 1))
    statement = (
        f"INSERT INTO {name} ({', '.join(named | sums)}) SELECT {chosen} FROM {EVENTS} "
        f"WHERE team_id = %s AND id >= %s AND id < %s GROUP BY {groups} "
        f"ON CONFLICT ({conflict}) DO UPDATE SET {adding}"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, (zone, *within))


def _add_bins(
    rows: dict[tuple[Any, ...], list[int]], table: Any, zone: str, kind: str, day: str, within: tuple[Any, ...]
) -> None:
    """As the ledger counts them, for `ledger.upsert`."""
    named = {"team_id": "team_id", **DIMENSIONS[table], "day": day, "place": _bin_place(f"{kind}_us")}
    chosen = ", ".join(named.values())
    groups = ", ".join(str(place + 1) for place in range(len(named)))
    statement = (
        f"SELECT {chosen}, COUNT(*) FROM {EVENTS} "
        f"WHERE team_id = %s AND id >= %s AND id < %s AND outcome = 'ok' AND {kind}_us > 0 GROUP BY {groups}"
    )
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            connection.connection.create_function("bin_place", 1, ledger.bin_place, deterministic=True)
        cursor.execute(statement, within)
        for row in cursor.fetchall():
            of = dict(zip((*named, "calls"), row, strict=True)) | {"zone": zone, "kind": kind}
            rows[tuple(of[name] for name in table.KEYS)][of["place"]] += of["calls"]
            if table is LatencyBucket:
                whole = of | {"model": ANY, "provider": ANY}
                rows[tuple(whole[name] for name in table.KEYS)][of["place"]] += of["calls"]


def _epoch_s() -> str:
    if connection.vendor == "postgresql":
        return "FLOOR(EXTRACT(EPOCH FROM started_at))::bigint"
    # Cut before it is read: SQLite rounds to milliseconds, and the last half of one belongs to the day before.
    return "CAST(strftime('%%s', substr(started_at, 1, 19)) AS INTEGER)"


def _bin_place(column: str) -> str:
    """`ledger.bin_place` in SQL: on PostgreSQL by the first microsecond of each bin, because its logarithm rounds."""
    if connection.vendor == "sqlite":
        return f"bin_place({column})"
    starts = ", ".join(str(math.ceil(2 ** (number / BINS_AN_OCTAVE))) for number in range(FIRST_BIN + 1, LAST_BIN + 1))
    return f"width_bucket({column}, ARRAY[{starts}]::bigint[])"


def _measure_sums() -> dict[str, str]:
    """Every measure as the ledger makes it (`ledger.measures_of`), from an event's columns."""
    sums = {name: f"CAST(COALESCE(SUM({name}), 0) AS bigint)" for name in MEASURES}
    for outcome in ("ok", "client_abort", "upstream_error", "interrupted", "refused"):
        sums[f"{outcome}_calls"] = _sum_where(f"outcome = '{outcome}'", "1")
    for outcome in ("client_abort", "upstream_error", "interrupted"):
        sums[f"{outcome}_cost_nano_usd"] = _sum_where(f"outcome = '{outcome}'", "cost_nano_usd")
    for origin in ("counted", "partial"):
        sums[f"{origin}_cost_nano_usd"] = _sum_where(f"origin = '{origin}'", "cost_nano_usd")
    for kind in ("latency", "ttft"):
        timed = f"outcome = 'ok' AND {kind}_us > 0"
        sums[f"{kind}_us"], sums[f"{kind}_calls"] = _sum_where(timed, f"{kind}_us"), _sum_where(timed, "1")
    sums["unpriced_calls"] = _sum_where("cost_nano_usd IS NULL AND outcome <> 'refused'", "1")
    return sums


def _sum_where(condition: str, value: str) -> str:
    return f"CAST(COALESCE(SUM(CASE WHEN {condition} THEN {value} END), 0) AS bigint)"


MEASURE_SUMS = _measure_sums()
