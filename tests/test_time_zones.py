"""A team that changes its time zone: its days are counted again, each call once; pages go over when all is there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from accounts.models import ApiKey, AuditEntry, Team
from tests import rows
from tests.people import person
from usage import ledger, time_zones
from usage.models import BIN_COLUMNS, DayKeyBucket
from usage.time_zones import TABLES

pytestmark = pytest.mark.django_db

# Both clock changes of Zürich, the last day of a month, and a moment that SQLite would round into the next day.
MOMENTS = [
    datetime(2026, 3, 28, 22, 59, 59, 999_900, tzinfo=UTC),
    datetime(2026, 3, 28, 23, 0, tzinfo=UTC),
    datetime(2026, 3, 29, 0, 59, tzinfo=UTC),
    datetime(2026, 3, 29, 1, 1, tzinfo=UTC),
    datetime(2026, 3, 29, 22, 30, tzinfo=UTC),
    datetime(2026, 3, 31, 21, 59, 59, tzinfo=UTC),
    datetime(2026, 3, 31, 22, 0, tzinfo=UTC),
    datetime(2026, 10, 24, 22, 15, tzinfo=UTC),
    datetime(2026, 10, 25, 22, 45, tzinfo=UTC),
    datetime(2026, 10, 25, 23, 0, tzinfo=UTC),
]


def call(key: ApiKey, number: int) -> None:
    """Each unlike the others: outcome, model, origin, durations down to the edges of their bins."""
    outcome = ["ok", "ok", "client_abort", "upstream_error", "ok"][number % 5]
    rows.event(
        key,
        MOMENTS[number],
        ["gpt-4", "gpt-4o", "nobody-knows-its-price"][number % 3],
        outcome=outcome,
        origin=["provider", "counted", "partial"][number % 3],
        latency_us=[1, 2, 4, 1 << 20, 812_345, (1 << 20) - 1, 1_482_910, 1_482_911, 3, 60_000_000][number],
        ttft_us=None if number % 4 == 0 else 100_000 + number,
    )


def days_of(team: Team, zone: str) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that is kept of a team by the days of a zone, but which team it is."""
    found = {}
    for table in TABLES:
        columns = [name for name in (field.name for field in table._meta.concrete_fields) if name != "team_id"]
        key_at = columns.index("key_id") if "key_id" in columns else None
        kept = table.objects.filter(team_id=team.pk, zone=zone).values_list(*columns)
        found[table.__name__] = sorted(tuple(value for at, value in enumerate(row) if at != key_at) for row in kept)
    return found


def team_with_calls(name: str, zone: str) -> Team:
    team = rows.team(name, time_zone=zone)
    key, _ = rows.key(team)
    for number in range(len(MOMENTS)):
        call(key, number)
    return team


@pytest.mark.parametrize("zone", ["Europe/Zurich", "Asia/Kathmandu", "America/St_Johns"])
def test_the_days_are_those_of_a_team_that_always_was_in_that_zone(zone: str) -> None:
    moved, settled = team_with_calls("moved", "UTC"), team_with_calls("settled", zone)
    in_utc = days_of(moved, "UTC")
    time_zones.change(person("ada@example.com", moved), moved, zone)
    assert time_zones.recount_all() == 1
    moved.refresh_from_db()
    assert (moved.time_zone, moved.next_time_zone) == (zone, "")
    assert days_of(moved, zone) == days_of(settled, zone)
    assert days_of(moved, "UTC") == in_utc


def test_pages_stay_with_the_old_zone_until_the_past_is_counted_and_then_its_days_are_gone() -> None:
    team = team_with_calls("Ada's team", "Asia/Tokyo")
    ada = person("ada@example.com", team)
    time_zones.change(ada, team, "Europe/Zurich")
    team.refresh_from_db()
    assert (team.time_zone, team.next_time_zone) == ("Asia/Tokyo", "Europe/Zurich")
    time_zones.recount_all()
    assert not DayKeyBucket.objects.filter(team_id=team.pk, zone="Asia/Tokyo").exists()
    entry = AuditEntry.objects.get(action="team.time_zone")
    assert (entry.actor, entry.details) == (ada, {"old": "Asia/Tokyo", "new": "Europe/Zurich"})


def test_calls_that_come_before_between_and_after_are_each_counted_once() -> None:
    team = rows.team(time_zone="UTC")
    key, _ = rows.key(team)
    ada = person("ada@example.com", team)
    call(key, 0)
    time_zones.change(ada, team, "Europe/Zurich")
    call(key, 6)  # in a month that the ledger begins
    call(key, 4)  # late: of the month that is counted again
    time_zones.recount_all()
    call(key, 9)
    counted = days_of(Team.objects.get(), "Europe/Zurich")
    other = rows.team("settled", time_zone="Europe/Zurich")
    its_key, _ = rows.key(other)
    for number in (0, 6, 4, 9):
        call(its_key, number)
    assert counted == days_of(other, "Europe/Zurich")


def test_a_recount_that_was_broken_off_is_done_again_and_counts_nothing_twice() -> None:
    team = team_with_calls("Ada's team", "UTC")
    time_zones.change(person("ada@example.com", team), team, "Europe/Zurich")
    team.refresh_from_db()
    months = list(time_zones._months(team, "Europe/Zurich"))
    assert len(months) == 8
    time_zones._count_month(team.pk, "Europe/Zurich", *months[0])
    time_zones.recount_all()
    assert days_of(Team.objects.get(), "Europe/Zurich") == days_of(
        team_with_calls("x", "Europe/Zurich"), "Europe/Zurich"
    )


def test_going_back_to_the_present_zone_or_to_utc_needs_no_counting() -> None:
    team = team_with_calls("Ada's team", "Europe/Zurich")
    ada = person("ada@example.com", team)
    before = days_of(team, "Europe/Zurich")
    time_zones.change(ada, team, "Asia/Tokyo")
    time_zones.change(ada, team, "Europe/Zurich")
    assert time_zones.recount_all() == 0
    assert days_of(team, "Europe/Zurich") == before
    time_zones.change(ada, team, "UTC")
    time_zones.recount_all()
    team.refresh_from_db()
    assert team.time_zone == "UTC"
    assert not DayKeyBucket.objects.exclude(zone="UTC").exists()


def test_a_zone_nobody_knows_is_refused() -> None:
    team = rows.team()
    with pytest.raises(ValidationError, match="Unknown time zone"):
        time_zones.change(person("ada@example.com", team), team, "Mars/Olympus")


def test_the_bins_of_sql_are_those_of_the_ledger_at_every_edge() -> None:
    team = rows.team(time_zone="UTC")
    key, _ = rows.key(team)
    starts = [round(2 ** (bin_ / 4)) for bin_ in range(4, 120, 7)]
    edges = [start + beside for start in starts for beside in (-1, 0, 1)]
    for at, us in enumerate(edges):
        rows.event(key, MOMENTS[0] + timedelta(seconds=at), latency_us=us)
    time_zones.change(person("ada@example.com", team), team, "Asia/Tokyo")
    time_zones.recount_all()
    assert days_of(team, "Asia/Tokyo")["LatencyKeyBucket"]
    by_bin = ledger.no_bins()
    for us in edges:
        by_bin[ledger.bin_place(us)] += 1
    found = time_zones.LatencyKeyBucket.objects.filter(zone="Asia/Tokyo").values_list(*BIN_COLUMNS)
    assert [sum(calls) for calls in zip(*found, strict=True)] == by_bin
