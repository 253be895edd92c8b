"""Providers, models and routes as an administrator changes them: each change with its line in the audit trail, and in
the change feed, so that the gateway knows within two seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Max

from accounts import audit
from accounts.models import User
from usage import catalog
from usage.models import WHOLE_INSTANCE, DayModelBucket, Model, Provider, Route


class InUse(Exception):
    """Calls were sent to this provider: what they cost is kept under its name."""


# Providers -----------------------------------------------------------------------------------------------------------


@transaction.atomic
def add_provider(actor: User, wanted: Mapping[str, Any], api_key: str, *, with_routes: bool) -> Provider:
    """`wanted` are columns. With routes: to each model its price book knows, after the routes there are."""
    provider = Provider(**wanted)
    provider.save()
    if api_key:
        provider.seal_api_key(api_key)
        provider.save(update_fields=["sealed_api_key"])
    routes = catalog.route_known_models(provider) if with_routes else 0
    audit.record(actor, "provider.create", None, provider, **wanted, key="set" if api_key else "none", routes=routes)
    return provider


@transaction.atomic
def change_provider(actor: User, provider_id: int, wanted: Mapping[str, Any], api_key: str) -> Provider:
    """A new base URL never gets the old key: without a new one the provider has none. Neither does it keep the right to
    be in a private network, which was given to the old address."""
    provider = Provider.objects.select_for_update().get(pk=provider_id)
    changes: dict[str, object] = dict(audit.differences(provider, wanted))
    has_moved = "base_url" in changes
    for name, value in wanted.items():
        setattr(provider, name, value)
    if has_moved:
        provider.may_be_private = False
    if api_key or (has_moved and provider.sealed_api_key):
        provider.seal_api_key(api_key)
        changes["key"] = "replaced" if api_key else "removed"
    if changes:
        provider.save()
        audit.record(actor, "provider.change", None, provider, **changes)
    if "price_book" in changes and not provider.is_sandbox:
        catalog.seed_prices_of((provider.price_book, route.upstream_model) for route in provider.routes.all())
    return provider


@transaction.atomic
def switch_provider(actor: User, provider_id: int, *, enabled: bool) -> Provider:
    """On or off. Sent twice, only the first is recorded."""
    provider = Provider.objects.select_for_update().get(pk=provider_id)
    if provider.enabled != enabled:
        provider.enabled = enabled
        provider.save(update_fields=["enabled"])
        audit.record(actor, "provider.enable" if enabled else "provider.disable", None, provider)
    return provider


@transaction.atomic
def remove_provider(actor: User, provider: Provider) -> None:
    """With its routes. Raises InUse."""
    if has_calls(provider):
        raise InUse
    name, base_url = provider.name, provider.base_url
    provider.delete()
    audit.record(actor, "provider.delete", None, name, base_url=base_url)


def has_calls(provider: Provider) -> bool:
    """Calls are counted under a provider's name, so it may then neither go nor be renamed."""
    return DayModelBucket.objects.filter(zone="UTC", team_id=WHOLE_INSTANCE, provider=provider.name).exists()


# Models --------------------------------------------------------------------------------------------------------------


@transaction.atomic
def add_model(actor: User, wanted: Mapping[str, Any]) -> Model:
    model = Model(**wanted)
    model.save()
    audit.record(actor, "model.create", None, model, **_plain(wanted))
    return model


@transaction.atomic
def change_model(actor: User, model_id: int, wanted: Mapping[str, Any]) -> Model:
    """Its name stays: calls are counted under it."""
    model = Model.objects.select_for_update().get(pk=model_id)
    changes = audit.differences(model, wanted)
    for name, value in wanted.items():
        setattr(model, name, value)
    if changes:
        model.save()
        audit.record(actor, "model.change", None, model, **changes)
    return model


@transaction.atomic
def switch_model(actor: User, model_id: int, *, enabled: bool) -> Model:
    model = Model.objects.select_for_update().get(pk=model_id)
    if model.enabled != enabled:
        model.enabled = enabled
        model.save(update_fields=["enabled"])
        audit.record(actor, "model.enable" if enabled else "model.disable", None, model)
    return model


# Routes --------------------------------------------------------------------------------------------------------------


@transaction.atomic
def add_route(actor: User, model: Model, provider: Provider, upstream_model: str) -> Route:
    """Tried after all others. List prices of the provider's name for it are added where they are known."""
    last = model.routes.aggregate(last=Max("priority"))["last"]
    route = Route(
        model=model, provider=provider, upstream_model=upstream_model, priority=0 if last is None else last + 1
    )
    route.save()
    if not provider.is_sandbox:
        catalog.seed_prices_of([(provider.price_book, upstream_model)])
    _record_route(actor, "route.create", route)
    return route


@transaction.atomic
def move_route(actor: User, route: Route, *, up: bool) -> None:
    """Tried one place earlier, or later."""
    order = list(Route.objects.select_for_update().filter(model_id=route.model_id))
    here = order.index(route)
    there = here - 1 if up else here + 1
    if not 0 <= there < len(order):
        return
    order[here], order[there] = order[there], order[here]
    for place, each in enumerate(order):
        if each.priority != place:
            each.priority = place
            each.save(update_fields=["priority"])
    _record_route(actor, "route.move", route, place=there + 1)


@transaction.atomic
def switch_route(actor: User, route: Route, *, enabled: bool) -> None:
    if route.enabled != enabled:
        route.enabled = enabled
        route.save(update_fields=["enabled"])
        _record_route(actor, "route.enable" if enabled else "route.disable", route)


@transaction.atomic
def remove_route(actor: User, route: Route) -> None:
    _record_route(actor, "route.delete", route)
    route.delete()


def _record_route(actor: User, action: str, route: Route, **details: object) -> None:
    audit.record(
        actor,
        action,
        None,
        route.model.name,
        provider=route.provider.name,
        upstream_model=route.upstream_model,
        **details,
    )


def _plain(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON takes it."""
    plain = (str, int, bool, list, type(None))
    return {name: value if isinstance(value, plain) else str(value) for name, value in wanted.items()}
