"""What calls can be sent to, read from the catalogue: models, their routes, and the list of models."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from django.db.models import Min

from accounts.models import InstanceSettings
from accounts.networks import Networks
from usage import catalog, destinations
from usage.models import Model, PriceVersion, Provider, Route
from usage.vault import SealBroken

logger = logging.getLogger(__name__)


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


class Reading(NamedTuple):
    """The catalogue as the gateway uses it."""

    # By public name, in the order they are tried.
    targets: dict[str, list[Target]]
    model_list: bytes
    model_objects: dict[str, bytes]
    # When the prices in the list of models stop being the present ones.
    prices_change_at: datetime | None
    # Models that an administrator wants refused, because their calls' cost would be unknown.
    unpriced: frozenset[str]


def read(now: datetime) -> Reading:
    """Raises django.db.Error. Looks up providers' hosts, for at most destinations.RESOLVE_TIMEOUT_S."""
    found = Route.objects.select_related("model", "provider")
    routes = list(found.filter(enabled=True, model__enabled=True, provider__enabled=True))
    refused = _refused({route.provider_id: route.provider for route in routes}.values())
    targets: dict[str, list[Target]] = {}
    models: dict[str, Model] = {}
    for route in routes:
        if route.provider_id in refused:
            continue
        try:
            target = _target(route)
        except SealBroken as error:
            logger.error("%s: %s", route.provider.name, error)
            continue
        targets.setdefault(route.model.name, []).append(target)
        models[route.model.name] = route.model
    prices_of = _present_prices(targets, now)
    objects = {name: _model_object(models[name], prices) for name, prices in prices_of.items()}
    listed = [objects[name] for name in sorted(objects)]
    return Reading(
        targets,
        json.dumps({"object": "list", "data": listed}).encode(),
        {name: json.dumps(value).encode() for name, value in objects.items()},
        PriceVersion.objects.filter(valid_from__gt=now).aggregate(at=Min("valid_from"))["at"],
        frozenset() if _allows_unpriced() else frozenset(name for name, prices in prices_of.items() if not prices),
    )


def _allows_unpriced() -> bool:
    """As long as nobody has opened the settings there is no row, and everything is allowed."""
    return all(InstanceSettings.objects.values_list("allow_unpriced_models", flat=True))


def _refused(providers: Collection[Provider]) -> set[int]:
    """Providers in private networks that nobody allowed. A host that is not answered for gets the benefit of the doubt:
    without an answer no call can reach it either."""
    asked = {provider.pk: provider for provider in providers if not (provider.is_sandbox or provider.may_be_private)}
    hosts = {provider_id: _host_of(provider) for provider_id, provider in asked.items()}
    allowed = Networks(next(iter(InstanceSettings.objects.values_list("private_networks", flat=True)), ()))
    addresses = destinations.resolve({host for host in hosts.values() if host})
    refused = {
        provider_id
        for provider_id, host in hosts.items()
        if not host or any(destinations.is_refused(address, allowed) for address in addresses[host])
    }
    for provider_id in refused:
        logger.error("%s has an address that is not allowed: no call is sent to it.", asked[provider_id].name)
    return refused


def _host_of(provider: Provider) -> str:
    """Empty for a row that was written past the pages and is no address."""
    try:
        return destinations.host_of(provider.base_url)
    except destinations.BadDestination:
        return ""


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


def _present_prices(targets: dict[str, list[Target]], now: datetime) -> dict[str, dict[str, float]]:
    """The standard prices now of each model's first route: USD per million tokens, below every threshold."""
    book = catalog.prices_at(now)
    prices: dict[str, dict[str, float]] = {}
    for name, tried in targets.items():
        found = book.find(tried[0].price_book, tried[0].upstream_model, "", now)
        exact = {kind: found[1].usd_per_million(kind, 0) for kind in ("input", "output")} if found else {}
        prices[name] = {kind: float(usd) for kind, usd in exact.items() if usd is not None}
    return prices


def _model_object(model: Model, prices: dict[str, float]) -> dict[str, Any]:
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
            "input_tokens_cost_per_million": prices.get("input"),
            "output_tokens_cost_per_million": prices.get("output"),
            "currency": "USD",
        },
    }
