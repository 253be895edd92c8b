"""The questions of OpenAI's Usage and Costs API: sums by bucket of UTC time and by the dimensions asked for.

One query answers a page. Days come from the day tables, hours and anything by service tier from quarter hours (kept
for KEEP_QUARTERS_FOR), minutes from events, of which a page covers at most a day. Buckets are whole: a start or an end
inside a bucket counts the bucket in. Two dimensions are constant: nothing goes through a batch API (`batch` is false),
and buckets know keys but not the caller's own end users (`user_id` is null, and a filter by it matches nothing).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from django.db.models import Count, F, Model, Q, QuerySet, Sum, Value
from django.db.models.functions import TruncMinute

from usage import models
from usage.models import (
    INPUT_CLASSES,
    KEEP_QUARTERS_FOR,
    OUTPUT_CLASSES,
    QUARTER_S,
    WHOLE_INSTANCE,
    DayKeyBucket,
    DayModelBucket,
    Outcome,
    QuarterBucket,
    QuarterModelBucket,
    UsageEvent,
)

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
CLASSES = (*INPUT_CLASSES, *OUTPUT_CLASSES)
SENT_ON = tuple(outcome for outcome in Outcome.values if outcome != Outcome.REFUSED)
# Our column of each dimension that a table can be grouped by.
COLUMNS = {"project_id": "team_id", "api_key_id": "key_id", "model": "model", "service_tier": "service_tier"}
# The second half of a line item, named as the usage answer names the same class.
LINE_ITEMS = {
    "input": "input_tokens",
    "cached": "input_cached_tokens",
    "cache_write": "input_cache_write_tokens",
    "audio_input": "input_audio_tokens",
    "output": "output_tokens",
    "reasoning": "output_reasoning_tokens",
    "audio_output": "output_audio_tokens",
}


class TooOld(Exception):
    """The quarter hours that would answer are gone: the numbers are unknown, not zero."""


@dataclass(frozen=True)
class Question:
    """`start_s` is the start of a bucket, `end_s` the end of one; filters that are None do not filter."""

    start_s: int
    end_s: int
    width_s: int
    group_by: tuple[str, ...] = ()
    team_ids: frozenset[int] | None = None
    key_ids: frozenset[int] | None = None
    models: tuple[str, ...] | None = None
    user_ids: tuple[str, ...] | None = None
    batch: bool | None = None
    line_items: tuple[str, ...] | None = None

    @property
    def starts_s(self) -> range:
        return range(self.start_s, self.end_s, self.width_s)


Row = dict[str, Any]
Results = dict[int, list[Row]]


def usage(question: Question, kind: Literal["completions", "embeddings"], now: datetime) -> Results:
    """Results by start of bucket; a bucket without calls is not there. Raises TooOld.

    A model that the catalogue does not know counts as a chat model.
    """
    embedding_models = models.Model.objects.filter(kind=models.Model.Kind.EMBEDDING).values("name")
    of_kind = Q(model__in=embedding_models)
    columns = _grouped_columns(question)
    rows = _sums(question, columns, of_kind if kind == "embeddings" else ~of_kind, ("calls", *_names("tokens")), now)
    results: Results = defaultdict(list)
    for row in rows:
        if row["calls"]:
            counts = _embedding_counts(row) if kind == "embeddings" else _completion_counts(row)
            dimensions = _dimensions(
                question, row, ("project_id", "user_id", "api_key_id", "model", "batch", "service_tier")
            )
            results[row["start_s"]].append({"object": f"organization.usage.{kind}.result", **counts, **dimensions})
    return results


def costs(question: Question, now: datetime) -> Results:
    """As `usage`; `nano_usd` is null where the price of every call is unknown."""
    by_item = "line_item" in question.group_by or question.line_items is not None
    columns = {*_grouped_columns(question), *(("model",) if by_item else ())}
    wanted = ("calls", "unpriced_calls", "cost_nano_usd", *_names("tokens"), *_names("cost_nano_usd"))
    results: Results = defaultdict(list)
    for row in _sums(question, tuple(sorted(columns)), Q(), wanted, now):
        if row["calls"]:
            lines = _lines(question, row) if by_item else [_whole(row)]
            dimensions = _dimensions(question, row, ("project_id", "user_id", "api_key_id"))
            results[row["start_s"]] += [{**line, **dimensions} for line in lines]
    return {start_s: _merged(lines, question) for start_s, lines in results.items() if lines}


# Answers ------------------------------------------------------------------------------------------------------------


def _completion_counts(row: Row) -> Row:
    """Exclusive classes -> OpenAI's overlapping ones: input = uncached + cached + cache write; audio is in uncached."""
    uncached = row["input_tokens"] + row["audio_input_tokens"]
    return {
        "input_tokens": uncached + row["cached_tokens"] + row["cache_write_tokens"],
        "output_tokens": sum(row[f"{name}_tokens"] for name in OUTPUT_CLASSES),
        "num_model_requests": row["calls"],
        "input_uncached_tokens": uncached,
        "input_cached_tokens": row["cached_tokens"],
        "input_cache_write_tokens": row["cache_write_tokens"],
        "input_audio_tokens": row["audio_input_tokens"],
        "output_audio_tokens": row["audio_output_tokens"],
        # Providers count images in with text, so neither is known by itself.
        "input_text_tokens": None,
        "output_text_tokens": None,
        "input_image_tokens": None,
        "output_image_tokens": None,
    }


def _embedding_counts(row: Row) -> Row:
    return {"input_tokens": sum(row[f"{name}_tokens"] for name in INPUT_CLASSES), "num_model_requests": row["calls"]}


def _dimensions(question: Question, row: Row, names: tuple[str, ...]) -> Row:
    """All of them, null unless grouped by."""
    known = {
        "project_id": f"proj_{row.get('team_id')}",
        "api_key_id": f"key_{row['key_id']}" if row.get("key_id") else None,
        "model": row.get("model"),
        "batch": False,
        # Empty when the provider named none.
        "service_tier": row.get("service_tier") or None,
    }
    return {name: known.get(name) if name in question.group_by else None for name in names}


def _whole(row: Row) -> Row:
    unknown = row["unpriced_calls"] and row["unpriced_calls"] == row["calls"]
    return {"line_item": None, "nano_usd": None if unknown else row["cost_nano_usd"], "quantity": None}


def _lines(question: Question, row: Row) -> Iterator[Row]:
    for name in CLASSES:
        nano_usd, tokens = row[f"{name}_cost_nano_usd"], row[f"{name}_tokens"]
        item = f"{row['model']}, {LINE_ITEMS[name]}"
        if (nano_usd or tokens) and (question.line_items is None or item in question.line_items):
            unknown = not nano_usd and row["unpriced_calls"] == row["calls"]
            yield {"line_item": item, "nano_usd": None if unknown else nano_usd, "quantity": tokens}


def _merged(lines: list[Row], question: Question) -> list[Row]:
    """Line items that were only filtered by are summed again; those grouped by stay as they are."""
    if "line_item" in question.group_by:
        return lines
    sums: dict[tuple[Any, ...], Row] = {}
    for line in lines:
        line = {**line, "line_item": None, "quantity": None}
        key = (line["project_id"], line["api_key_id"])
        if (known := sums.setdefault(key, line)) is not line and line["nano_usd"] is not None:
            known["nano_usd"] = (known["nano_usd"] or 0) + line["nano_usd"]
    return list(sums.values())


# Queries ------------------------------------------------------------------------------------------------------------


def _grouped_columns(question: Question) -> tuple[str, ...]:
    return tuple(column for name, column in COLUMNS.items() if name in question.group_by)


def _names(ending: str) -> tuple[str, ...]:
    return tuple(f"{name}_{ending}" for name in CLASSES)


def _sums(
    question: Question, columns: tuple[str, ...], models_wanted: Q, sums: tuple[str, ...], now: datetime
) -> list[Row]:
    if question.batch or question.user_ids is not None or not question.starts_s:
        return []
    rows = _table(question, columns, now).filter(models_wanted, _filters(question))
    # Aliased, because an aggregate may not have the name of the column it sums.
    totals = {f"sum_{name}": _sum(rows.model, name) for name in sums}
    found = rows.values("bucket", *columns).annotate(**totals).order_by("bucket", *columns)
    return [_read(row, question.width_s) for row in found]


def _read(found: Row, width_s: int) -> Row:
    """PostgreSQL sums big integers to decimals; a sum of nothing but unknown counts is null."""
    row = {name: value for name, value in found.items() if not name.startswith("sum_")}
    row |= {name[4:]: int(value or 0) for name, value in found.items() if name.startswith("sum_")}
    bucket = row.pop("bucket")
    row["start_s"] = int(bucket.timestamp()) if isinstance(bucket, datetime) else bucket * width_s
    return row


def _filters(question: Question) -> Q:
    wanted = Q()
    if question.team_ids is not None:
        wanted &= Q(team_id__in=question.team_ids)
    if question.key_ids is not None:
        wanted &= Q(key_id__in=question.key_ids)
    if question.models is not None:
        wanted &= Q(model__in=question.models)
    return wanted


def _table(question: Question, columns: tuple[str, ...], now: datetime) -> QuerySet[Any]:
    """The narrowest table that knows the dimensions, cut to the span. `bucket` numbers the buckets since 1970."""
    if question.width_s < HOUR_S:
        return _events(question)
    of_keys = "key_id" in columns or question.key_ids is not None
    rows: QuerySet[Any]
    if question.width_s == HOUR_S or "service_tier" in columns:
        of_keys |= "service_tier" in columns
        rows = _quarters(question, now, QuarterBucket if of_keys else QuarterModelBucket)
    else:
        table = DayKeyBucket if of_keys else DayModelBucket
        span = Q(zone="UTC", day__gte=question.start_s // DAY_S, day__lt=question.end_s // DAY_S)
        rows = table.objects.filter(span).annotate(bucket=F("day"))
    if of_keys:
        return rows
    if "team_id" in columns or question.team_ids is not None:
        # With team 0, the whole instance, every call would count twice.
        return rows.filter(team_id__gt=WHOLE_INSTANCE)
    return rows.filter(team_id=WHOLE_INSTANCE)


def _quarters(question: Question, now: datetime, table: Any) -> QuerySet[Any]:
    if question.start_s < (now - KEEP_QUARTERS_FOR).timestamp():
        raise TooOld
    slots = Q(slot__gte=question.start_s // QUARTER_S, slot__lt=question.end_s // QUARTER_S)
    rows: QuerySet[Any] = table.objects.filter(slots).annotate(bucket=F("slot") / Value(question.width_s // QUARTER_S))
    return rows


def _events(question: Question) -> QuerySet[UsageEvent]:
    events = UsageEvent.objects.filter(*started_between(question.start_s, question.end_s))
    return events.annotate(bucket=TruncMinute("started_at", tzinfo=UTC), model=F("served_model"))


def started_between(start_s: int, end_s: int) -> tuple[Q, Q]:
    """Events are found by the time in their ids, which may be a moment off `started_at`; that has no index."""
    near = Q(id__gte=first_id(start_s - MINUTE_S), id__lt=first_id(end_s + MINUTE_S))
    start, end = datetime.fromtimestamp(start_s, UTC), datetime.fromtimestamp(end_s, UTC)
    return near, Q(started_at__gte=start, started_at__lt=end)


def first_id(moment_s: int) -> UUID:
    """The smallest UUIDv7 of that second."""
    return UUID(int=max(0, moment_s) * 1000 << 80)


def _sum(table: type[Model], name: str) -> Any:
    if name != "calls":
        return Sum(name)
    if table is UsageEvent:
        return Count("id", filter=Q(outcome__in=SENT_ON))
    calls = [F(f"{outcome}_calls") for outcome in SENT_ON]
    return Sum(sum(calls[1:], calls[0]))
