"""Entries -> events and buckets: every bucket table adds up to the events, twice recorded is once recorded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db.models import QuerySet, Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import ApiKey
from tests import rows
from usage import ledger
from usage.frames import NO_TOKENS, Attempt, Tokens
from usage.models import (
    ANY,
    BIN_COLUMNS,
    MEASURES,
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

START = datetime(2026, 3, 1, tzinfo=UTC)
ROOT = Path(__file__).resolve().parent.parent
OUTCOMES = ["ok", "client_abort", "upstream_error", "interrupted", "refused"]
counts = st.none() | st.integers(0, 10**6)


def totals(table: Any, **where: Any) -> dict[str, int]:
    found = table.objects.filter(**where).aggregate(**{f"all_{name}": Sum(name) for name in MEASURES})
    return {name: int(found[f"all_{name}"] or 0) for name in MEASURES}


def totals_of_events() -> dict[str, int]:
    """From the events alone, by another way than the ledger's."""
    made = dict.fromkeys(MEASURES, 0)
    for event in UsageEvent.objects.all():
        made[f"{event.outcome}_calls"] += 1
        for name in ledger.CLASSES:
            made[f"{name}_tokens"] += getattr(event, f"{name}_tokens") or 0
            made[f"{name}_cost_nano_usd"] += getattr(event, f"{name}_cost_nano_usd") or 0
        for name, duration_us in (("latency", event.latency_us), ("ttft", event.ttft_us)):
            if duration_us and event.outcome == "ok":
                made[f"{name}_us"] += duration_us
                made[f"{name}_calls"] += 1
        if event.cost_nano_usd is None:
            made["unpriced_calls"] += event.outcome != "refused"
            continue
        made["cost_nano_usd"] += event.cost_nano_usd
        for part in (event.origin, event.outcome):
            if f"{part}_cost_nano_usd" in made:
                made[f"{part}_cost_nano_usd"] += event.cost_nano_usd
    return made


def in_bins(rows: QuerySet[Any]) -> int:
    return sum(sum(bins) for bins in rows.values_list(*BIN_COLUMNS))


def assert_everything_adds_up() -> None:
    expected = totals_of_events()
    assert totals(QuarterBucket) == totals(QuarterModelBucket, team_id=WHOLE_INSTANCE) == expected
    assert totals(QuarterModelBucket) == {name: 2 * total for name, total in expected.items()}
    for table in (DayKeyBucket, MonthKeyBucket):
        assert totals(table, zone="UTC") == expected
        assert totals(table) == {name: 2 * total for name, total in expected.items()}
    assert totals(DayModelBucket, zone="UTC", team_id=WHOLE_INSTANCE) == expected
    assert totals(DayModelBucket, zone="Europe/Zurich") == expected
    timed = UsageEvent.objects.filter(outcome="ok", latency_us__gt=0).count()
    timed += UsageEvent.objects.filter(outcome="ok", ttft_us__gt=0).count()
    of_instance = LatencyBucket.objects.filter(team_id=WHOLE_INSTANCE)
    assert in_bins(of_instance.exclude(model=ANY)) == in_bins(of_instance.filter(model=ANY)) == timed
    assert in_bins(LatencyKeyBucket.objects.filter(zone="UTC")) == timed
    minutes = MinuteBucket.objects.aggregate(calls=Sum("calls"), refused=Sum("refused_calls"), tokens=Sum("tokens"))
    assert int(minutes["refused"] or 0) == expected["refused_calls"]
    assert int(minutes["calls"] or 0) + expected["refused_calls"] == UsageEvent.objects.count()
    assert int(minutes["tokens"] or 0) == sum(expected[f"{name}_tokens"] for name in ledger.CLASSES)


entries = st.lists(
    st.fixed_dictionaries(
        {
            "minutes": st.integers(0, 60 * 24 * 40),
            "model": st.sampled_from(["gpt-4", "gpt-4o", "nobody-knows-its-price"]),
            "outcome": st.sampled_from(OUTCOMES),
            "origin": st.sampled_from(["provider", "counted", "partial", "none"]),
            "tokens": st.just(NO_TOKENS) | st.builds(Tokens, *[counts] * 7),
            "service_tier": st.sampled_from(["", "flex"]),
            "latency_us": st.none() | st.integers(0, 10**9),
            "ttft_us": st.none() | st.integers(0, 10**9),
        }
    ),
    min_size=1,
    max_size=25,
)


@pytest.fixture
def key(db: None) -> ApiKey:
    return rows.key(rows.team(time_zone="Europe/Zurich"))[0]


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=entries, data=st.data())
def test_buckets_equal_events_and_a_replay_adds_nothing(
    key: ApiKey, drawn: list[dict[str, Any]], data: st.DataObject
) -> None:
    made = [rows.entry(key, START + timedelta(minutes=one.pop("minutes")), **one) for one in drawn]
    before = UsageEvent.objects.count()
    cut = data.draw(st.integers(0, len(made)))
    first = ledger.record(made[:cut], rows.PRICES)
    again = ledger.record([*made, *made[:3]], rows.PRICES)
    assert (first, again) == (cut, len(made) - cut)
    assert ledger.record(made, rows.PRICES) == 0
    assert UsageEvent.objects.count() == before + len(made)
    assert_everything_adds_up()


def test_a_call_is_priced_by_class_and_its_price_is_frozen(key: ApiKey) -> None:
    call = rows.entry(key, START, "gpt-4o", tokens=Tokens(1_000, 200, 0, 0, 300, 0, 0))
    ledger.record([call], rows.PRICES)
    event = UsageEvent.objects.get()
    assert (event.input_cost_nano_usd, event.cached_cost_nano_usd, event.output_cost_nano_usd) == (
        2_500_000,
        250_000,
        3_000_000,
    )
    assert event.cost_nano_usd == 5_750_000
    dearer = rows._version(9, "gpt-4o", {"input": Decimal(100), "output": Decimal(100)})
    ledger.record([call], ledger.pricing.PriceBook([dearer]))
    event.refresh_from_db()
    assert (event.cost_nano_usd, event.price_version_id) == (5_750_000, 2)


def test_unknown_is_null_and_never_zero(key: ApiKey) -> None:
    ledger.record([rows.entry(key, START, tokens=NO_TOKENS, origin="none", outcome="upstream_error")], rows.PRICES)
    ledger.record([rows.entry(key, START, "nobody-knows-its-price")], rows.PRICES)
    ledger.record([rows.entry(key, START, tokens=Tokens(9), outcome="interrupted", status=None)], rows.PRICES)
    nothing, unpriced, interrupted = (
        UsageEvent.objects.order_by("outcome")[2],
        UsageEvent.objects.get(outcome="ok"),
        UsageEvent.objects.get(outcome="interrupted"),
    )
    assert (nothing.input_tokens, nothing.cost_nano_usd) == (None, None)
    assert (unpriced.input_tokens, unpriced.cost_nano_usd, unpriced.price_version_id) == (100, None, None)
    assert (interrupted.input_cost_nano_usd, interrupted.output_cost_nano_usd, interrupted.cost_nano_usd) == (
        270_000,
        None,
        270_000,
    )
    assert totals(QuarterBucket)["unpriced_calls"] == 2


def test_failed_tries_are_children_with_their_own_cost(key: ApiKey) -> None:
    tries = [
        Attempt("gpt-4", "gpt-4", "OpenAI", "openai", 500, "upstream_500", 10, "req_1", Tokens(0, 0, 0, 0, 0, 0, 0)),
        Attempt(
            "gpt-4o", "gpt-4o", "OpenAI", "openai", 200, "", 20, "req_2", Tokens(100, 0, 0, 0, 20, 0, 0), "provider"
        ),
    ]
    call = rows.entry(key, START, "gpt-4o", requested_model="gpt-4", attempts=tries)
    for _ in range(2):
        ledger.record([call], rows.PRICES)
    assert list(UsageAttempt.objects.values_list("position", "status", "cost_nano_usd")) == [
        (0, 500, 0),
        (1, 200, 450_000),
    ]


@pytest.mark.parametrize(
    ("moment", "zone", "day"),
    [
        ("2026-03-29T00:59:59.999999", "Europe/Zurich", "2026-03-29"),
        ("2026-03-28T22:59:59", "Europe/Zurich", "2026-03-28"),
        ("2026-03-28T23:00:00", "Europe/Zurich", "2026-03-29"),
        ("2026-03-29T21:59:59", "Europe/Zurich", "2026-03-29"),
        ("2026-03-29T22:00:00", "Europe/Zurich", "2026-03-30"),
        ("2026-10-25T22:30:00", "Europe/Zurich", "2026-10-25"),
        ("2026-10-25T23:00:00", "Europe/Zurich", "2026-10-26"),
        ("2026-12-31T18:15:00", "Asia/Kathmandu", "2027-01-01"),
        ("2026-12-31T18:14:59", "Asia/Kathmandu", "2026-12-31"),
        ("2026-01-01T04:59:59", "America/New_York", "2025-12-31"),
    ],
)
def test_a_day_is_the_teams_own_even_when_clocks_change(db: None, moment: str, zone: str, day: str) -> None:
    key = rows.key(rows.team(time_zone=zone))[0]
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    ledger.record([rows.entry(key, at)], rows.PRICES)
    local = datetime.fromisoformat(day)
    assert at.astimezone(ZoneInfo(zone)).date() == local.date()
    bucket = DayKeyBucket.objects.get(zone=zone)
    assert bucket.day == (local - datetime(1970, 1, 1)).days
    assert MonthKeyBucket.objects.get(zone=zone).month == local.year * 12 + local.month - 1
    assert QuarterBucket.objects.get().slot == int(at.timestamp()) // 900


def test_a_key_remembers_when_it_was_last_used(key: ApiKey) -> None:
    ledger.record([rows.entry(key, START + timedelta(days=1)), rows.entry(key, START)], rows.PRICES)
    ledger.record([rows.entry(key, START)], rows.PRICES)
    key.refresh_from_db()
    assert key.last_used_at == START + timedelta(days=1)


def test_what_django_reads_back_is_what_was_recorded(key: ApiKey) -> None:
    call = rows.entry(
        key, START + timedelta(microseconds=7), metadata={"项目": "😀"}, end_user="ада", refusal={"limit": 60}
    )
    ledger.record([call], rows.PRICES)
    event = UsageEvent.objects.get(pk=call.id.hex())
    assert (event.started_at, event.metadata, event.end_user, event.refusal) == (
        START + timedelta(microseconds=7),
        {"项目": "😀"},
        "ада",
        {"limit": 60},
    )


def test_a_batch_larger_than_any_statement_takes(key: ApiKey) -> None:
    made = [rows.entry(key, START + timedelta(seconds=number)) for number in range(2_500)]
    assert ledger.record(made, rows.PRICES) == 2_500
    assert ledger.record(made, rows.PRICES) == 0
    assert_everything_adds_up()
