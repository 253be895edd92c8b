"""Keys, tiers and models in memory: changes arrive, and a database that is away takes nobody's key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import Error, connection, connections
from django.utils import timezone

from accounts import secrets
from accounts.models import ApiKey
from tests import rows
from usage.proxy.directory import Caller, Directory, DirectoryAway, UnknownKey
from usage.proxy.limits import Limiter

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
    tables = [ApiKey._meta.db_table, "accounts_change"]
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
