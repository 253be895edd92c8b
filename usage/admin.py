"""Django's own admin over the catalogue and the calls: to look rows up. Buckets are sums and are not there."""

from __future__ import annotations

from django.contrib import admin

from accounts.admin import LookOnly
from usage.models import Model, PriceVersion, Provider, Route, SavedView, UsageEvent


@admin.register(Provider)
class ProviderAdmin(LookOnly):
    list_display = ("name", "base_url", "price_book", "is_sandbox", "enabled")
    exclude = ("sealed_api_key",)


@admin.register(Model)
class ModelAdmin(LookOnly):
    list_display = ("name", "kind", "owned_by", "context_length", "shutdown_date", "enabled")
    search_fields = ("name",)


@admin.register(Route)
class RouteAdmin(LookOnly):
    list_display = ("model", "provider", "upstream_model", "priority", "enabled")
    list_select_related = ("model", "provider")


@admin.register(PriceVersion)
class PriceVersionAdmin(LookOnly):
    list_display = ("price_book", "model", "service_tier", "valid_from", "valid_to", "source")
    search_fields = ("model",)


@admin.register(SavedView)
class SavedViewAdmin(LookOnly):
    list_display = ("name", "team", "created_by", "is_shared")
    list_select_related = ("team", "created_by")


@admin.register(UsageEvent)
class UsageEventAdmin(LookOnly):
    """The newest; one call has its receipt on our own pages. No filter: each would read the whole ledger."""

    list_display = ("request_id", "started_at", "team_id", "requested_model", "provider", "status", "outcome")
