"""Which calls are wanted: every filter of the call log, as one value and as a condition of the database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import add
from typing import NamedTuple
from uuid import UUID

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce

from accounts.models import ApiKey
from usage.models import INPUT_CLASSES, OUTPUT_CLASSES, Outcome, UsageEvent

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Of an id, the bits below its milliseconds.
ID_BITS_A_MS = 80
REQUEST_ID_PREFIX = "req_"
# An exact span is a span of ids and, within its first and last moments, of `started_at`.
NEAR = timedelta(minutes=1)
TOKEN_COLUMNS = tuple(f"{name}_tokens" for name in (*INPUT_CLASSES, *OUTPUT_CLASSES))


class Between(NamedTuple):
    """Both ends count in; None is no end. What is unknown is never between."""

    least: int | None = None
    most: int | None = None

    def __bool__(self) -> bool:
        return self.least is not None or self.most is not None


ANY = Between()


@dataclass(frozen=True)
class CallFilter:
    """All of it must hold. Several values of one kind: any of them. Empty is no filter."""

    # From, inclusive; to, exclusive.
    since: datetime | None = None
    until: datetime | None = None
    key_ids: tuple[int, ...] = ()
    # The model that answered; of a refused call, the one it asked for.
    models: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    # What the caller got.
    statuses: tuple[int, ...] = ()
    endpoints: tuple[str, ...] = ()
    streamed: bool | None = None
    cost_nano_usd: Between = ANY
    latency_us: Between = ANY
    ttft_us: Between = ANY
    tokens: Between = ANY
    end_user: str = ""
    # Ours, the caller's own, or the provider's: exactly.
    some_id: str = ""
    # Who created the key.
    member_ids: tuple[int, ...] = ()
    team_ids: tuple[int, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not any(self._is_given(field.name) for field in fields(self))

    @property
    def must_search(self) -> bool:
        """Whether the database has to look at calls that are not wanted: no index leads to the wanted ones alone."""
        led_to = {"since", "until"} if len(self.key_ids) != 1 else {"since", "until", "key_ids"}
        return any(self._is_given(field.name) for field in fields(self) if field.name not in led_to)

    def _is_given(self, name: str) -> bool:
        value = getattr(self, name)
        return value is not None and value not in ((), "", ANY)


# A call that went well was answered with 200.
FIRST_ERROR_STATUS = 400


def apply(wanted: CallFilter, events: QuerySet[UsageEvent]) -> QuerySet[UsageEvent]:
    """What is in the span is found by the time in the id, which is the order of the primary key."""
    if wanted.since is not None:
        events = events.filter(id__gte=first_id(wanted.since - NEAR), started_at__gte=wanted.since)
    if wanted.until is not None:
        events = events.filter(id__lt=first_id(wanted.until + NEAR), started_at__lt=wanted.until)
    never_ok = wanted.outcomes and Outcome.OK not in wanted.outcomes
    if never_ok or (wanted.statuses and min(wanted.statuses) >= FIRST_ERROR_STATUS):
        # The words of the partial indexes on what went wrong, without which they are not used.
        events = events.filter(~Q(outcome="ok"))
    if wanted.tokens:
        events = events.annotate(all_tokens=_token_sum()).exclude(_are_tokens_unknown())
    return events.filter(*_conditions(wanted))


def first_id(moment: datetime) -> UUID:
    """The smallest UUIDv7 of that millisecond."""
    return UUID(int=max(0, (moment - EPOCH) // timedelta(milliseconds=1)) << ID_BITS_A_MS)


def moment_of(id_: UUID) -> datetime:
    """When the call of this id began."""
    return EPOCH + timedelta(milliseconds=id_.int >> ID_BITS_A_MS)


def own_id(text: str) -> UUID | None:
    """The id in an `x-request-id` of ours, if it has the form of one."""
    try:
        return UUID(hex=text.removeprefix(REQUEST_ID_PREFIX))
    except ValueError:
        return None


def _conditions(wanted: CallFilter) -> Iterable[Q]:
    several = {
        "key_id": wanted.key_ids,
        "served_model": wanted.models,
        "outcome": wanted.outcomes,
        "status": wanted.statuses,
        "endpoint": wanted.endpoints,
        "team_id": wanted.team_ids,
    }
    for column, values in several.items():
        if values:
            yield Q(**{f"{column}__in": values})
    if wanted.streamed is not None:
        yield Q(streamed=wanted.streamed)
    if wanted.end_user:
        yield Q(end_user=wanted.end_user)
    if wanted.member_ids:
        yield Q(key_id__in=ApiKey.objects.filter(created_by__in=wanted.member_ids).values("pk"))
    if wanted.some_id:
        yield _has_id(wanted.some_id)
    yield from _ranges(wanted)


def _ranges(wanted: CallFilter) -> Iterable[Q]:
    ranges = {
        "cost_nano_usd": wanted.cost_nano_usd,
        "latency_us": wanted.latency_us,
        "ttft_us": wanted.ttft_us,
        "all_tokens": wanted.tokens,
    }
    for column, between in ranges.items():
        if between.least is not None:
            yield Q(**{f"{column}__gte": between.least})
        if between.most is not None:
            yield Q(**{f"{column}__lte": between.most})


def _has_id(text: str) -> Q:
    found = Q(client_request_id=text) | Q(upstream_request_id=text)
    own = own_id(text)
    return found | Q(pk=own) if own else found


def _token_sum() -> object:
    return reduce(add, (Coalesce(F(column), 0) for column in TOKEN_COLUMNS))


def _are_tokens_unknown() -> Q:
    return Q(**{f"{column}__isnull": True for column in TOKEN_COLUMNS})
