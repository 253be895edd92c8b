"""The demo: always the same calls, a plausible picture, and never on top of real data."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Sum
from pytest_django.fixtures import Settings

from accounts.models import AdminKey, ApiKey, Membership, Team, Tier, User
from usage.demo import filling
from usage.demo.calls import Ids, calls
from usage.demo.cast import GROUPS
from usage.frames import Final
from usage.models import DayModelBucket, PriceVersion, Provider, UsageAttempt, UsageEvent

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
IDS = {
    (group.name, caller.name): Ids(team, 10 * team + key)
    for team, group in enumerate(GROUPS, 1)
    for key, caller in enumerate(group.callers)
}
MALLORYS = IDS["Ada Research", "old laptop"]


@pytest.fixture(scope="module")
def ninety_days() -> list[Final]:
    return list(calls(1, NOW, IDS))


def test_one_seed_and_moment_always_give_the_same_calls() -> None:
    first, again, other = (list(calls(seed, NOW, IDS, days=2)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_ninety_days_hold_a_plausible_number_of_distinct_calls_in_the_past(ninety_days: list[Final]) -> None:
    assert 60_000 <= len(ninety_days) <= 120_000
    assert len({entry.id for entry in ninety_days}) == len(ninety_days)
    first, last = started(ninety_days[0]), started(ninety_days[-1])
    assert NOW - timedelta(days=92) < first < NOW - timedelta(days=88)
    assert NOW - timedelta(hours=1) < last < NOW
    for entry in ninety_days[:100]:
        assert UUID(bytes=entry.id).version == 7
        assert int.from_bytes(entry.id[:6]) == entry.started_us // 1000


def test_every_outcome_and_origin_is_there_and_most_calls_are_fine(ninety_days: list[Final]) -> None:
    outcomes = Counter(entry.outcome for entry in ninety_days)
    assert outcomes["ok"] > 0.94 * len(ninety_days)
    assert outcomes.keys() == {"ok", "client_abort", "upstream_error", "interrupted", "refused"}
    assert {entry.origin for entry in ninety_days} == {"provider", "counted", "partial", "none"}
    assert any(entry.attempts for entry in ninety_days)


def test_working_days_are_busier_than_weekends_and_the_end_than_the_beginning(ninety_days: list[Final]) -> None:
    notebooks = [entry for entry in ninety_days if entry.key_id == IDS["Ada Research", "notebooks"].key_id]
    weekdays = Counter(started(entry).weekday() for entry in notebooks)
    assert weekdays[1] > 3 * weekdays[6]
    middle = NOW - timedelta(days=45)
    assert sum(started(entry) > middle for entry in ninety_days) > 1.2 * sum(
        started(entry) < middle for entry in ninety_days
    )


def test_mallorys_key_is_silent_after_it_was_revoked(ninety_days: list[Final]) -> None:
    revoked_at = NOW - timedelta(days=90 * 0.55)
    used = [started(entry) for entry in ninety_days if entry.key_id == MALLORYS.key_id]
    assert used
    assert max(used) < revoked_at + timedelta(days=1)


def test_no_model_is_called_before_its_release_or_after_its_shutdown(ninety_days: list[Final]) -> None:
    sol = min(started(entry) for entry in ninety_days if entry.served_model == "gpt-6.1-sol")
    turbo = max(started(entry) for entry in ninety_days if entry.served_model == "gpt-4-turbo")
    assert sol >= datetime(2026, 9, 29, tzinfo=UTC)
    assert turbo < datetime(2026, 10, 23, tzinfo=UTC)


def started(entry: Final) -> datetime:
    return datetime.fromtimestamp(entry.started_us / 1e6, UTC)


# Filling --------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_demo_fills_an_empty_instance_with_people_keys_and_priced_calls(tmp_path: Path) -> None:
    filled, written = filling.fill(tmp_path, 1, NOW, days=3)
    assert written == UsageEvent.objects.count() > 1000
    assert set(Team.objects.values_list("name", "tier__name")) == {(group.name, group.tier) for group in GROUPS}
    assert User.objects.get(email="ada@example.com").check_password(filled.password)
    assert User.objects.get(email=filled.admin_email).is_staff
    assert Membership.objects.get(user__email="mallory@example.com").role == "viewer"
    assert ApiKey.objects.filter(revoked_at__isnull=False).count() == 1
    assert Provider.objects.get().is_sandbox
    assert not UsageEvent.objects.filter(outcome="ok", cost_nano_usd=None).exists()
    assert PriceVersion.objects.filter(note="negotiated (demo)").count() == 1
    assert UsageAttempt.objects.exists()
    instance = DayModelBucket.objects.filter(team_id=0, zone="UTC").aggregate(total=Sum("cost_nano_usd"))
    assert instance == UsageEvent.objects.aggregate(total=Sum("cost_nano_usd"))


@pytest.mark.django_db
def test_a_second_run_shows_the_secrets_again_and_writes_nothing(tmp_path: Path, settings: Settings) -> None:
    settings.DATA_DIR = tmp_path
    first, second = StringIO(), StringIO()
    call_command("demo", days=1, stdout=first)
    events = UsageEvent.objects.count()
    call_command("demo", days=1, stdout=second)
    password = json.loads((tmp_path / "demo").read_text())["password"]
    assert "calls of 1 days were written" in first.getvalue()
    assert "it was there already" in second.getvalue()
    assert password in first.getvalue()
    assert password in second.getvalue()
    assert UsageEvent.objects.count() == events
    assert (tmp_path / "demo").stat().st_mode & 0o777 == 0o600


@pytest.mark.django_db
def test_a_fill_that_was_broken_off_is_taken_up_again(tmp_path: Path) -> None:
    filled, written = filling.fill(tmp_path, 1, NOW, days=1)
    marker = tmp_path / "demo"
    marker.write_text(json.dumps(filled._asdict()))
    UsageAttempt.objects.filter(event__key__name="code review").delete()
    UsageEvent.objects.filter(key__name="code review").delete()
    missing = written - UsageEvent.objects.count()
    assert filling.fill(tmp_path, 7, NOW + timedelta(hours=1), days=5)[1] == missing > 0
    assert UsageEvent.objects.count() == written


@pytest.mark.django_db
def test_the_demo_refuses_a_data_directory_with_real_data(tmp_path: Path, settings: Settings) -> None:
    settings.DATA_DIR = tmp_path
    Team.objects.create(name="A real team", tier=Tier.objects.create(name="Basic"))
    with pytest.raises(CommandError, match="holds real data"):
        call_command("demo")
    assert not (tmp_path / "demo").exists()
    assert not AdminKey.objects.exists()
