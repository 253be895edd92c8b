"""The page behind an invitation's link."""

from __future__ import annotations

from allauth.account.internal.flows.login import record_authentication
from allauth.account.utils import perform_login
from django.contrib import messages
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts import invitations
from accounts.models import Invitation, User
from accounts.signing_in import throttle
from usage.dashboard.people.forms import JoinForm


@sensitive_post_parameters("password")
@never_cache
def join(request: HttpRequest, token: str) -> HttpResponse:
    if throttle.is_over(request, "invitation"):
        return throttle.refuse(request)
    invitation = invitations.find(token)
    if invitation is None:
        throttle.count(request, "invitation")
        return render(request, "account/join_closed.html", {"state": "unknown"}, status=404)
    if not invitation.is_open(timezone.now()):
        return _closed(request, invitation)
    try:
        return _join(request, invitation)
    except invitations.NotOpen:
        # Somebody was faster, perhaps this person's second click.
        return _closed(request, invitation)
    except IntegrityError:
        return redirect(request.path)


def _join(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    if request.user.is_authenticated:
        return _join_as(request, invitation, request.user)
    if User.objects.filter(email__iexact=invitation.email).exists():
        return render(request, "account/join.html", {"invitation": invitation, "state": "has account"})
    form = JoinForm(request.POST or None, email=invitation.email)
    if request.method != "POST" or not form.is_valid():
        return render(request, "account/join.html", {"invitation": invitation, "state": "new", "form": form})
    wanted = form.cleaned_data
    user = invitations.join_as_new(invitation, wanted["name"], wanted["password"], timezone.now())
    record_authentication(request, user, method="invitation")
    answer: HttpResponse = perform_login(request, user, email_verification="none", redirect_url=_team_page(invitation))
    return answer


def _join_as(request: HttpRequest, invitation: Invitation, user: User) -> HttpResponse:
    if user.email.lower() != invitation.email.lower():
        return render(request, "account/join.html", {"invitation": invitation, "state": "somebody else"})
    if request.method != "POST":
        return render(request, "account/join.html", {"invitation": invitation, "state": "signed in"})
    invitations.accept(invitation, user, timezone.now())
    messages.success(request, gettext("You are in %(team)s now.") % {"team": invitation.team.name})
    return redirect(_team_page(invitation))


def _closed(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    invitation.refresh_from_db()
    state = "accepted" if invitation.accepted_at else "withdrawn" if invitation.withdrawn_at else "expired"
    return render(request, "account/join_closed.html", {"state": state, "invitation": invitation}, status=410)


def _team_page(invitation: Invitation) -> str:
    return reverse("overview", args=[invitation.team_id])
