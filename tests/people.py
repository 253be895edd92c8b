"""Signed-in people, and pages that need no collected static files."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import time
from typing import Any

from django.core.cache import cache
from django.test import Client
from django.utils.translation import trans_real

from accounts.models import Membership, Team, User
from bench.product import ROOT
from usage import translations


def person(email: str, team: Team | None = None, role: str = Membership.Role.OWNER, **fields: object) -> User:
    user = User.objects.create_user(email, "correct horse battery", name=email.partition("@")[0].title(), **fields)
    if team:
        Membership.objects.create(user=user, team=team, role=role)
    return user


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def code_now(secret: str) -> str:
    """RFC 6238, by hand."""
    digest = hmac.digest(base64.b32decode(secret), struct.pack(">Q", int(time.time()) // 30), hashlib.sha1)
    return f"{(struct.unpack_from('>I', digest, digest[-1] & 15)[0] & 0x7FFFFFFF) % 10**6:06}"


def compile_chinese(settings: Any) -> None:
    """The Chinese texts as they are in the tree, for this test's process."""
    translations.compile_all(ROOT / "locale", settings.LOCALE_PATHS[0])
    # What was read without them: it may be another worker that has compiled them just now.
    trans_real._translations.clear()


def forget_static_files(settings: Any) -> None:
    """The pages without `collectstatic`, and without what an earlier test left in the cache."""
    storages = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    settings.STORAGES = {**settings.STORAGES, **storages}
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "whitenoise" not in name]
    cache.clear()
