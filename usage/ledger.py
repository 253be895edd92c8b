"""Spool -> rows and buckets: the only place that writes them, in one transaction, only for rows that were new.

The statements are raw SQL because they are the product's heaviest: COPY on PostgreSQL, `executemany` on SQLite. The
sums are
made here rather than in SQL, so that both databases share one definition of every bucket. Buckets are upserted in key
order: shippers that meet on the same hot rows then wait for each other instead of deadlocking.
"""

from __future__ import annotations

import json
import math
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, models, transaction

from accounts.models import ApiKey, KeySecret, Team
from usage import catalog, frames, pricing
from usage.models import (
    ANY,
    BIN_COLUMNS,
    BINS_AN_OCTAVE,
    FIRST_BIN,
    LAST_BIN,
    MEASURES,
    NO_KEY,
    QUARTER_S,
    WHOLE_INSTANCE,
    DayKeyBucket,
    DayModelBucket,
    LatencyBucket,
    LatencyKeyBucket,
    MinuteBucket,
    MonthKeyBucket,
    QuarterBucket,
    QuarterModelBucket,
    UsageAttempt,
    UsageEvent,
)

# One call that ended, as the spool holds it; what `record` takes.
Entry = frames.Final

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DAY = date(1970, 1, 1).toordinal()
CLASSES = ("input", "cached", "cache_write", "audio_input", "output", "reasoning", "audio_output")
# The id first: Django puts the fields of an abstract parent before those of the model.
EVENT_COLUMNS: tuple[str, ...] = (
    "id",
    *(str(field.column) for field in UsageEvent._meta.concrete_fields if field.column != "id"),
)
ATTEMPT_COLUMNS: tuple[str, ...] = tuple(
    str(field.column) for field in UsageAttempt._meta.concrete_fields if field.column != "id"
)
# What the tables with other sums than MEASURES add up.
SUMS: dict[type[models.Model], tuple[str, ...]] = {
    LatencyBucket: BIN_COLUMNS,
    LatencyKeyBucket: BIN_COLUMNS,
    MinuteBucket: MinuteBucket.SUMS,
}
MEASURE_AT = {name: position for position, name in enumerate(MEASURES)}

type_ = type[models.Model]


def record(entries: Sequence[Entry], prices: catalog.PriceBook | None = None) -> int:
    """Insert what is new, add it to the buckets; how many were new. All or nothing.

    Raises django.db.DataError or IntegrityError for a row that no database would take.
    """
    prices = catalog.price_versions() if prices is None else prices
    bills = {entry.id: bill(entry, prices) for entry in entries}
    with transaction.atomic():
        fresh_ids = _insert_events([_event_row(bills[entry.id]) for entry in _first_of_each(entries)])
        fresh = [entry_bill for id_, entry_bill in bills.items() if id_ in fresh_ids]
        _insert_attempts(fresh, prices)
        for model, rows in _bucket_rows(fresh).items():
            upsert(model, rows)
        _touch_keys(fresh)
    return len(fresh)


@dataclass(slots=True)
class Bill:
    """An entry with its price: what the event row will say."""

    entry: Entry
    started_at: datetime
    price_version_id: int | None
    cost: pricing.Cost | None


def bill(entry: Entry, prices: catalog.PriceBook) -> Bill:
    """Price one entry by the version in force when it started."""
    started_at = EPOCH + timedelta(microseconds=entry.started_us)
    version_id, cost = _price(entry, entry.service_tier, started_at, prices)
    return Bill(entry, started_at, version_id, cost)


def _price(
    used: Entry | frames.Attempt, service_tier: str, started_at: datetime, prices: catalog.PriceBook
) -> tuple[int | None, pricing.Cost | None]:
    found = prices.find(used.price_book, used.upstream_model, service_tier, started_at)
    if found is None:
        return None, None
    version_id, price_list = found
    counts = pricing.Tokens(*(count or 0 for count in used.tokens))
    return version_id, pricing.cost(counts, price_list)


def _first_of_each(entries: Iterable[Entry]) -> list[Entry]:
    return list({entry.id: entry for entry in entries}.values())


# Rows ---------------------------------------------------------------------------------------------------------------


def _event_row(billed: Bill) -> tuple[Any, ...]:
    entry = billed.entry
    values = {
        "id": uuid.UUID(bytes=entry.id),
        "started_at": billed.started_at,
        "team_id": entry.team_id,
        "key_id": entry.key_id or None,
        "end_user": entry.end_user,
        "endpoint": entry.endpoint,
        "requested_model": entry.requested_model,
        "served_model": entry.served_model,
        "upstream_model": entry.reported_model or entry.upstream_model,
        "provider": entry.provider,
        "streamed": entry.streamed,
        "status": entry.status,
        "outcome": entry.outcome,
        "error_code": entry.error_code,
        "finish_reason": entry.finish_reason,
        "service_tier": entry.service_tier,
        "latency_us": entry.latency_us,
        "ttft_us": entry.ttft_us,
        "sdk_retry_count": entry.sdk_retry_count,
        "client_request_id": entry.client_request_id,
        "upstream_request_id": entry.upstream_request_id,
        "metadata": json.dumps(entry.metadata),
        "refusal": None if entry.refusal is None else json.dumps(entry.refusal),
        **_usage_columns(entry, billed.price_version_id, billed.cost),
    }
    return tuple(values[column] for column in EVENT_COLUMNS)


def _usage_columns(used: Entry | frames.Attempt, version_id: int | None, cost: pricing.Cost | None) -> dict[str, Any]:
    """Tokens and cost by class. A class whose count is unknown has no known cost either."""
    columns: dict[str, Any] = {"origin": used.origin, "price_version_id": version_id}
    for name, count in zip(CLASSES, used.tokens, strict=True):
        columns[f"{name}_tokens"] = count
        known = cost is not None and count is not None
        columns[f"{name}_cost_nano_usd"] = getattr(cost, name) if known else None
    columns["cost_nano_usd"] = _total(used, cost)
    return columns


def _total(used: Entry | frames.Attempt, cost: pricing.Cost | None) -> int | None:
    """Unknown counts cost an unknown amount; no tokens cost nothing, priced or not."""
    if all(count is None for count in used.tokens):
        return None
    if not any(used.tokens):
        return 0
    return cost.total if cost is not None else None


def _attempt_rows(billed: Bill, prices: catalog.PriceBook) -> Iterable[tuple[Any, ...]]:
    for position, attempt in enumerate(billed.entry.attempts):
        version_id, cost = _price(attempt, billed.entry.service_tier, billed.started_at, prices)
        values = {
            "event_id": uuid.UUID(bytes=billed.entry.id),
            "position": position,
            "model": attempt.model,
            "provider": attempt.provider,
            "status": attempt.status,
            "error_code": attempt.error_code,
            "latency_us": attempt.latency_us,
            "upstream_request_id": attempt.upstream_request_id,
            **_usage_columns(attempt, version_id, cost),
        }
        yield tuple(values[column] for column in ATTEMPT_COLUMNS)


# Buckets ------------------------------------------------------------------------------------------------------------


def _bucket_rows(billed: Sequence[Bill]) -> dict[type_, dict[tuple[Any, ...], list[int]]]:
    """What the new events add to each bucket table: key columns -> measures."""
    tables: dict[type_, dict[tuple[Any, ...], list[int]]] = {
        QuarterBucket: {},
        QuarterModelBucket: {},
        DayKeyBucket: {},
        DayModelBucket: {},
        MonthKeyBucket: {},
        LatencyBucket: defaultdict(no_bins),
        LatencyKeyBucket: defaultdict(no_bins),
        MinuteBucket: {},
    }
    zones = _zones_of({item.entry.team_id for item in billed})
    for item in billed:
        _add_to_buckets(tables, item, zones.get(item.entry.team_id, ("UTC",)))
    return tables


def _add_to_buckets(tables: dict[type_, dict[tuple[Any, ...], list[int]]], item: Bill, zones: tuple[str, ...]) -> None:
    entry, measures = item.entry, measures_of(item)
    team_id, key_id, model, provider = entry.team_id, entry.key_id or NO_KEY, entry.served_model, entry.provider
    slot = entry.started_us // (QUARTER_S * 1_000_000)
    _add(tables[QuarterBucket], (slot, team_id, key_id, model, provider, entry.service_tier), measures)
    for team in (team_id, WHOLE_INSTANCE):
        _add(tables[QuarterModelBucket], (team, slot, model, provider), measures)
    _add(tables[MinuteBucket], (entry.started_us // 60_000_000, team_id, key_id), _minute_measures(entry))
    durations = [
        (kind, bin_place(us))
        for kind, us in (("latency", entry.latency_us), ("ttft", entry.ttft_us))
        if us and entry.outcome == "ok"
    ]
    for zone in zones:
        day, month = local_day(item.started_at, zone)
        _add(tables[DayKeyBucket], (zone, team_id, key_id, day, model, provider), measures)
        _add(tables[MonthKeyBucket], (zone, month, team_id, key_id, model, provider), measures)
        for kind, place in durations:
            tables[LatencyKeyBucket][zone, team_id, kind, key_id, day][place] += 1
        teams = (team_id, WHOLE_INSTANCE) if zone == "UTC" else (team_id,)
        for team in teams:
            _add(tables[DayModelBucket], (zone, team, day, model, provider), measures)
            for kind, place in durations:
                tables[LatencyBucket][zone, team, kind, model, day, provider][place] += 1
                tables[LatencyBucket][zone, team, kind, ANY, day, ANY][place] += 1


def _minute_measures(entry: Entry) -> list[int]:
    """In the order of MinuteBucket.SUMS. Tokens count in the minute in which their call began."""
    was_refused = entry.outcome == "refused"
    return [int(not was_refused), int(was_refused), sum(count or 0 for count in entry.tokens), entry.latency_us or 0]


def measures_of(item: Bill) -> list[int]:
    """One event's share in every bucket, in the order of MEASURES."""
    entry, cost = item.entry, item.cost
    measures = [0] * len(MEASURES)
    measures[MEASURE_AT[f"{entry.outcome}_calls"]] = 1
    for name, duration_us in (("latency", entry.latency_us), ("ttft", entry.ttft_us)):
        if duration_us and entry.outcome == "ok":
            measures[MEASURE_AT[f"{name}_us"]], measures[MEASURE_AT[f"{name}_calls"]] = duration_us, 1
    for name, count in zip(CLASSES, entry.tokens, strict=True):
        measures[MEASURE_AT[f"{name}_tokens"]] = count or 0
    total = _total(entry, cost)
    if cost is None or not total:
        # A refused call was never sent on: it has no cost at all, which is not the same as an unknown one.
        measures[MEASURE_AT["unpriced_calls"]] = int(total is None and entry.outcome != "refused")
        return measures
    for name, count in zip(CLASSES, entry.tokens, strict=True):
        measures[MEASURE_AT[f"{name}_cost_nano_usd"]] = getattr(cost, name) if count is not None else 0
    measures[MEASURE_AT["cost_nano_usd"]] = total
    if entry.origin in ("counted", "partial"):
        measures[MEASURE_AT[f"{entry.origin}_cost_nano_usd"]] = total
    if entry.outcome in ("client_abort", "upstream_error", "interrupted"):
        measures[MEASURE_AT[f"{entry.outcome}_cost_nano_usd"]] = total
    return measures


def bin_place(duration_us: int) -> int:
    """Where in BIN_COLUMNS a duration is counted."""
    return min(max(math.floor(BINS_AN_OCTAVE * math.log2(duration_us)), FIRST_BIN), LAST_BIN) - FIRST_BIN


def no_bins() -> list[int]:
    return [0] * len(BIN_COLUMNS)


def local_day(moment: datetime, zone: str) -> tuple[int, int]:
    """Days since 1970-01-01, and months (year * 12 + month - 1), on the zone's own calendar."""
    local = moment if zone == "UTC" else moment.astimezone(ZoneInfo(zone))
    return local.toordinal() - EPOCH_DAY, local.year * 12 + local.month - 1


def _zones_of(team_ids: set[int]) -> dict[int, tuple[str, ...]]:
    """Each team's own zone, the one it is changing to, and UTC, which the OpenAI-shaped reports need."""
    named = Team.objects.filter(pk__in=team_ids).values_list("pk", "time_zone", "next_time_zone")
    return {team_id: tuple(dict.fromkeys(("UTC", *filter(None, zones)))) for team_id, *zones in named}


def _add(table: dict[tuple[Any, ...], list[int]], key: tuple[Any, ...], measures: list[int]) -> None:
    present = table.get(key)
    table[key] = measures if present is None else [have + more for have, more in zip(present, measures, strict=True)]


# Statements ---------------------------------------------------------------------------------------------------------


def _insert_events(rows: list[tuple[Any, ...]]) -> set[bytes]:
    """Insert the rows whose id is not there yet; the ids of those."""
    if connection.vendor == "postgresql":
        return _insert_events_postgresql(rows)
    return _insert_events_sqlite(rows)


def _insert_events_postgresql(rows: list[tuple[Any, ...]]) -> set[bytes]:
    table, columns = UsageEvent._meta.db_table, _quoted(EVENT_COLUMNS)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS new_events (LIKE {table}) ON COMMIT DELETE ROWS")
        # Of an earlier batch in the same transaction.
        cursor.execute("DELETE FROM new_events")
        # Django wraps the errors of all statements but this one: a row that is refused must raise its DataError.
        with connection.wrap_database_errors, cursor.copy(f"COPY new_events ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(
            f"INSERT INTO {table} ({columns}) SELECT {columns} FROM new_events ORDER BY id "
            "ON CONFLICT DO NOTHING RETURNING id"
        )
        return {row[0].bytes for row in cursor.fetchall()}


def _insert_events_sqlite(rows: list[tuple[Any, ...]]) -> set[bytes]:
    table = UsageEvent._meta.db_table
    adapted = [_for_sqlite(row) for row in rows]
    ids = {row[0].bytes for row in rows}
    with connection.cursor() as cursor:
        # The transaction is IMMEDIATE: nobody can insert between this look and the insert below.
        there: set[bytes] = set()
        wanted = [id_.hex() for id_ in ids]
        for start in range(0, len(wanted), 500):
            some = wanted[start : start + 500]
            cursor.execute(f"SELECT id FROM {table} WHERE id IN ({_marks(some)})", some)
            there.update(bytes.fromhex(row[0]) for row in cursor.fetchall())
        fresh = [row for row in adapted if bytes.fromhex(row[0]) not in there]
        cursor.executemany(f"INSERT INTO {table} ({_quoted(EVENT_COLUMNS)}) VALUES ({_marks(EVENT_COLUMNS)})", fresh)
    return ids - there


def _insert_attempts(billed: Sequence[Bill], prices: catalog.PriceBook) -> None:
    rows = [row for item in billed if item.entry.attempts for row in _attempt_rows(item, prices)]
    if not rows:
        return
    adapted = [_for_sqlite(row) for row in rows] if connection.vendor == "sqlite" else rows
    table, columns = UsageAttempt._meta.db_table, _quoted(ATTEMPT_COLUMNS)
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({_marks(ATTEMPT_COLUMNS)})", adapted)


def upsert(model: type_, rows: dict[tuple[Any, ...], list[int]]) -> None:
    """Add the sums to the rows of a bucket table: its KEYS -> what its other columns grow by."""
    if not rows:
        return
    keys: tuple[str, ...] = model.KEYS  # type: ignore[attr-defined]
    sums, table = SUMS.get(model, MEASURES), model._meta.db_table
    ordered = sorted(rows)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            columns = _quoted((*keys, *sums))
            cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS new_{table} (LIKE {table}) ON COMMIT DELETE ROWS")
            cursor.execute(f"DELETE FROM new_{table}")
            with connection.wrap_database_errors, cursor.copy(f"COPY new_{table} ({columns}) FROM STDIN") as copy:
                for key in ordered:
                    copy.write_row((*key, *rows[key]))
            chosen = f"SELECT {columns} FROM new_{table} ORDER BY {_quoted(keys)}"
            cursor.execute(f"INSERT INTO {table} ({columns}) {chosen} {_adding(table, keys, sums)}")
        elif sums is BIN_COLUMNS:
            # A call is in one bin of many: a statement a bin binds six values, not ninety.
            for place, column in enumerate(sums):
                if some := [(*key, calls) for key in ordered if (calls := rows[key][place])]:
                    cursor.executemany(_insert_or_add(table, keys, (column,)), some)
        else:
            cursor.executemany(_insert_or_add(table, keys, sums), [(*key, *rows[key]) for key in ordered])


def _insert_or_add(table: str, keys: tuple[str, ...], sums: tuple[str, ...]) -> str:
    columns = (*keys, *sums)
    return f"INSERT INTO {table} ({_quoted(columns)}) VALUES ({_marks(columns)}) {_adding(table, keys, sums)}"


def _adding(table: str, keys: tuple[str, ...], sums: tuple[str, ...]) -> str:
    adding = ", ".join(f'"{name}" = "{table}"."{name}" + excluded."{name}"' for name in sums)
    return f"ON CONFLICT ({_quoted(keys)}) DO UPDATE SET {adding}"


def _touch_keys(billed: Sequence[Bill]) -> None:
    """When each key and each secret was last used. Not through save(): the gateway need not hear of it."""
    keys: dict[int, datetime] = {}
    key_secrets: dict[int, datetime] = {}
    for item in billed:
        for latest, row_id in ((keys, item.entry.key_id), (key_secrets, item.entry.secret_id)):
            latest[row_id] = max(latest.get(row_id, EPOCH), item.started_at)
    for rows, latest in ((ApiKey.objects, keys), (KeySecret.objects, key_secrets)):
        for row_id, used_at in sorted(latest.items()):
            if row_id:
                rows.filter(pk=row_id).exclude(last_used_at__gt=used_at).update(last_used_at=used_at)


def _for_sqlite(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """UUIDs and datetimes as Django's SQLite backend stores them."""
    return tuple(
        value.hex
        if isinstance(value, uuid.UUID)
        else value.strftime("%Y-%m-%d %H:%M:%S.%f")
        if isinstance(value, datetime)
        else value
        for value in row
    )


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _marks(names: Sequence[object]) -> str:
    return ", ".join(["%s"] * len(names))
