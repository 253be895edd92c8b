"""Every sign-in and every change of how somebody signs in, in the audit trail."""

from __future__ import annotations

from typing import Any

from allauth.account import signals as account
from allauth.account.internal.flows.login import get_authentication_records
from allauth.mfa import signals as mfa
from allauth.mfa.models import Authenticator
from allauth.socialaccount import signals as social
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.core.cache import cache
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from accounts import audit, sessions
from accounts.models import User
from accounts.signing_in import second_factor
from accounts.signing_in.middleware import SEEN, SEEN_GRAIN_S

KINDS = {
    Authenticator.Type.TOTP: "second_factor",
    Authenticator.Type.WEBAUTHN: "passkey",
    Authenticator.Type.RECOVERY_CODES: "recovery_codes",
}


@receiver(account.user_logged_in)
def _signed_in(request: HttpRequest, user: User, **_: Any) -> None:
    ways = [record["type"] if record["method"] == "mfa" else record["method"] for record in _records(request, user)]
    audit.record(user, "sign_in", None, user.email, ways=ways)


@receiver(user_logged_in)
def _session_began(request: HttpRequest, user: User, **_: Any) -> None:
    """allauth has just written the session's row; the next look is in five minutes."""
    User.objects.filter(pk=user.pk).update(last_seen_at=timezone.now())
    cache.set(SEEN.format(request.session.session_key), True, SEEN_GRAIN_S)


@receiver(user_login_failed)
def _failed(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """What was tried as a password is nowhere."""
    tried = str(credentials.get("email") or credentials.get("username") or "")
    audit.record(None, "sign_in.fail", None, tried.replace("\0", ""), way="password")


@receiver(mfa.authentication_failed)
def _second_factor_failed(user: User, authenticator: Authenticator, **_: Any) -> None:
    audit.record(user, "sign_in.fail", None, user.email, way=authenticator.type)


@receiver(user_logged_out)
def _signed_out(user: User | None, **_: Any) -> None:
    if user is not None:
        audit.record(user, "sign_out", None, user.email)


@receiver([account.password_changed, account.password_set, account.password_reset])
def _password(signal: Any, request: HttpRequest, user: User, **_: Any) -> None:
    """Sessions with the old password are over by themselves: it is part of their fingerprint."""
    name = {account.password_changed: "change", account.password_set: "set", account.password_reset: "reset"}[signal]
    audit.record(user, f"password.{name}", None, user.email)


@receiver(mfa.authenticator_added)
def _added(user: User, authenticator: Authenticator, **_: Any) -> None:
    audit.record(user, f"{KINDS[authenticator.type]}.add", None, user.email, **_name(authenticator))


@receiver(mfa.authenticator_reset)
def _reset(user: User, authenticator: Authenticator, **_: Any) -> None:
    audit.record(user, f"{KINDS[authenticator.type]}.renew", None, user.email)


@receiver(mfa.authenticator_removed)
def _removed(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    audit.record(user, f"{KINDS[authenticator.type]}.remove", None, user.email, **_name(authenticator))
    if authenticator.type in second_factor.KINDS:
        sessions.end_others(request, user)
        request.session.pop(second_factor.IN_SESSION, None)


@receiver(social.social_account_added)
def _connected(sociallogin: Any, **_: Any) -> None:
    audit.record(sociallogin.user, "company_account.add", None, sociallogin.user.email)


@receiver(social.social_account_removed)
def _disconnected(socialaccount: Any, **_: Any) -> None:
    audit.record(socialaccount.user, "company_account.remove", None, socialaccount.user.email)


def _records(request: HttpRequest, user: User) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = get_authentication_records(request, user)
    return found


def _name(authenticator: Authenticator) -> dict[str, str]:
    return {"name": authenticator.wrap().name} if authenticator.type == Authenticator.Type.WEBAUTHN else {}
