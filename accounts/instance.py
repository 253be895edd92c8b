"""The instance as a whole: what its administrators set for it, and the address people reach it at."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.http import HttpRequest

from accounts import audit
from accounts.models import InstanceSettings, User

REMEMBER_S = 5
REMEMBERED = "instance"


@transaction.atomic
def change(actor: User, wanted: dict[str, Any]) -> None:
    """`wanted` by column. Says nothing where nothing changed."""
    InstanceSettings.current()
    held = InstanceSettings.objects.select_for_update().get(pk=1)
    changed = audit.differences(held, wanted)
    if not changed:
        return
    for name, value in wanted.items():
        setattr(held, name, value)
    held.save()
    audit.record(actor, "settings.change", None, held, **changed)
    transaction.on_commit(lambda: cache.delete(REMEMBERED))


def current() -> InstanceSettings:
    """At most a few seconds old: pages ask for it again and again, and it changes twice a year."""
    known: InstanceSettings | None = cache.get(REMEMBERED)
    if known is None:
        known = InstanceSettings.current()
        cache.set(REMEMBERED, known, REMEMBER_S)
    return known


def public_url(request: HttpRequest) -> str:
    """Where people and programs reach this instance, without a slash at the end: as set by an administrator, else as
    set by the environment, else the address of this request."""
    return (current().public_url or settings.PUBLIC_URL or request.build_absolute_uri("/")).rstrip("/")
