"""Rows for tests: the cast, their keys, and calls that go through the real ledger with prices known by heart."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from accounts.models import AdminKey, ApiKey, Team, Tier
from usage import frames, ledger, pricing
from usage.models import Model

BASIC = {"requests_per_minute": 60, "tokens_per_minute": 90_000, "concurrent_requests": 10}
PRO = {"requests_per_minute": 300, "tokens_per_minute": 450_000, "concurrent_requests": 40}
# USD a million tokens.
GPT_4 = {"input": 30, "output": 60}
GPT_4O = {"input": "2.5", "cached": "1.25", "output": 10, "audio_input": 40, "audio_output": 80}
EMBEDDING = {"input": "0.02"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _version(id_: int, model: str, prices: dict[str, Any]) -> pricing.Version:
    exact = {name: [(0, Decimal(price))] for name, price in prices.items()}
    return pricing.Version(id_, "openai", model, "", EPOCH, None, pricing.PriceList(exact))


PRICES = pricing.PriceBook(
    [_version(1, "gpt-4", GPT_4), _version(2, "gpt-4o", GPT_4O), _version(3, "text-embedding-3-small", EMBEDDING)]
)


def tier(name: str = "Basic", **limits: Any) -> Tier:
    return Tier.objects.get_or_create(name=name, defaults=limits or (PRO if name == "Pro" else BASIC))[0]


def team(name: str = "Ada's team", tier_name: str = "Basic", **fields: Any) -> Team:
    return Team.objects.create(name=name, tier=tier(tier_name), **fields)


def key(of_team: Team, name: str = "notebook", **fields: Any) -> tuple[ApiKey, str]:
    return ApiKey.objects.create_with_secret(team=of_team, name=name, **fields)


def admin_key(name: str = "finance", **fields: Any) -> tuple[AdminKey, str]:
    return AdminKey.objects.create_with_secret(name=name, **fields)


def embedding_model(name: str = "text-embedding-3-small") -> Model:
    fields = {"display_name": name, "kind": Model.Kind.EMBEDDING, "owned_by": "openai", "released_at": EPOCH}
    return Model.objects.get_or_create(name=name, defaults=fields)[0]


def entry(of_key: ApiKey, at: datetime, model: str = "gpt-4", **fields: Any) -> ledger.Entry:
    """A call that went well and whose tokens the provider reported: 100 in, 20 out, unless told otherwise."""
    fields.setdefault("tokens", frames.Tokens(100, 0, 0, 0, 20, 0, 0))
    known = {
        "id": uuid7(at),
        "started_us": (at - EPOCH) // timedelta(microseconds=1),
        "team_id": of_key.team_id,
        "key_id": of_key.pk,
        "endpoint": "chat",
        "requested_model": model,
        "served_model": model,
        "status": 200,
        "outcome": "ok",
        "provider": "OpenAI",
        "price_book": "openai",
        "upstream_model": model,
        "origin": "provider",
        "latency_us": 812_345,
        "secret_id": of_key.shown_secret.pk if of_key.shown_secret else 0,
    }
    return ledger.Entry(**(known | fields))


def event(of_key: ApiKey, at: datetime, model: str = "gpt-4", **fields: Any) -> str:
    """Recorded; the value of its `x-request-id`."""
    made = entry(of_key, at, model, **fields)
    assert ledger.record([made], PRICES) == 1
    return f"req_{made.id.hex()}"


def refusal(of_key: ApiKey, at: datetime, model: str = "gpt-4") -> str:
    unsent = {"provider": "", "price_book": "", "upstream_model": "", "origin": "none", "latency_us": None}
    return event(of_key, at, model, status=429, outcome="refused", tokens=frames.NO_TOKENS, **unsent)


def uuid7(at: datetime) -> bytes:
    """With the time of `at`, which uuid_utils cannot be told to the millisecond."""
    ms = (at - EPOCH) // timedelta(milliseconds=1)
    random = int.from_bytes(os.urandom(10))
    random = random & ~(0xF << 76) | 7 << 76
    random = random & ~(0x3 << 62) | 2 << 62
    return (ms << 80 | random).to_bytes(16)
