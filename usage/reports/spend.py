"""What a span cost and used: by model over time, by origin of the count, and who spent most."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Case, F, IntegerField, Q, QuerySet, When
from django.db.models import Value as Constant

from accounts.models import ApiKey, Team
from usage.models import NO_KEY, DayKeyBucket, DayModelBucket, MonthKeyBucket, QuarterBucket, QuarterModelBucket
from usage.reports import measures
from usage.reports.span import Scope, Span, date_of, whole_months

MOST_LEADERS = 5


@dataclass
class Series:
    """One model, key or team over a span, beside its sums in the span before."""

    name: str
    cost_nano_usd: list[int]
    tokens: list[int]
    calls: int = 0
    cost_before_nano_usd: int = 0
    tokens_before: int = 0
    url_id: int = 0
    detail: str = ""

    @property
    def cost(self) -> int:
        return sum(self.cost_nano_usd)

    @property
    def token_sum(self) -> int:
        return sum(self.tokens)


@dataclass
class Origins:
    """Where the counts behind the cost come from."""

    cost_nano_usd: int = 0
    counted_nano_usd: int = 0
    partial_nano_usd: int = 0
    unpriced_calls: int = 0
    calls: int = 0

    @property
    def reported_nano_usd(self) -> int:
        return self.cost_nano_usd - self.counted_nano_usd - self.partial_nano_usd


@dataclass
class Breakdown:
    """A span by model, the dearest first."""

    span: Span
    series: list[Series] = field(default_factory=list)
    origins: Origins = field(default_factory=Origins)
    cost_before_nano_usd: int = 0
    tokens_before: int = 0

    @property
    def cost(self) -> int:
        return self.origins.cost_nano_usd

    @property
    def token_sum(self) -> int:
        return sum(series.token_sum for series in self.series)


def by_model(scope: Scope, span: Span) -> Breakdown:
    """One query over the span and the span before it."""
    breakdown = Breakdown(span)
    found: dict[str, Series] = {}
    for row in _model_rows(scope, span):
        series = found.setdefault(row["model"], _empty_series(row["model"], span))
        if row["bucket"] < span.first:
            series.cost_before_nano_usd += int(row["cost"])
            series.tokens_before += int(row["tokens"])
            breakdown.cost_before_nano_usd += int(row["cost"])
            breakdown.tokens_before += int(row["tokens"])
        else:
            _add(series, span, row)
            _add_origins(breakdown.origins, row)
    breakdown.series = sorted(found.values(), key=lambda series: (-series.cost, -series.token_sum, series.name))
    return breakdown


def top_keys(scope: Scope, span: Span, owner_id: int | None = None) -> list[Series]:
    """The keys of a team that spent most; with `owner_id`, of those that user created. Two or three queries."""
    wanted = Q(team_id=scope.team_id, key_id__gt=NO_KEY)
    if owner_id is not None:
        own = ApiKey.objects.filter(team_id=scope.team_id, created_by=owner_id).values("pk")
        wanted &= Q(key_id__in=own)
    parts = [part.filter(wanted) for part in _key_parts(scope, span)]
    leaders = _leaders(parts, _by_key(span).filter(wanted), scope, span)
    keys = ApiKey.objects.prefetch_related("secrets").in_bulk([leader.url_id for leader in leaders])
    for leader in leaders:
        key = keys.get(leader.url_id)
        leader.name, leader.detail = (key.name, key.redacted) if key else (leader.name, "")
    return leaders


def top_teams(scope: Scope, span: Span) -> list[Series]:
    """The teams of the instance that spent most."""
    teams = Team.objects.in_bulk()
    # By their ids, for SQLite to find the span of each: it would look through all time for any id above 0.
    rows = _by_model(span).filter(team_id__in=teams)
    present = _between(rows, scope, span.column, span.first, span.end)
    leaders = _leaders([present], rows, scope, span, "team_id")
    for leader in leaders:
        leader.name = teams[leader.url_id].name
    return leaders


def _model_rows(scope: Scope, span: Span) -> Any:
    return (
        _in_span(_by_model(span).filter(team_id=scope.team_id), scope, span)
        .values("bucket", "model")
        .annotate(
            cost=measures.COST,
            tokens=measures.TOKENS,
            calls=measures.CALLS,
            counted=measures.COUNTED,
            partial=measures.PARTIAL,
            unpriced=measures.UNPRICED,
        )
    )


def _key_parts(scope: Scope, span: Span) -> list[QuerySet[Any]]:
    """The span in as few rows as have keys."""
    if span.by_hour:
        return [_between(_by_key(span), scope, span.column, span.first, span.end)]
    last = date_of(span.end - 1)
    return [
        _between((MonthKeyBucket if column == "month" else DayKeyBucket).objects.all(), scope, column, first, end)
        for column, first, end in whole_months(date_of(span.first), last, last)
    ]


def _by_model(span: Span) -> QuerySet[Any]:
    return QuarterModelBucket.objects.all() if span.by_hour else DayModelBucket.objects.all()


def _by_key(span: Span) -> QuerySet[Any]:
    return QuarterBucket.objects.all() if span.by_hour else DayKeyBucket.objects.all()


def _between(rows: QuerySet[Any], scope: Scope, column: str, first: int, end: int) -> QuerySet[Any]:
    zone = {} if column == "slot" else {"zone": scope.zone.key}
    return rows.filter(**zone, **{f"{column}__gte": first, f"{column}__lt": end}).order_by()


def _in_span(rows: QuerySet[Any], scope: Scope, span: Span) -> QuerySet[Any]:
    """The rows of the span and the span before; `bucket` is the first unit of the step that they are in, and for all
    of the span before the first of it."""
    column, first = span.column, span.before.first
    step = (F(column) - first) / span.step * span.step + first
    before = When(**{f"{column}__lt": span.first}, then=Constant(first))
    rows = _between(rows, scope, column, first, span.end)
    named: QuerySet[Any] = rows.annotate(bucket=Case(before, default=step, output_field=IntegerField()))
    return named


def _leaders(
    parts: Sequence[QuerySet[Any]], rows: QuerySet[Any], scope: Scope, span: Span, by: str = "key_id"
) -> list[Series]:
    """First who they are, by the parts of the span, then only their rows: a team may have 500 keys."""
    ids = _ranked(parts, by)[:MOST_LEADERS]
    found = {row_id: _empty_series(f"#{row_id}", span, row_id) for row_id in ids}
    sums = _in_span(rows.filter(**{f"{by}__in": ids}), scope, span).values("bucket", by)
    for row in sums.annotate(cost=measures.COST, tokens=measures.TOKENS, calls=measures.CALLS):
        if row["bucket"] < span.first:
            found[row[by]].cost_before_nano_usd += int(row["cost"])
        else:
            _add(found[row[by]], span, row)
    return list(found.values())


def _ranked(parts: Sequence[QuerySet[Any]], by: str) -> list[int]:
    """The dearest first; of those that cost as much, those with more calls."""
    found = [part.values_list(by).annotate(cost=measures.COST, calls=measures.CALLS) for part in parts]
    sums: defaultdict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for row_id, cost, calls in found[0].union(*found[1:], all=True):
        sums[row_id] = sums[row_id][0] - int(cost), sums[row_id][1] - int(calls)
    return sorted(sums, key=lambda row_id: (*sums[row_id], row_id))


def _empty_series(name: str, span: Span, url_id: int = 0) -> Series:
    return Series(name, [0] * span.length, [0] * span.length, url_id=url_id)


def _add(series: Series, span: Span, row: dict[str, Any]) -> None:
    position = span.position(row["bucket"])
    series.cost_nano_usd[position] += int(row["cost"])
    series.tokens[position] += int(row["tokens"])
    series.calls += int(row["calls"])


def _add_origins(origins: Origins, row: dict[str, Any]) -> None:
    origins.cost_nano_usd += int(row["cost"])
    origins.counted_nano_usd += int(row["counted"])
    origins.partial_nano_usd += int(row["partial"])
    origins.unpriced_calls += int(row["unpriced"])
    origins.calls += int(row["calls"])
