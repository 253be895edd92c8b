"""A key is rotated: one key, two live secrets for a while, and no call that fails."""

from __future__ import annotations

import http.client
import json
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from django.db import IntegrityError, transaction

from accounts import keys, secrets
from accounts.models import ApiKey, AuditEntry, Change, KeySecret, User
from tests import rows
from tests.product import Running, SignedIn, eventually, found
from usage import frames, ledger

NOW = datetime(2026, 11, 20, 2, 30, tzinfo=UTC)
DAY = timedelta(days=1)
in_database = pytest.mark.django_db


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada@example.com", name="Ada")


@pytest.fixture
def key(ada: User) -> ApiKey:
    return rows.key(rows.team(), created_by=ada, created_at=NOW - 30 * DAY)[0]


def live(key: ApiKey, now: datetime) -> list[KeySecret]:
    """The newest first."""
    return [secret for secret in KeySecret.objects.filter(key=key) if secret.is_live(now)]


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("id").values_list("action", flat=True))


# The acts -----------------------------------------------------------------------------------------------------------


def test_rotating_adds_a_second_secret_and_gives_the_first_an_end(ada: User, key: ApiKey) -> None:
    (first,) = live(key, NOW)
    secret = keys.rotate(ada, key, keys.USUAL_OVERLAP, NOW)
    assert not secrets.is_typo(secret)
    new, old = live(key, NOW)
    assert (old, new.created_by, new.expires_at) == (first, ada, None)
    assert old.expires_at == NOW + DAY
    assert ApiKey.objects.get(pk=key.pk).redacted == new.redacted == secrets.redacted(secret)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.team, entry.details["old"]) == ("key.rotate", key.team, old.redacted)
    assert secret not in json.dumps(entry.details) + entry.subject
    assert Change.objects.filter(kind="apikey", row_id=key.pk).exists()


def test_the_old_secret_ends_by_itself_and_then_the_key_can_be_rotated_again(ada: User, key: ApiKey) -> None:
    keys.rotate(ada, key, DAY, NOW)
    assert len(live(key, NOW + DAY - timedelta(microseconds=1))) == 2
    assert len(live(key, NOW + DAY)) == 1
    keys.rotate(ada, key, DAY, NOW + DAY)
    newest, middle, first = KeySecret.objects.all()
    assert live(key, NOW + DAY) == [newest, middle]
    assert first.revoked_at == first.expires_at == NOW + DAY


def test_a_rotation_that_runs_is_not_begun_again(ada: User, key: ApiKey) -> None:
    keys.rotate(ada, key, DAY, NOW)
    with pytest.raises(keys.RotationRuns):
        keys.rotate(ada, key, DAY, NOW + timedelta(hours=23))
    assert len(live(key, NOW)) == 2
    assert actions() == ["key.rotate"]


@pytest.mark.parametrize(
    "overlap",
    [timedelta(0), -DAY, 7 * DAY + timedelta(microseconds=1), timedelta.max],
    ids=["none", "less", "more", "max"],
)
def test_an_overlap_is_longer_than_nothing_and_at_most_seven_days(ada: User, key: ApiKey, overlap: timedelta) -> None:
    with pytest.raises(keys.BadOverlap):
        keys.rotate(ada, key, overlap, NOW)
    assert len(live(key, NOW)) == 1
    keys.rotate(ada, key, 7 * DAY, NOW)


def test_finishing_ends_the_old_secret_now_and_once(ada: User, key: ApiKey) -> None:
    keys.rotate(ada, key, DAY, NOW)
    new, old = live(key, NOW)
    later = NOW + timedelta(hours=1)
    assert keys.finish(ada, key, old.pk, later)
    assert not keys.finish(ada, key, old.pk, later)
    assert not keys.cancel(ada, key, old.pk, later)
    assert live(key, later) == [new]
    assert KeySecret.objects.get(pk=old.pk).revoked_at == later
    assert actions() == ["key.rotate", "key.finish_rotation"]


def test_cancelling_ends_the_new_secret_and_the_old_one_stays_without_an_end(ada: User, key: ApiKey) -> None:
    (first,) = live(key, NOW)
    keys.rotate(ada, key, DAY, NOW)
    assert keys.cancel(ada, key, first.pk, NOW + timedelta(hours=1))
    assert not keys.cancel(ada, key, first.pk, NOW + timedelta(hours=1))
    assert live(key, NOW + 100 * DAY) == [first]
    assert ApiKey.objects.get(pk=key.pk).redacted == first.redacted
    assert actions() == ["key.rotate", "key.cancel_rotation"]


def test_a_late_second_sending_ends_nothing_of_the_next_rotation(ada: User, key: ApiKey) -> None:
    keys.rotate(ada, key, DAY, NOW)
    _, first = live(key, NOW)
    keys.finish(ada, key, first.pk, NOW)
    keys.rotate(ada, key, DAY, NOW)
    assert not keys.finish(ada, key, first.pk, NOW)
    assert not keys.cancel(ada, key, first.pk, NOW)
    assert len(live(key, NOW)) == 2


def test_after_the_overlap_there_is_nothing_to_finish_or_cancel(ada: User, key: ApiKey) -> None:
    keys.rotate(ada, key, DAY, NOW)
    new, old = live(key, NOW)
    assert not keys.cancel(ada, key, old.pk, NOW + DAY)
    assert not keys.finish(ada, key, old.pk, NOW + DAY)
    assert live(key, NOW + DAY) == [new]


def test_a_revoked_or_expired_key_is_not_rotated_and_revoking_ends_both_secrets(ada: User, key: ApiKey) -> None:
    keys.rotate(ada, key, DAY, NOW)
    _, old = live(key, NOW)
    for _ in range(2):
        keys.revoke(ada, key, NOW)
    assert keys.running_rotation(ApiKey.objects.get(pk=key.pk), NOW) is None
    assert not keys.finish(ada, key, old.pk, NOW)
    assert not keys.cancel(ada, key, old.pk, NOW)
    expired, _ = rows.key(key.team, "expired", expires_at=NOW)
    for dead in (key, expired):
        with pytest.raises(keys.NotLive):
            keys.rotate(ada, dead, DAY, NOW)
    assert actions() == ["key.rotate", "key.revoke"]


def test_the_database_itself_takes_no_third_secret(key: ApiKey) -> None:
    ending = KeySecret(key=key, digest="a", expires_at=NOW + DAY)
    ending.save()
    for expires_at in (None, NOW + 2 * DAY):
        with pytest.raises(IntegrityError), transaction.atomic():
            KeySecret(key=key, digest="b", expires_at=expires_at).save()
    ending.revoked_at = NOW
    ending.save()
    KeySecret(key=key, digest="b", expires_at=NOW + 2 * DAY).save()


@in_database
def test_what_is_no_column_of_a_narrowing_can_be_neither_given_nor_changed(ada: User, key: ApiKey) -> None:
    """Team, creator and dates are nobody's to send."""
    for column in ("team", "team_id", "created_by", "created_by_id", "revoked_at", "last_used_at", "pk"):
        with pytest.raises(TypeError):
            keys.create(ada, key.team, "more", **{column: 1})
        with pytest.raises(TypeError):
            keys.change(ada, key, **{column: 1})


def test_a_change_tells_the_trail_what_was_and_what_is(ada: User, key: ApiKey) -> None:
    assert keys.change(ada, key, name="prod", requests_per_minute=60, allowed_models=["gpt-4"], tag="")
    assert not keys.change(ada, key, name="prod", requests_per_minute=60)
    assert AuditEntry.objects.get().details == {
        "name": ["notebook", "prod"],
        "requests_per_minute": [None, 60],
        "allowed_models": [[], ["gpt-4"]],
    }
    keys.revoke(ada, key, NOW)
    with pytest.raises(keys.NotLive):
        keys.change(ada, key, name="again")


# Last use -----------------------------------------------------------------------------------------------------------


def test_each_secret_remembers_its_own_last_use_and_the_key_the_latest(ada: User, key: ApiKey) -> None:
    keys.rotate(ada, key, DAY, NOW)
    new, old = live(key, NOW)
    for secret, minutes in ((old, 5), (new, 3), (old, 4), (new, 1)):
        rows.event(key, NOW + timedelta(minutes=minutes), secret_id=secret.pk)
    new.refresh_from_db()
    old.refresh_from_db()
    key.refresh_from_db()
    assert (old.last_used_at, new.last_used_at) == (NOW + timedelta(minutes=5), NOW + timedelta(minutes=3))
    assert key.last_used_at == NOW + timedelta(minutes=5)


def test_a_frame_of_before_keys_had_several_secrets_is_still_read(key: ApiKey) -> None:
    """An upgrade finds a spool of the version before."""
    entry = rows.entry(key, NOW)
    as_it_was = msgspec.msgpack.decode(frames.encode(entry))[:-1]
    read = frames.decode(msgspec.msgpack.encode(as_it_was))
    assert isinstance(read, frames.Final)
    assert (read.secret_id, read.key_id, read.attempts) == (0, key.pk, entry.attempts)
    assert ledger.record([read], rows.PRICES) == 1
    assert KeySecret.objects.get(key=key).last_used_at is None
    key.refresh_from_db()
    assert key.last_used_at == NOW


# The running product ------------------------------------------------------------------------------------------------


class Caller(threading.Thread):
    """A program that calls in a loop with the secret it has been given, and remembers every answer."""

    def __init__(self, product: Running, secret: str) -> None:
        super().__init__(daemon=True)
        self.secret, self._product = secret, product
        self.answers: list[tuple[str, int, str]] = []
        self._is_stopped = threading.Event()

    def run(self) -> None:
        while not self._is_stopped.is_set():
            secret = self.secret
            self.answers.append((secret, *call(self._product, secret)))

    def stop(self) -> None:
        self._is_stopped.set()
        self.join(20)

    def has_called(self, secret: str, times: int = 8) -> bool:
        return len([answer for answer in self.answers if answer[0] == secret]) >= times


def call(product: Running, secret: str) -> tuple[int, str]:
    """Status and request id."""
    body = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]})
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    with closing(http.client.HTTPConnection("127.0.0.1", product.port, timeout=20)) as connection:
        connection.request("POST", "/v1/chat/completions", body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("x-request-id", "")


@contextmanager
def calling(product: Running, secret: str) -> Iterator[tuple[Caller, Caller]]:
    callers = Caller(product, secret), Caller(product, secret)
    for caller in callers:
        caller.start()
    try:
        yield callers
    finally:
        for caller in callers:
            caller.stop()


def asked(product: Running, query: str, *parameters: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(product.data_dir / "megadash.sqlite3", timeout=20)) as database:
        return database.execute(query, parameters).fetchall()


def last_uses(product: Running, key_id: str) -> list[str]:
    """Of the secrets, the oldest first."""
    query = "SELECT coalesce(last_used_at, '') FROM accounts_keysecret WHERE key_id = ? ORDER BY id"
    return [row[0] for row in asked(product, query, key_id)]


@pytest.fixture(scope="module")
def browser(product: Running) -> SignedIn:
    return SignedIn(product)


@pytest.fixture(scope="module")
def team(browser: SignedIn) -> str:
    return browser.make_team("Rotating team", "Enterprise")


def test_a_key_is_rotated_while_programs_call_and_none_of_their_calls_fails(
    product: Running, browser: SignedIn, team: str
) -> None:
    old = browser.make_key(team, "rotated")
    key = found(r"(/t/\d+/keys/\d+/)made/", browser.at)
    key_id = found(r"/keys/(\d+)/", key)
    with calling(product, old) as (quick, slow):
        assert eventually(lambda: quick.has_called(old) and slow.has_called(old), bool)
        new = found(r'id="secret">([^<]+)<', browser.submit(f"{key}rotate/", {"overlap": "24"}))
        assert browser.at == f"{key}made/"
        assert new != old
        # One program has the new secret at once, the other not yet: both go on.
        quick.secret = new
        assert eventually(lambda: quick.has_called(new) and slow.has_called(old, 16), bool)
        slow.secret = new
        assert eventually(lambda: slow.has_called(new), bool)
        browser.submit(f"{key}finish/", {})
        finished_at = time.monotonic()
        assert eventually(lambda: call(product, old)[0], lambda status: status == 401, patience_s=5) == 401
        assert time.monotonic() - finished_at < 2
        seen = len(quick.answers)
        assert eventually(lambda: len(quick.answers) >= seen + 8, bool)
    answers = [*quick.answers, *slow.answers]
    assert {status for _, status, _ in answers} == {200}
    ids = {request_id for _, _, request_id in answers}
    assert len(ids) == len(answers)
    events = [event for event in product.recorded(ids) if event["request_id"] in ids]
    assert {event["key_id"] for event in events} == {f"key_{key_id}"}
    for secret, used_at in zip((old, new), last_uses(product, key_id), strict=True):
        latest = max(event["started_at"] for event in events if event["request_id"] in made_with(answers, secret))
        assert used_at.replace(" ", "T")[:19] >= latest[:19]
    assert re.search(r"Live.*Ended", browser.get(key), re.DOTALL)


def made_with(answers: list[tuple[str, int, str]], secret: str) -> set[str]:
    return {request_id for sent, _, request_id in answers if sent == secret}


def test_of_those_who_rotate_a_key_at_once_one_makes_a_secret(product: Running, browser: SignedIn, team: str) -> None:
    browser.make_key(team, "wanted by many")
    key = found(r"(/t/\d+/keys/\d+/)made/", browser.at)
    key_id = found(r"/keys/(\d+)/", key)
    rotating = [
        threading.Thread(target=browser.submit, args=(f"{key}rotate/", {"overlap": "1"}), daemon=True) for _ in range(4)
    ]
    for thread in rotating:
        thread.start()
    for thread in rotating:
        thread.join(30)
    assert asked(product, "SELECT count(*) FROM accounts_keysecret WHERE key_id = ?", key_id) == [(2,)]
    told = "SELECT count(*) FROM accounts_auditentry WHERE action = 'key.rotate' AND subject_id = ?"
    assert asked(product, told, key_id) == [(1,)]
