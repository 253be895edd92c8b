"""A receipt as plain data, for the file a person downloads. Money as decimal text; null is unknown."""

from __future__ import annotations

from typing import Any

from usage.models import PriceVersion, UsageAttempt, UsageEvent
from usage.reports import events, exact
from usage.reports.calls import Line, Receipt


def of(receipt: Receipt) -> dict[str, Any]:
    event = receipt.event
    row = {column: getattr(event, column) for column in events.ROW}
    names = events.Names()
    names.teams[event.team_id] = event.team.name if event.team else None
    if event.key_id is not None:
        names.keys[event.key_id] = event.key.name if event.key else None
    return {
        "object": "receipt",
        **events.records([row], names)[0],
        "price_version": _version(event.price_version),
        "lines": [_line(line) for line in receipt.lines],
        "attempts": [_attempt(attempt) for attempt in receipt.attempts],
        "refusal": _refusal(event),
    }


def _version(version: PriceVersion | None) -> dict[str, Any] | None:
    if version is None:
        return None
    return {
        "id": version.pk,
        "price_book": version.price_book,
        "model": version.model,
        "service_tier": version.service_tier,
        "valid_from": version.valid_from.isoformat(),
        "source": version.source,
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "token_class": line.token_class,
        "tokens": line.tokens,
        "usd_per_million": None if line.usd_per_million is None else format(line.usd_per_million.normalize(), "f"),
        "cost_nano_usd": line.cost_nano_usd,
        "cost_usd": _usd(line.cost_nano_usd),
    }


def _attempt(attempt: UsageAttempt) -> dict[str, Any]:
    return {
        "model": attempt.model,
        "provider": attempt.provider,
        "status": attempt.status,
        "error_code": attempt.error_code,
        "latency_ms": attempt.latency_us / 1000,
        "upstream_request_id": attempt.upstream_request_id,
        "prompt_tokens": attempt.prompt_tokens,
        "completion_tokens": attempt.completion_tokens,
        "cost_usd": _usd(attempt.cost_nano_usd),
        "origin": attempt.origin,
    }


def _refusal(event: UsageEvent) -> dict[str, Any] | None:
    """Without the other keys of the team: a file is passed on."""
    if event.refusal is None:
        return None
    return {name: value for name, value in event.refusal.items() if not name.startswith("filled")}


def _usd(nano_usd: int | None) -> str | None:
    return None if nano_usd is None else exact.usd(nano_usd)
