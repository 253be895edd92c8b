"""What allauth asks us: who may make an account, whom the company's provider vouches for, how secrets are kept."""

from __future__ import annotations

import base64
import logging
from smtplib import SMTPException
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.base import AuthProcess
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.translation import gettext

from accounts import invitations, mail
from accounts.models import InstanceSettings, User
from accounts.signing_in import second_factor

logger = logging.getLogger(__name__)


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never: an account is made on the page of an invitation."""
        return False

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """A mail server that is away must not turn a changed password into an error."""
        try:
            super().send_mail(template_prefix, email, {**context, "instance": InstanceSettings.current()})
        except (SMTPException, OSError):
            logger.exception("An e-mail could not be sent: %s", template_prefix)

    def get_reset_password_from_key_url(self, key: str) -> str:
        path = reverse("account_reset_password_from_key", kwargs={"uidb36": "UID", "key": "KEY"})
        return mail.absolute(self.request, path.replace("UID-KEY", key))

    def post_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse:
        """A new browser speaks the language of the profile at once."""
        response: HttpResponse = super().post_login(request, user, **kwargs)
        if user.language:
            remember_language(response, user.language)
        return response


class CompanyAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """The company's OpenID Connect provider. It vouches for an e-mail address only where it says so itself."""

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        if sociallogin.is_existing or sociallogin.state.get("process") == AuthProcess.CONNECT:
            return
        email = verified_email(sociallogin)
        if email is None:
            raise ImmediateHttpResponse(_refuse(request, "unverified"))
        user = User.objects.filter(email__iexact=email).first()
        if user:
            sociallogin.connect(request, user)
        elif not invitations.open_for(email, timezone.now()):
            raise ImmediateHttpResponse(_refuse(request, "not invited"))

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        email = verified_email(sociallogin)
        return email is not None and bool(invitations.open_for(email, timezone.now()))

    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]) -> User:
        user: User = sociallogin.user
        user.email = str(data.get("email") or "").lower()[:254]
        user.name = str(data.get("name") or "")[:200]
        return user

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: object = None) -> User:
        """A new person, and all that they were invited to: their provider has proved the address."""
        with transaction.atomic():
            user: User = super().save_user(request, sociallogin, form)
            for invitation in invitations.open_for(user.email, timezone.now()):
                invitations.accept(invitation, user, timezone.now())
        return user

    def on_authentication_error(self, request: HttpRequest, provider: Any, **details: Any) -> None:
        logger.warning("Sign-in through %s failed: %s %r", provider, details.get("error"), details.get("exception"))


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Secrets of authenticator apps and recovery codes are sealed: who reads the database cannot sign in with them."""

    def encrypt(self, text: str) -> str:
        return _fernet().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        try:
            return _fernet().decrypt(encrypted_text.encode()).decode()
        except InvalidToken:
            # No code fits an empty secret's; the person comes in with another factor, or an administrator removes it.
            logger.error("A second factor cannot be read: was MEGADASH_SECRET_KEY changed?")
            return ""

    def can_delete_authenticator(self, authenticator: Any) -> bool:
        return not second_factor.is_last_of_who_must(authenticator)

    def generate_authenticator_name(self, user: User, type: str) -> str:
        return gettext("Passkey")

    def get_totp_issuer(self) -> str:
        return InstanceSettings.current().name

    def _get_site_name(self) -> str:
        return InstanceSettings.current().name


def verified_email(sociallogin: SocialLogin) -> str | None:
    """Lower case. "true" in quotes, 1 and the like are not true."""
    return next((each.email.lower() for each in sociallogin.email_addresses if each.verified is True), None)


def remember_language(response: HttpResponse, language: str) -> None:
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=365 * 86_400,
        secure=settings.LANGUAGE_COOKIE_SECURE,
        samesite="Lax",
    )


def _refuse(request: HttpRequest, reason: str) -> HttpResponse:
    return render(request, "socialaccount/refused.html", {"reason": reason}, status=403)


def _fernet() -> MultiFernet:
    """The present key first; keys of former secrets still open what they sealed."""
    return MultiFernet([Fernet(_derive(key)) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _derive(secret_key: str | bytes) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"megadash second factors v1").derive(
        force_bytes(secret_key)
    )
    return base64.urlsafe_b64encode(derived)
