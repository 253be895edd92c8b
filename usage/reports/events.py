"""Events for export, oldest first, in chunks: memory stays the same however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from accounts.models import ApiKey, Team
from usage.models import INPUT_CLASSES, OUTPUT_CLASSES, UsageEvent
from usage.reports import exact
from usage.reports.organization import started_between

CHUNK_ROWS = 2_000
CLASSES = (*INPUT_CLASSES, *OUTPUT_CLASSES)
TOKEN_COLUMNS = tuple(f"{name}_tokens" for name in CLASSES)
COST_COLUMNS = tuple(f"{name}_cost_nano_usd" for name in CLASSES)
# As stored, under the same name.
PLAIN_COLUMNS = (
    "end_user",
    "endpoint",
    "requested_model",
    "served_model",
    "upstream_model",
    "provider",
    "streamed",
    "status",
    "outcome",
    "origin",
    "service_tier",
    "sdk_retry_count",
    "finish_reason",
    "error_code",
    "client_request_id",
    "upstream_request_id",
    "metadata",
    "cost_nano_usd",
)
STORED = ("id", "started_at", "team_id", "key_id", "price_version_id", "latency_us", "ttft_us", *PLAIN_COLUMNS)
# What `records` needs of each row.
ROW = (*STORED, *TOKEN_COLUMNS, *COST_COLUMNS)
# The order of the columns of the export; the first is the answer's `x-request-id`.
COLUMNS = (
    "request_id",
    "started_at",
    "team_id",
    "team",
    "key_id",
    "key",
    "end_user",
    "endpoint",
    "requested_model",
    "served_model",
    "upstream_model",
    "provider",
    "service_tier",
    "streamed",
    "status",
    "outcome",
    "origin",
    *TOKEN_COLUMNS,
    "prompt_tokens",
    "completion_tokens",
    *COST_COLUMNS,
    "cost_nano_usd",
    "cost_usd",
    "price_version",
    "latency_ms",
    "ttft_ms",
    "sdk_retry_count",
    "finish_reason",
    "error_code",
    "client_request_id",
    "upstream_request_id",
    "metadata",
)

Record = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """Start inclusive, end exclusive, in Unix seconds; a filter that is None does not filter. `after`: resume there."""

    start_s: int
    end_s: int
    team_ids: frozenset[int] | None = None
    key_ids: frozenset[int] | None = None
    models: tuple[str, ...] | None = None
    outcomes: tuple[str, ...] | None = None
    after: UUID | None = None


def chunks(wanted: Wanted, size: int = CHUNK_ROWS) -> Iterator[list[Record]]:
    """Each chunk is a query of its own from the last id on: no cursor is held while a slow reader reads."""
    names = Names()
    after = wanted.after
    while True:
        rows = list(_query(wanted, after)[:size])
        if rows:
            yield records(rows, names)
        if len(rows) < size:
            return
        after = rows[-1]["id"]


def records(rows: list[dict[str, Any]], names: Names) -> list[Record]:
    """Rows of ROW by COLUMNS."""
    names.learn(rows)
    return [_record(row, names) for row in rows]


class Names:
    """Names of teams and keys, asked for once. Events outlive both: a name that is gone is unknown."""

    def __init__(self) -> None:
        self.teams: dict[int, str | None] = {}
        self.keys: dict[int, str | None] = {}

    def learn(self, rows: list[Record]) -> None:
        for known, model, column in ((self.teams, Team, "team_id"), (self.keys, ApiKey, "key_id")):
            new = {row[column] for row in rows} - known.keys() - {None}
            if new:
                known.update(dict.fromkeys(new))
                known.update(model._default_manager.filter(pk__in=new).values_list("pk", "name"))


def _query(wanted: Wanted, after: UUID | None) -> Any:
    events = UsageEvent.objects.filter(*started_between(wanted.start_s, wanted.end_s), _filters(wanted))
    if after is not None:
        events = events.filter(id__gt=after)
    return events.order_by("id").values(*ROW)


def _filters(wanted: Wanted) -> Q:
    given = {
        "team_id__in": wanted.team_ids,
        "key_id__in": wanted.key_ids,
        "served_model__in": wanted.models,
        "outcome__in": wanted.outcomes,
    }
    return Q(**{name: values for name, values in given.items() if values is not None})


def _record(row: Record, names: Names) -> Record:
    """By COLUMNS; None is unknown."""
    cost_nano_usd, key_id = row["cost_nano_usd"], row["key_id"]
    made = {
        "request_id": f"req_{row['id'].hex}",
        "started_at": _rfc3339(row["started_at"]),
        "team_id": f"proj_{row['team_id']}",
        "team": names.teams.get(row["team_id"]),
        "key_id": f"key_{key_id}" if key_id else None,
        "key": names.keys.get(key_id),
        "prompt_tokens": _sum(row, INPUT_CLASSES),
        "completion_tokens": _sum(row, OUTPUT_CLASSES),
        "cost_usd": None if cost_nano_usd is None else exact.usd(cost_nano_usd),
        "price_version": row["price_version_id"],
        "latency_ms": _ms(row["latency_us"]),
        "ttft_ms": _ms(row["ttft_us"]),
    }
    return {name: made[name] if name in made else row[name] for name in COLUMNS}


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _sum(row: Record, classes: tuple[str, ...]) -> int | None:
    known = [count for name in classes if (count := row[f"{name}_tokens"]) is not None]
    return sum(known) if known else None


def _ms(duration_us: int | None) -> float | None:
    return None if duration_us is None else duration_us / 1000
