"""Keys, tiers, models and routes in memory, so that a call needs no database.

A thread beside the event loop asks the change feed once a second for what changed since its last look: a revoked key
stops within two
seconds. With the database away, what is known stays known.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from django.db import Error, close_old_connections
from django.utils import timezone

from accounts import secrets
from accounts.models import ApiKey, Change
from usage.models import WHOLE_INSTANCE, DayModelBucket, Model, Price, Route
from usage.proxy.limits import Limiter, Scope
from usage.vault import SealBroken

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


class UnknownModel(Exception):
    """Not in the catalogue, or no enabled route."""


class Caller(msgspec.Struct, gc=False, frozen=True):
    """Who calls: one live key and all that the hot path needs to know of its team."""

    key_id: int
    key_name: str
    team_id: int
    team_name: str
    # Unix seconds; 0 is never.
    expires_at_s: float
    scopes: tuple[Scope, ...]
    drains_on_abort: bool
    reserve_output_tokens: int
    base_headers: tuple[tuple[bytes, bytes], ...]


class Target(msgspec.Struct, gc=False, frozen=True):
    """One way to get an answer: a provider and its name for the model."""

    model: str
    kind: str
    upstream_model: str
    provider_id: int
    provider: str
    base_url: str
    authorization: str
    price_book: str
    context_length: int | None
    max_output_tokens: int | None
    encoding: str

    def without_key(self, body: bytes) -> bytes:
        """A provider's error may quote the key it was given, which is ours."""
        key = self.authorization.removeprefix("Bearer ").encode()
        return body.replace(key, b"[key]") if key else body


class Directory:
    def __init__(self, limiter: Limiter, pepper: bytes) -> None:
        self._limiter, self._pepper = limiter, pepper
        self._digest = secrets.digester(pepper)
        self._callers: dict[str, Caller] = {}
        self._digest_of_key: dict[int, str] = {}
        self._targets: dict[str, list[Target]] = {}
        self._unknown: dict[str, float] = {}
        self._lookups: dict[str, asyncio.Future[Caller | None]] = {}
        # A look-up that read a key before it was revoked must not put it back after the feed took it away.
        self._callers_lock = threading.Lock()
        self._is_away = False
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

    def targets(self, model: str) -> list[Target]:
        """In the order they are tried. Raises UnknownModel."""
        targets = self._targets.get(model)
        if not targets:
            raise UnknownModel(model)
        return targets

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
        if rows.keys() & {"model", "route", "provider"}:
            self._load_targets()
        if rows.keys() & {"team", "tier"}:
            self._replace_callers(None)
        elif "apikey" in rows:
            self._replace_callers(rows["apikey"])

    def _replace_callers(self, key_ids: set[int] | None) -> None:
        """Those keys, or all of them. The new dictionary replaces the old in one step: the event loop never waits."""
        with self._callers_lock:
            self._replace_callers_locked(key_ids)

    def _replace_callers_locked(self, key_ids: set[int] | None) -> None:
        keys = ApiKey.objects.select_related("team__tier").filter(revoked_at=None, team__archived_at=None)
        if key_ids is not None:
            keys = keys.filter(pk__in=key_ids)
        live = {key.digest: self._caller(key) for key in keys.iterator()}
        if key_ids is None:
            self._callers = live
        else:
            gone = {self._digest_of_key[key_id] for key_id in key_ids if key_id in self._digest_of_key}
            self._callers = {digest: caller for digest, caller in self._callers.items() if digest not in gone} | live
        self._digest_of_key = {caller.key_id: digest for digest, caller in self._callers.items()}
        for digest in live:
            self._unknown.pop(digest, None)

    def _look_up(self, digest: str) -> Caller | None:
        close_old_connections()
        with self._callers_lock:
            return self._look_up_locked(digest)

    def _look_up_locked(self, digest: str) -> Caller | None:
        key = (
            ApiKey.objects.select_related("team__tier")
            .filter(digest=digest, revoked_at=None, team__archived_at=None)
            .first()
        )
        if key is None or not key.is_live(timezone.now()):
            if len(self._unknown) >= MOST_UNKNOWN:
                self._unknown.clear()
            self._unknown[digest] = time.monotonic() + UNKNOWN_FOR_S
            return None
        caller = self._caller(key)
        self._callers[digest] = caller
        self._digest_of_key[caller.key_id] = digest
        return caller

    def _caller(self, key: ApiKey) -> Caller:
        team, tier = key.team, key.team.tier
        limits = (tier.requests_per_minute, tier.tokens_per_minute, tier.concurrent_requests)
        scopes = [self._limiter.scope("team", team.pk, *limits)]
        own = (key.requests_per_minute, key.tokens_per_minute, key.concurrent_requests)
        if any(limit is not None for limit in own):
            scopes.append(self._limiter.scope("key", key.pk, *own))
        return Caller(
            key_id=key.pk,
            key_name=key.name,
            team_id=team.pk,
            team_name=team.name,
            expires_at_s=key.expires_at.timestamp() if key.expires_at else 0.0,
            scopes=tuple(scopes),
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
        targets: dict[str, list[Target]] = {}
        models: dict[str, Model] = {}
        routes = Route.objects.select_related("model", "provider").filter(
            enabled=True, model__enabled=True, provider__enabled=True
        )
        for route in routes:
            try:
                targets.setdefault(route.model.name, []).append(_target(route))
            except SealBroken as error:
                logger.error("%s: %s", route.provider.name, error)
                continue
            models[route.model.name] = route.model
        objects = {name: _model_object(models[name], prices) for name, prices in _present_prices(targets).items()}
        self._targets = targets
        self.model_objects = {name: json.dumps(value).encode() for name, value in objects.items()}
        listed = [objects[name] for name in sorted(objects)]
        self.model_list = json.dumps({"object": "list", "data": listed}).encode()


def _target(route: Route) -> Target:
    model, provider = route.model, route.provider
    api_key = provider.api_key
    return Target(
        model=model.name,
        kind=model.kind,
        upstream_model=route.upstream_model,
        provider_id=provider.pk,
        provider=provider.name,
        base_url=provider.base_url.rstrip("/"),
        authorization=f"Bearer {api_key}" if api_key else "",
        price_book=provider.price_book,
        context_length=model.context_length,
        max_output_tokens=model.max_output_tokens,
        encoding=model.encoding,
    )


def _present_prices(targets: dict[str, list[Target]]) -> dict[str, dict[str, str]]:
    """The standard prices now of each model's first route: USD per million tokens, as strings."""
    now = timezone.now()
    rows = (
        Price.objects.filter(
            version__service_tier="",
            above_input_tokens=0,
            token_class__in=("input", "output"),
            version__valid_from__lte=now,
        )
        .exclude(version__valid_to__lte=now)
        .order_by("version__valid_from")
        .values_list("version__price_book", "version__model", "token_class", "usd_per_million")
    )
    prices: dict[tuple[str, str], dict[str, str]] = {}
    for book, model, token_class, usd in rows:
        prices.setdefault((book, model), {})[token_class] = format(usd.normalize(), "f")
    return {name: prices.get((tried[0].price_book, tried[0].upstream_model), {}) for name, tried in targets.items()}


def _model_object(model: Model, prices: dict[str, str]) -> dict[str, Any]:
    """OpenAI's fields, and the seed vendor's."""
    return {
        "id": model.name,
        "object": "model",
        "created": int(model.released_at.timestamp()),
        "owned_by": model.owned_by,
        "type": model.kind,
        "display_name": model.display_name,
        "capabilities": model.capabilities,
        "context_length": model.context_length,
        "max_output_tokens": model.max_output_tokens,
        "shutdown_date": model.shutdown_date.isoformat() if model.shutdown_date else None,
        "pricing": {
            "input_tokens_cost_per_million": _as_number(prices.get("input")),
            "output_tokens_cost_per_million": _as_number(prices.get("output")),
            "currency": "USD",
        },
    }


def _as_number(usd: str | None) -> float | None:
    return None if usd is None else float(usd)
