"""Inviting people into a team by e-mail. The link's token is kept as a hash only, and works once."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accounts import audit, mail
from accounts.models import InstanceSettings, Invitation, Membership, Team, User

TOKEN_BYTES = 32


class AlreadyMember(Exception):
    """Nobody is invited into a team they are in."""


class AlreadyInvited(Exception):
    """The e-mail address has an open invitation to this team."""


class NotOpen(Exception):
    """Used, withdrawn or expired, perhaps a moment ago."""


def invite(actor: User, team: Team, email: str, role: str, request: HttpRequest) -> tuple[Invitation, bool]:
    """The invitation, and whether its e-mail could be sent. Raises AlreadyMember and AlreadyInvited."""
    email, now, token = email.strip().lower(), timezone.now(), secrets.token_urlsafe(TOKEN_BYTES)
    with transaction.atomic():
        # Held until the end, so that two who invite the same person take turns.
        Team.objects.select_for_update().get(pk=team.pk)
        if Membership.objects.filter(team=team, user__email__iexact=email).exists():
            raise AlreadyMember
        if open_for(email, now).filter(team=team).exists():
            raise AlreadyInvited
        invitation = Invitation.objects.create(
            team=team, email=email, role=role, invited_by=actor, token_digest=digest(token), expires_at=_end(now)
        )
        audit.record(actor, "member.invite", team, email, role=role)
    return invitation, _send(invitation, token, actor, request)


def resend(actor: User, invitation: Invitation, request: HttpRequest) -> bool:
    """With a new token: the link sent before is dead. Gives whether the e-mail could be sent. Raises NotOpen."""
    token, now = secrets.token_urlsafe(TOKEN_BYTES), timezone.now()
    with transaction.atomic():
        waiting = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, withdrawn_at=None)
        if not waiting.update(token_digest=digest(token), expires_at=_end(now)):
            raise NotOpen
        audit.record(actor, "member.invite_again", invitation.team, invitation.email, role=invitation.role)
    invitation.refresh_from_db()
    return _send(invitation, token, actor, request)


@transaction.atomic
def withdraw(actor: User, invitation: Invitation, now: datetime) -> None:
    """Harmless when sent twice. Raises NotOpen when it was accepted meanwhile."""
    waiting = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, withdrawn_at=None)
    if waiting.update(withdrawn_at=now):
        audit.record(actor, "member.uninvite", invitation.team, invitation.email)
    elif Invitation.objects.filter(pk=invitation.pk).exclude(accepted_at=None).exists():
        raise NotOpen


@transaction.atomic
def accept(invitation: Invitation, user: User, now: datetime) -> None:
    """Claimed by a conditional update: of two who follow the link at once, one gets in. Raises NotOpen."""
    claimed = open_for(invitation.email, now).filter(pk=invitation.pk)
    if not claimed.update(accepted_at=now, accepted_by=user):
        raise NotOpen
    Membership.objects.get_or_create(user=user, team=invitation.team, defaults={"role": invitation.role})
    audit.record(user, "member.join", invitation.team, user, role=invitation.role)


def join_as_new(invitation: Invitation, name: str, password: str, now: datetime) -> User:
    """Makes the account that the invitation stands for. Raises NotOpen."""
    with transaction.atomic():
        user = User.objects.create_user(invitation.email, password, name=name)
        accept(invitation, user, now)
    return user


def find(token: str) -> Invitation | None:
    """By its link's token, in whatever state it is."""
    found = Invitation.objects.select_related("team__tier", "invited_by")
    return found.filter(token_digest=digest(token), team__archived_at=None).first()


def open_for(email: str, now: datetime) -> QuerySet[Invitation]:
    waiting = Invitation.objects.filter(accepted_at=None, withdrawn_at=None, expires_at__gt=now)
    return waiting.filter(email__iexact=email, team__archived_at=None)


def digest(token: str) -> str:
    """256 random bits need neither salt nor a slow hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _end(now: datetime) -> datetime:
    return now + timedelta(days=InstanceSettings.current().invitation_days)


def _send(invitation: Invitation, token: str, actor: User, request: HttpRequest) -> bool:
    """In the language of the request. After the transaction: a slow mail server must not hold it open."""
    link = mail.absolute(request, reverse("join", args=[token]))
    context = {"invitation": invitation, "team": invitation.team, "inviter": actor, "link": link}
    return mail.send("mail/invitation", invitation.email, context)
