"""Who asks: a bearer key, found by its HMAC. Sessions and cookies mean nothing here."""

from __future__ import annotations

import hmac
import logging
import re
from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import OperationalError
from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts import secrets
from accounts.models import AdminKey, ApiKey, KeySecret
from accounts.networks import Networks, caller_address
from usage.api.errors import MissingScope, NoKey, WrongAddress, WrongKey

logger = logging.getLogger(__name__)
CREDENTIAL = re.compile(r"[!-~]{1,512}")
MOST_ADDRESS = 64
USAGE_SCOPE = "api.usage.read"


class Caller:
    """Takes the place of Django's user: permissions ask only whether somebody is there. The key is `request.auth`."""

    is_authenticated: ClassVar[bool] = True


class AnyKeyAuthentication(BaseAuthentication):
    """An admin key or an ordinary key."""

    def authenticate(self, request: Request) -> tuple[Caller, AdminKey | ApiKey]:
        now = timezone.now()
        key = _key_of(_credential(request), now)
        _check_address(key, request)
        _remember_use(key, now)
        return Caller(), key

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class AdminKeyAuthentication(AnyKeyAuthentication):
    """An admin key. An ordinary one is known, but may not: 403."""

    def authenticate(self, request: Request) -> tuple[Caller, AdminKey | ApiKey]:
        caller, key = super().authenticate(request)
        if not isinstance(key, AdminKey):
            raise MissingScope(USAGE_SCOPE)
        return caller, key


def _credential(request: Request) -> str:
    """The bearer token. Two credentials at once arrive joined by a comma and match no form: NoKey or WrongKey."""
    header: str = request.META.get("HTTP_AUTHORIZATION", "")
    scheme, _, credential = header.partition(" ")
    if scheme.lower() != "bearer" or not credential.strip():
        raise NoKey
    credential = credential.strip()
    if not CREDENTIAL.fullmatch(credential):
        raise WrongKey(_shown(credential))
    return credential


def _key_of(credential: str, now: datetime) -> AdminKey | ApiKey:
    """Raises WrongKey; a database that fails is not the caller's fault and is left to become a 503."""
    digest = secrets.digest(credential, secrets.pepper_from(settings.SECRET_KEY))
    of_teams = KeySecret.objects.filter(key__team__archived_at=None).select_related("key__team__tier")
    row = AdminKey.objects.filter(digest=digest).first() or of_teams.filter(digest=digest).first()
    if row is None or not hmac.compare_digest(row.digest, digest) or not row.is_live(now):
        raise WrongKey(_shown(credential))
    if isinstance(row, AdminKey):
        return row
    if not row.key.is_live(now):
        raise WrongKey(_shown(credential))
    row.key.shown_secret = row
    return row.key


def _check_address(key: AdminKey | ApiKey, request: Request) -> None:
    """As the gateway does it."""
    if isinstance(key, AdminKey) or not key.ip_ranges:
        return
    forwarded_for = request.META.get("HTTP_X_FORWARDED_FOR", "")
    address = caller_address(request.META.get("REMOTE_ADDR") or "", forwarded_for, settings.TRUSTED_PROXIES)
    if address not in Networks(key.ip_ranges):
        raise WrongAddress(address[:MOST_ADDRESS] or "unknown")


def _remember_use(key: AdminKey | ApiKey, now: datetime) -> None:
    """Of the key, and of the secret that was sent. To the minute. By `update`, so that the change feed does not wake
    the gateway for it."""
    before = now - AdminKey.LAST_USE_GRAIN
    rows = (key,) if isinstance(key, AdminKey) else (key, key.shown_secret)
    stale = Q(last_used_at=None) | Q(last_used_at__lte=before)
    try:
        for row in rows:
            if row is not None and (row.last_used_at is None or row.last_used_at <= before):
                type(row).objects.filter(stale, pk=row.pk).update(last_used_at=now)
    except OperationalError as error:
        # A reader must not fail because the ledger holds the write lock of SQLite, or the database is read-only.
        logger.warning("the last use of a key was not noted: %s", error)


def _shown(credential: str) -> str:
    """Enough to recognise one's own key by, and safe to print whatever was sent."""
    prefix = "sk-..." if credential.startswith("sk-") else ""
    tail = credential[-4:] if len(credential) >= 20 and credential[-4:].isalnum() and credential.isascii() else ""
    return f"{prefix}****{tail}"
