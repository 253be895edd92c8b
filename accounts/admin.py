"""Django's own admin, for the rest: to look rows up. What has a page of ours is changed there, where the audit trail is
written; people are the exception. No column with a secret, or with what is kept of one, is ever shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.paginator import Paginator
from django.db import models, transaction
from django.http import HttpRequest
from django.utils.functional import cached_property

from accounts import audit, sessions
from accounts.models import AdminKey, ApiKey, AuditEntry, Invitation, Membership, Team, Tier, User

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    Pages = Paginator[Any]
else:
    ModelAdmin, Pages = admin.ModelAdmin, Paginator

MOST_PAGED = 10_000
A_PAGE = 50
SWITCHES = ("name", "is_staff", "is_active")

# What allauth registers: its rows hold second factors' secrets and providers' tokens.
for _model in (Authenticator, EmailAddress, Group, SocialAccount, SocialApp, SocialToken, UserSession):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


class BoundedPaginator(Pages):
    """Counting ten million rows takes seconds: it stops at what anybody would page through."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return len(rows.order_by().values_list("pk")[:MOST_PAGED])


class LookOnly(ModelAdmin):
    """For platform administrators, to look at."""

    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = A_PAGE
    ordering = ("-pk",)
    # A count for each choice of a filter reads every row.
    show_facets = admin.ShowFacets.NEVER
    actions = None

    def get_fields(self, request: HttpRequest, obj: models.Model | None = None) -> Any:
        """Without this Django makes a form of all columns first, hidden ones included."""
        hidden = self.exclude or ()
        return list(self.fields or (field.name for field in self.model._meta.fields if field.name not in hidden))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _is_administrator(request)

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return _is_administrator(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


@admin.register(User)
class UserAdmin(LookOnly):
    """Who is a platform administrator, and who may sign in at all."""

    list_display = ("email", "name", "is_staff", "is_active", "date_joined")
    search_fields = ("email", "name")
    list_filter = ("is_staff", "is_active")
    fields = ("email", *SWITCHES, "date_joined", "last_login")

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return _is_administrator(request)

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> tuple[str, ...]:
        """Nobody locks themselves out."""
        own = ("is_staff", "is_active") if obj == request.user else ()
        return ("email", "date_joined", "last_login", *own)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """A change of what somebody may do ends their sessions."""
        assert request.user.is_authenticated
        with transaction.atomic():
            before = User.objects.select_for_update().get(pk=obj.pk)
            changed = audit.differences(before, {name: getattr(obj, name) for name in SWITCHES})
            if not changed:
                return
            obj.save(update_fields=SWITCHES)
            audit.record(request.user, "user.change", None, obj, **changed)
            if changed.keys() & {"is_staff", "is_active"}:
                sessions.end_after_change(request, obj)


@admin.register(Team)
class TeamAdmin(LookOnly):
    list_display = ("name", "tier", "time_zone", "created_at", "archived_at")
    list_select_related = ("tier",)
    search_fields = ("name",)


@admin.register(Tier)
class TierAdmin(LookOnly):
    list_display = ("name", "requests_per_minute", "tokens_per_minute", "concurrent_requests")


@admin.register(Membership)
class MembershipAdmin(LookOnly):
    list_display = ("user", "team", "role", "created_at")
    list_select_related = ("user", "team")
    search_fields = ("user__email", "team__name")


@admin.register(Invitation)
class InvitationAdmin(LookOnly):
    list_display = ("email", "team", "role", "created_at", "accepted_at", "withdrawn_at")
    list_select_related = ("team",)
    exclude = ("token_digest",)


@admin.register(ApiKey)
class ApiKeyAdmin(LookOnly):
    list_display = ("name", "team", "created_at", "expires_at", "revoked_at")
    list_select_related = ("team",)
    search_fields = ("name",)


@admin.register(AdminKey)
class AdminKeyAdmin(LookOnly):
    list_display = ("name", "redacted", "created_at", "expires_at", "revoked_at", "last_used_at")
    exclude = ("digest", "pepper_version")


@admin.register(AuditEntry)
class AuditEntryAdmin(LookOnly):
    list_display = ("happened_at", "actor_name", "action", "subject", "ip_address")


def _is_administrator(request: HttpRequest) -> bool:
    return request.user.is_active and bool(getattr(request.user, "is_staff", False))
