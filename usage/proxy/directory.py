"""Keys, tiers, models and routes in memory, so that a call needs no database.

A thread beside the event loop asks the change feed once a second for what changed since its last look: a revoked key
stops within two
seconds. With the database away, what is known stays known.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import msgspec
from django.db import Error, close_old_connections
from django.db.models import QuerySet
from django.utils import timezone

from accounts import secrets
from accounts.models import Change, KeySecret
from accounts.networks import Networks
from usage.models import WHOLE_INSTANCE, DayModelBucket
from usage.proxy import targets
from usage.proxy.limits import Limiter, Scope
from usage.proxy.targets import Target

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
# Rows committed late carry an earlier time than ones already seen: look back this far each time.
OVERLAP = timedelta(seconds=10)
# A wholly new look at everything, in case the feed was cut (a restored backup, rows changed by hand).
REBUILD_EVERY_S = 300.0
UNKNOWN_FOR_S = 2.0
MOST_UNKNOWN = 10_000
LOOKUP_TIMEOUT_S = 5.0
RECENT_DAYS = 30
EPOCH_DAY = date(1970, 1, 1).toordinal()


class UnknownKey(Exception):
    """No live key has this secret."""


class DirectoryAway(Exception):
    """The database must be asked and does not answer: not the caller's fault, so never a 401."""


class WrongAddress(Exception):
    """The key may not be used from this address."""


class UnknownModel(Exception):
    """Not in the catalogue, no enabled route, or not a model this key may use."""


class UnpricedModel(Exception):
    """No price is known for its first route, and an administrator wants no calls of unknown cost."""


class Caller(msgspec.Struct, gc=False, frozen=True):
    """Who calls: one live secret of a key, and all that the hot path needs to know of the key and its team."""

    key_id: int
    secret_id: int
    key_name: str
    team_id: int
    team_name: str
    # Unix seconds, of the key or of the secret, whichever comes first; 0 is never.
    expires_at_s: float
    # The same objects for all secrets of a key: while it is rotated it has the limits of one.
    scopes: tuple[Scope, ...]
    # Empty is every model; None is every address.
    models: frozenset[str]
    networks: Networks | None
    drains_on_abort: bool
    reserve_output_tokens: int
    base_headers: tuple[tuple[bytes, bytes], ...]

    def may_use(self, model: str) -> bool:
        return not self.models or model in self.models


class Directory:
    def __init__(self, limiter: Limiter, pepper: bytes) -> None:
        self._limiter, self._pepper = limiter, pepper
        self._digest = secrets.digester(pepper)
        self._callers: dict[str, Caller] = {}
        self._digests_of_key: dict[int, set[str]] = {}
        self._targets: dict[str, list[Target]] = {}
        self._unpriced: frozenset[str] = frozenset()
        self._unknown: dict[str, float] = {}
        self._lookups: dict[str, asyncio.Future[Caller | None]] = {}
        # A look-up that read a key before it was revoked must not put it back after the feed took it away.
        self._callers_lock = threading.Lock()
        self._is_away = False
        self._prices_change_at: datetime | None = None
        self._seen: dict[int, datetime] = {}
        self._looked_until = datetime.min.replace(tzinfo=UTC)
        self._rebuilt_at = 0.0
        self.model_list = b""
        self.model_objects: dict[str, bytes] = {}

    # The hot path -----------------------------------------------------------------------------------------------

    def known_caller(self, secret: str) -> Caller | None:
        """From memory alone; None when the database must be asked. Raises UnknownKey."""
        digest = self._digest(secret)
        caller = self._callers.get(digest)
        if caller is not None:
            if caller.expires_at_s and time.time() >= caller.expires_at_s:
                raise UnknownKey
            return caller
        if secrets.is_typo(secret) or self._unknown.get(digest, 0) > time.monotonic():
            raise UnknownKey
        return None

    async def looked_up_caller(self, secret: str) -> Caller:
        """Asks the database once, off the event loop. Raises UnknownKey, DirectoryAway."""
        digest = secrets.digest(secret, self._pepper)
        asked = self._lookups.get(digest)
        if asked is None:
            asked = asyncio.get_running_loop().run_in_executor(None, self._look_up, digest)
            self._lookups[digest] = asked
            asked.add_done_callback(lambda _: self._lookups.pop(digest, None))
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                caller = await asyncio.shield(asked)
        except (Error, TimeoutError) as error:
            raise DirectoryAway from error
        if caller is None:
            raise UnknownKey
        return caller

    def encodings_in_use(self) -> list[str]:
        """Tokenizers of the models called in the last month, by the buckets. Empty when the database is away."""
        since = timezone.now().date().toordinal() - EPOCH_DAY - RECENT_DAYS
        try:
            rows = DayModelBucket.objects.filter(zone="UTC", team_id=WHOLE_INSTANCE, day__gte=since)
            models = set(rows.values_list("model", flat=True))
        except Error:
            return []
        return sorted({targets[0].encoding for model, targets in self._targets.items() if model in models})

    def targets(self, model: str, caller: Caller) -> list[Target]:
        """In the order they are tried. Raises UnknownModel and UnpricedModel."""
        targets = self._targets.get(model)
        if not targets or (caller.models and model not in caller.models):
            raise UnknownModel(model)
        if model in self._unpriced:
            raise UnpricedModel(model)
        return targets

    def models_of(self, caller: Caller) -> bytes:
        """The list of models, as this caller may use them."""
        if not caller.models:
            return self.model_list
        objects = self.model_objects
        listed = [objects[name] for name in sorted(caller.models) if name in objects]
        return b'{"object": "list", "data": [' + b", ".join(listed) + b"]}"

    # Following the database -------------------------------------------------------------------------------------

    def load(self) -> None:
        """Everything, once, before `follow`. Raises django.db.Error."""
        self._rebuild()

    async def follow(self) -> None:
        """Until cancelled. The looking is done beside the event loop, in a thread that other work shares."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.to_thread(self.look_again)

    def look_again(self) -> None:
        """One look; a database that is away is said once, and leaves what is known as it is."""
        try:
            if time.monotonic() - self._rebuilt_at > REBUILD_EVERY_S:
                self._rebuild()
            else:
                self.look()
        except Error as error:
            if not self._is_away:
                logger.error("The database is away, known keys keep working: %s", error)
            self._is_away = True
            close_old_connections()
            return
        if self._is_away:
            logger.warning("The database is back")
            self._is_away = False

    def look(self) -> None:
        """One look at the change feed."""
        since = self._looked_until - OVERLAP
        changes = list(Change.objects.filter(changed_at__gte=since).values_list("id", "kind", "row_id", "changed_at"))
        fresh = [(kind, row_id) for id_, kind, row_id, _ in changes if id_ not in self._seen]
        if fresh:
            self._apply(fresh)
        elif self._prices_change_at is not None and timezone.now() >= self._prices_change_at:
            self._load_targets()
        # Only now: a change that could not be read up must be seen again at the next look.
        self._seen = {id_: changed_at for id_, _, _, changed_at in changes}
        self._looked_until = max([self._looked_until, *self._seen.values()])

    def _rebuild(self) -> None:
        now = timezone.now()
        self._seen = dict(Change.objects.filter(changed_at__gte=now - OVERLAP).values_list("id", "changed_at"))
        self._looked_until = now
        self._load_targets()
        self._replace_callers(None)
        self._rebuilt_at = time.monotonic()

    def _apply(self, changes: Iterable[tuple[str, int]]) -> None:
        rows: dict[str, set[int]] = {}
        for kind, row_id in changes:
            rows.setdefault(kind, set()).add(row_id)
        # Callers first: a revoked key does not wait for providers' hosts to be looked up.
        if rows.keys() & {"team", "tier"}:
            self._replace_callers(None)
        elif "apikey" in rows:
            self._replace_callers(rows["apikey"])
        if rows.keys() & {"model", "route", "provider", "priceversion", "instancesettings"}:
            self._load_targets()

    def _replace_callers(self, key_ids: set[int] | None) -> None:
        """Those keys, or all of them. The new dictionary replaces the old in one step: the event loop never waits."""
        with self._callers_lock:
            self._replace_callers_locked(key_ids)

    def _replace_callers_locked(self, key_ids: set[int] | None) -> None:
        found = _live_secrets()
        if key_ids is not None:
            found = found.filter(key_id__in=key_ids)
        live = {secret.digest: self._caller(secret) for secret in found.iterator()}
        if key_ids is None:
            self._callers = live
        else:
            gone = {digest for key_id in key_ids for digest in self._digests_of_key.get(key_id, ())}
            self._callers = {digest: caller for digest, caller in self._callers.items() if digest not in gone} | live
        self._digests_of_key = {}
        for digest, caller in self._callers.items():
            self._digests_of_key.setdefault(caller.key_id, set()).add(digest)
        for digest in live:
            self._unknown.pop(digest, None)

    def _look_up(self, digest: str) -> Caller | None:
        close_old_connections()
        with self._callers_lock:
            return self._look_up_locked(digest)

    def _look_up_locked(self, digest: str) -> Caller | None:
        secret, now = _live_secrets().filter(digest=digest).first(), timezone.now()
        if secret is None or not (secret.is_live(now) and secret.key.is_live(now)):
            if len(self._unknown) >= MOST_UNKNOWN:
                self._unknown.clear()
            self._unknown[digest] = time.monotonic() + UNKNOWN_FOR_S
            return None
        caller = self._caller(secret)
        self._callers[digest] = caller
        self._digests_of_key.setdefault(caller.key_id, set()).add(digest)
        return caller

    def _caller(self, secret: KeySecret) -> Caller:
        key, team, tier = secret.key, secret.key.team, secret.key.team.tier
        limits = (tier.requests_per_minute, tier.tokens_per_minute, tier.concurrent_requests)
        scopes = [self._limiter.scope("team", team.pk, *limits)]
        own = (key.requests_per_minute, key.tokens_per_minute, key.concurrent_requests)
        # Without limits of its own too: it counts what the key takes of the team's.
        scopes.append(self._limiter.scope("key", key.pk, *own, of_team=team.pk))
        ends = [at.timestamp() for at in (key.expires_at, secret.expires_at) if at is not None]
        return Caller(
            key_id=key.pk,
            secret_id=secret.pk,
            key_name=key.name,
            team_id=team.pk,
            team_name=team.name,
            expires_at_s=min(ends, default=0.0),
            scopes=tuple(scopes),
            models=frozenset(key.allowed_models),
            networks=Networks(key.ip_ranges) if key.ip_ranges else None,
            drains_on_abort=team.on_abort == "drain",
            reserve_output_tokens=team.reserve_output_tokens,
            base_headers=(
                (b"content-type", b"application/json"),
                (b"openai-version", b"2020-10-01"),
                (b"openai-organization", b"megadash"),
                (b"openai-project", team.public_id.encode()),
            ),
        )

    def _load_targets(self) -> None:
        reading = targets.read(timezone.now())
        self._targets, self._unpriced = reading.targets, reading.unpriced
        self.model_list, self.model_objects = reading.model_list, reading.model_objects
        self._prices_change_at = reading.prices_change_at


def _live_secrets() -> QuerySet[KeySecret]:
    """Those that have an end in the future or behind them too: whoever asks looks at the clock."""
    found = KeySecret.objects.select_related("key__team__tier")
    return found.filter(revoked_at=None, key__revoked_at=None, key__team__archived_at=None)
