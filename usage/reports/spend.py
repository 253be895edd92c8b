"""What a span cost and used: by model over time, by origin of the count, and who spent most."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db.models import Case, F, IntegerField, QuerySet, When
from django.db.models import Value as Constant

from accounts.models import ApiKey, Team
from usage.models import NO_KEY, WHOLE_INSTANCE, DayKeyBucket, DayModelBucket, QuarterBucket, QuarterModelBucket
from usage.reports import measures
from usage.reports.span import Scope, Span

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
    rows = _key_rows(scope, span)
    if owner_id is not None:
        rows = rows.filter(key_id__in=ApiKey.objects.filter(team_id=scope.team_id, created_by=owner_id).values("pk"))
    leaders = _leaders(rows, "key_id", span)
    keys = ApiKey.objects.prefetch_related("secrets").in_bulk([leader.url_id for leader in leaders])
    for leader in leaders:
        key = keys.get(leader.url_id)
        leader.name, leader.detail = (key.name, key.redacted) if key else (leader.name, "")
    return leaders


def top_teams(scope: Scope, span: Span) -> list[Series]:
    """The teams of the instance that spent most."""
    rows = _in_span(_by_model(span).filter(team_id__gt=WHOLE_INSTANCE), scope, span)
    leaders = _leaders(rows, "team_id", span)
    teams = Team.objects.in_bulk([leader.url_id for leader in leaders])
    for leader in leaders:
        leader.name = teams[leader.url_id].name if leader.url_id in teams else leader.name
    return leaders


def _model_rows(scope: Scope, span: Span) -> Any:
    return (
        _in_span(_by_model(span).filter(team_id=scope.team_id), scope, span)
        .order_by()
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


def _key_rows(scope: Scope, span: Span) -> QuerySet[Any]:
    rows: QuerySet[Any] = QuarterBucket.objects.all() if span.by_hour else DayKeyBucket.objects.all()
    return _in_span(rows.filter(team_id=scope.team_id, key_id__gt=NO_KEY), scope, span)


def _by_model(span: Span) -> QuerySet[Any]:
    return QuarterModelBucket.objects.all() if span.by_hour else DayModelBucket.objects.all()


def _in_span(rows: QuerySet[Any], scope: Scope, span: Span) -> QuerySet[Any]:
    """The rows of the span and the span before; `bucket` is the first unit of the step that they are in, and for all
    of the span before the first of it."""
    column, first = span.column, span.before.first
    rows = rows.filter(**{f"{column}__gte": first, f"{column}__lt": span.end})
    if not span.by_hour:
        rows = rows.filter(zone=scope.zone.key)
    step = (F(column) - first) / span.step * span.step + first
    before = When(**{f"{column}__lt": span.first}, then=Constant(first))
    named: QuerySet[Any] = rows.annotate(bucket=Case(before, default=step, output_field=IntegerField()))
    return named


def _leaders(rows: QuerySet[Any], by: str, span: Span) -> list[Series]:
    """First who they are, then only their rows: a team may have 500 keys."""
    present = rows.filter(**{f"{span.column}__gte": span.first})
    ranked = (
        present.order_by().values(by).annotate(cost=measures.COST, calls=measures.CALLS).order_by("-cost", "-calls", by)
    )
    ids = [row[by] for row in ranked[:MOST_LEADERS]]
    found = {row_id: _empty_series(f"#{row_id}", span, row_id) for row_id in ids}
    sums = rows.filter(**{f"{by}__in": ids}).order_by().values("bucket", by)
    for row in sums.annotate(cost=measures.COST, tokens=measures.TOKENS, calls=measures.CALLS):
        if row["bucket"] < span.first:
            found[row[by]].cost_before_nano_usd += int(row["cost"])
        else:
            _add(found[row[by]], span, row)
    return list(found.values())


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
