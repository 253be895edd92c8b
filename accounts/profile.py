"""What people change about themselves: name, language, and the e-mail address they sign in with."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from django.core import signing
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse

from accounts import audit, mail, sessions
from accounts.models import User

SALT = "megadash new e-mail address"
TICKET_LASTS_S = 86_400


class TicketBroken(Exception):
    """Forged, too old, used, somebody else's, or for an address that has an account by now."""


def change(user: User, name: str, language: str) -> None:
    user.name, user.language = name, language
    user.save(update_fields=["name", "language"])


def ask_for_email(user: User, email: str, request: HttpRequest) -> bool:
    """Nothing changes before the link in the e-mail is opened. False when the e-mail could not be sent."""
    ticket = signing.dumps([user.pk, user.email, email.lower()], salt=SALT)
    link = mail.absolute(request, reverse("account-email-confirm", args=[ticket]))
    return mail.send("mail/address", email, {"link": link})


def read_ticket(user: User, ticket: str) -> str:
    """The new address. Raises TicketBroken."""
    try:
        told: Any = signing.loads(ticket, salt=SALT, max_age=TICKET_LASTS_S)
    except signing.BadSignature as error:
        raise TicketBroken from error
    owner, old, new = told
    # The old address is in it, so it works once.
    if (owner, old) != (user.pk, user.email) or User.objects.filter(email__iexact=new).exists():
        raise TicketBroken
    return str(new)


def change_email(user: User, ticket: str, request: HttpRequest) -> None:
    """Raises TicketBroken."""
    with transaction.atomic():
        old, user.email = user.email, read_ticket(user, ticket)
        user.save(update_fields=["email"])
        # What allauth keeps of addresses would still let links to the old one in.
        EmailAddress.objects.filter(user=user).delete()
        audit.record(user, "email.change", None, user, old=old, new=user.email)
        sessions.end_others(request, user)
    mail.send("mail/address_changed", old, {"new": user.email})
