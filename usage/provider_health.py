"""A look at each provider with its own SDK: is it there, how quick, how many models. No call depends on it."""

from __future__ import annotations

import time
from datetime import datetime

from openai import APIStatusError, OpenAI, OpenAIError

from usage.models import Provider, ProviderHealth
from usage.vault import SealBroken

TIMEOUT_S = 5.0


def check_all(now: datetime) -> int:
    """How many are up."""
    return sum(check(provider, now).is_up for provider in Provider.objects.filter(enabled=True))


def check(provider: Provider, now: datetime) -> ProviderHealth:
    started = time.monotonic()
    try:
        models_seen, error = _count_models(provider), ""
    except APIStatusError as refused:
        models_seen, error = None, f"HTTP {refused.status_code}"
    except (OpenAIError, SealBroken, ValueError) as failed:
        # The name only: a message may quote what was sent, and some providers quote the key.
        models_seen, error = None, type(failed).__name__
    health, _ = ProviderHealth.objects.update_or_create(
        provider=provider,
        defaults={
            "checked_at": now,
            "is_up": models_seen is not None,
            "latency_ms": None if models_seen is None else round((time.monotonic() - started) * 1000),
            "models_seen": models_seen,
            "error": error,
        },
    )
    return health


def _count_models(provider: Provider) -> int:
    # The SDK wants some key; without one of ours it must not take OPENAI_API_KEY from the environment.
    with OpenAI(
        base_url=provider.base_url, api_key=provider.api_key or "none", timeout=TIMEOUT_S, max_retries=0
    ) as client:
        return len(client.models.list().data)
