"""Who must have a second factor, and who has one."""

from __future__ import annotations

from allauth.mfa.models import Authenticator
from django.core.cache import cache
from django.db.models import QuerySet
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.http import HttpRequest

from accounts.models import InstanceSettings, Team, User

TwoFactor = InstanceSettings.TwoFactor
KINDS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
WANTED = "second-factor-wanted-of"
REMEMBER_S = 30
IN_SESSION = "has_second_factor"


def must_have(user: User) -> bool:
    wanted = cache.get(WANTED)
    if wanted is None:
        wanted = InstanceSettings.objects.values_list("two_factor", flat=True).first() or TwoFactor.NOBODY
        cache.set(WANTED, wanted, REMEMBER_S)
    return wanted == TwoFactor.EVERYONE or (wanted == TwoFactor.ADMINISTRATORS and user.is_staff)


@receiver(post_save, sender=InstanceSettings)
def _look_again(**_: object) -> None:
    cache.delete(WANTED)


def of(user: User) -> QuerySet[Authenticator]:
    """Recovery codes alone are none."""
    theirs: QuerySet[Authenticator] = Authenticator.objects.filter(user_id=user.pk, type__in=KINDS)
    return theirs


def users_with_one(team: Team) -> set[int]:
    """The ids of a team's members who have one."""
    theirs = Authenticator.objects.filter(user__memberships__team=team, type__in=KINDS)
    return set(theirs.values_list("user_id", flat=True))


def is_missing(request: HttpRequest, user: User) -> bool:
    """Whether this person must have one and has none. Asks the database once a session."""
    if not must_have(user) or request.session.get(IN_SESSION):
        return False
    if not of(user).exists():
        return True
    request.session[IN_SESSION] = True
    return False


def is_last_of_who_must(authenticator: Authenticator) -> bool:
    user = authenticator.user
    return must_have(user) and not of(user).exclude(pk=authenticator.pk).exists()
