"""Keys, tiers and models in memory: changes arrive, and a database that is away takes nobody's key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import time_machine
from django.conf import settings
from django.db import Error, connection, connections
from django.utils import timezone

from accounts import keys, secrets
from accounts.models import ApiKey, KeySecret, User
from tests import rows
from usage.proxy.directory import Caller, Directory, DirectoryAway, UnknownKey
from usage.proxy.limits import Limiter, NoHeadroom

pytestmark = pytest.mark.django_db(transaction=True)


def directory() -> Directory:
    made = Directory(Limiter(lambda: 10**15), secrets.pepper_from(settings.SECRET_KEY))
    made._rebuild()
    return made


def asked(of: Directory, secret: str) -> Caller:
    """As the hot path asks: memory first, then the database, in another thread."""

    async def ask() -> Caller:
        try:
            return of.known_caller(secret) or await of.looked_up_caller(secret)
        finally:
            # The idle thread's own connection would outlive the test.
            await asyncio.to_thread(connections.close_all)

    return asyncio.run(ask())


@contextmanager
def database_away() -> Iterator[None]:
    """Its tables cannot be read: an error of the database's, as when it is gone."""
    tables = [ApiKey._meta.db_table, KeySecret._meta.db_table, "accounts_change"]
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} RENAME TO away_{table}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f"ALTER TABLE away_{table} RENAME TO {table}")


def test_a_revoked_key_is_gone_at_the_next_look() -> None:
    key, secret = rows.key(rows.team())
    known = directory()
    assert asked(known, secret).key_id == key.pk
    key.revoke(timezone.now())
    known.look()
    with pytest.raises(UnknownKey):
        asked(known, secret)


def test_a_new_key_works_at_once_and_a_deleted_one_no_more() -> None:
    known = directory()
    key, secret = rows.key(rows.team())
    assert asked(known, secret).key_id == key.pk
    key.delete()
    known.look()
    with pytest.raises(UnknownKey):
        asked(known, secret)


def test_a_key_expires_without_any_look() -> None:
    _, secret = rows.key(rows.team(), expires_at=timezone.now() + timedelta(seconds=1))
    known = directory()
    caller = known.known_caller(secret)
    assert caller is not None
    time.sleep(max(0.0, caller.expires_at_s - time.time()))
    with pytest.raises(UnknownKey):
        known.known_caller(secret)


def test_both_secrets_of_a_key_that_is_rotated_are_the_same_caller_with_the_same_limits() -> None:
    ada, (key, first) = User.objects.create_user("ada@example.com"), rows.key(rows.team(), requests_per_minute=3)
    known = directory()
    old = asked(known, first)
    second = keys.rotate(ada, key, timedelta(hours=1), timezone.now())
    # At once: nobody has to wait for the feed.
    new = asked(known, second)
    known.look()
    old, new = asked(known, first), asked(known, second)
    assert (old.key_id, new.key_id) == (key.pk, key.pk)
    assert old.secret_id != new.secret_id
    assert all(mine is its for mine, its in zip(old.scopes, new.scopes, strict=True))
    for caller in (old, new, old):
        known._limiter.reserve(caller.scopes, 1, 10**15)
    with pytest.raises(NoHeadroom):
        known._limiter.reserve(new.scopes, 1, 10**15)


@pytest.mark.parametrize(("act", "ended", "kept"), [(keys.finish, 0, 1), (keys.cancel, 1, 0)])
def test_a_finished_or_cancelled_rotation_takes_one_secret_away_at_the_next_look(act, ended: int, kept: int) -> None:
    ada, (key, first) = User.objects.create_user("ada@example.com"), rows.key(rows.team())
    both = [first, keys.rotate(ada, key, timedelta(hours=1), timezone.now())]
    known = directory()
    old = key.secrets.get(expires_at__isnull=False)
    assert act(ada, key, old.pk, timezone.now())
    known.look()
    assert asked(known, both[kept]).expires_at_s == 0
    with pytest.raises(UnknownKey):
        asked(known, both[ended])


def test_an_old_secret_ends_without_any_look_and_the_new_one_goes_on() -> None:
    ada, (key, first) = User.objects.create_user("ada@example.com"), rows.key(rows.team())
    second = keys.rotate(ada, key, timedelta(hours=1), timezone.now())
    known = directory()
    old = known.known_caller(first)
    assert old is not None
    # A float of seconds since 1970 is rounded on its way through the clock: a hair later is surely after.
    with database_away(), time_machine.travel(old.expires_at_s + 0.001, tick=False):
        with pytest.raises(UnknownKey):
            known.known_caller(first)
        assert asked(known, second).key_id == key.pk


def test_revoking_a_key_takes_both_secrets_away() -> None:
    ada, (key, first) = User.objects.create_user("ada@example.com"), rows.key(rows.team())
    second = keys.rotate(ada, key, timedelta(hours=1), timezone.now())
    known = directory()
    keys.revoke(ada, key, timezone.now())
    known.look()
    for secret in (first, second):
        with pytest.raises(UnknownKey):
            asked(known, secret)


def test_a_secret_ends_with_its_key_when_that_is_sooner() -> None:
    soon = timezone.now() + timedelta(minutes=5)
    ada, (key, first) = User.objects.create_user("ada@example.com"), rows.key(rows.team(), expires_at=soon)
    second = keys.rotate(ada, key, timedelta(hours=1), timezone.now())
    known = directory()
    assert {asked(known, secret).expires_at_s for secret in (first, second)} == {soon.timestamp()}


def test_what_narrows_a_key_is_read_once_and_costs_the_others_nothing() -> None:
    team = rows.team()
    _, narrow = rows.key(team, allowed_models=["gpt-4"], ip_ranges=["10.0.0.0/8"])
    _, wide = rows.key(team, "wide")
    known = directory()
    caller = asked(known, narrow)
    assert caller.networks is not None
    assert "10.9.8.7" in caller.networks
    assert (caller.may_use("gpt-4"), caller.may_use("gpt-4o")) == (True, False)
    caller = asked(known, wide)
    assert (caller.networks, caller.models, caller.may_use("gpt-4o")) == (None, frozenset(), True)


def test_a_tier_change_reaches_the_scope_that_calls_already_hold() -> None:
    team = rows.team()
    _, secret = rows.key(team)
    known = directory()
    scope = asked(known, secret).scopes[0]
    team.tier.requests_per_minute = 7
    team.tier.save()
    known.look()
    assert scope.requests is not None
    assert scope.requests.limit == 7
    assert asked(known, secret).scopes[0] is scope


def test_an_archived_teams_keys_stop() -> None:
    team = rows.team()
    _, secret = rows.key(team)
    known = directory()
    team.archived_at = timezone.now()
    team.save()
    known.look()
    with pytest.raises(UnknownKey):
        asked(known, secret)


def test_with_the_database_away_known_keys_work_and_unknown_ones_are_nobodys_fault() -> None:
    _, secret = rows.key(rows.team())
    known = directory()
    _, later = rows.key(rows.team("Grace's team", "Pro"))
    with database_away():
        with pytest.raises(Error):
            known.look()
        assert asked(known, secret).team_name == "Ada's team"
        with pytest.raises(DirectoryAway):
            asked(known, later)
    known.look()
    assert asked(known, later).team_name == "Grace's team"


def test_a_change_that_could_not_be_read_up_is_seen_at_the_next_look() -> None:
    """The feed is read, and then the database goes away, before the key itself could be."""
    key, secret = rows.key(rows.team())
    known = directory()
    key.revoke(timezone.now())
    table = ApiKey._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO away")
    with pytest.raises(Error):
        known.look()
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE away RENAME TO {table}")
    known.look()
    with pytest.raises(UnknownKey):
        asked(known, secret)


def test_a_look_up_that_read_a_key_before_its_revocation_does_not_bring_it_back() -> None:
    key, secret = rows.key(rows.team())
    known = directory()
    key.revoke(timezone.now())
    known.look()
    assert known._look_up(secrets.digest(secret, known._pepper)) is None
    with pytest.raises(UnknownKey):
        known.known_caller(secret)


def test_a_typo_and_a_key_just_found_unknown_cost_no_look_up() -> None:
    known = directory()
    typo = secrets.make()[:-1] + "_"
    with pytest.raises(UnknownKey):
        known.known_caller(typo)
    nobodys = secrets.make()
    with pytest.raises(UnknownKey):
        asked(known, nobodys)
    with database_away(), pytest.raises(UnknownKey):
        known.known_caller(nobodys)
