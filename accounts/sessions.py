"""Ending sessions. One made before the user's present epoch is over at its next request, wherever it is kept."""

from __future__ import annotations

from allauth.usersessions.models import UserSession
from django.contrib.auth import update_session_auth_hash
from django.db.models import F
from django.http import HttpRequest

from accounts.models import User


def end_all(user: User) -> None:
    User.objects.filter(pk=user.pk).update(session_epoch=F("session_epoch") + 1)
    user.refresh_from_db(fields=["session_epoch"])


def end_others(request: HttpRequest, user: User) -> None:
    """All but the one of this request, which goes on under a new key."""
    end_all(user)
    update_session_auth_hash(request, user)
    UserSession.objects.filter(user=user).delete()
    UserSession.objects.create_from_request(request)


def end_after_change(request: HttpRequest | None, user: User) -> None:
    """After a change of what `user` may do: whoever made it to themselves stays signed in here."""
    if request is not None and request.user == user:
        end_others(request, user)
    else:
        end_all(user)
