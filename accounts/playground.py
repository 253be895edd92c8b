"""The key of an open playground page: an ordinary key of the person in front of it, for a day at most."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models, transaction

from accounts import keys
from accounts.models import ApiKey, Team, User

# Name and tag: reports can tell what was tried here from what programs called.
NAME = "playground"
LASTS = timedelta(days=1)
# Several pages may be open; what pages left behind that never said goodbye is cleared away.
MOST_LIVE = 3


@transaction.atomic
def make_key(actor: User, team: Team, now: datetime) -> tuple[ApiKey, str]:
    """The key and its secret, which is not kept. Revokes the person's oldest when there are too many."""
    live = _of(actor, team).filter(revoked_at=None, expires_at__gt=now).order_by("-id")
    for key in live[MOST_LIVE - 1 :]:
        keys.revoke(actor, key, now)
    return keys.create(actor, team, NAME, tag=NAME, expires_at=now + LASTS)


def end_key(actor: User, team: Team, key_id: int, now: datetime) -> None:
    """The page is closed. Harmless when repeated, and for a key that is no playground key of this person."""
    if key := _of(actor, team).filter(pk=key_id).first():
        keys.revoke(actor, key, now)


def _of(actor: User, team: Team) -> models.QuerySet[ApiKey]:
    return ApiKey.objects.filter(team=team, created_by=actor, name=NAME, tag=NAME, expires_at__isnull=False)
