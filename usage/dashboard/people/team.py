"""A team's members, invitations and settings."""

from __future__ import annotations

from typing import Any

from django.conf import settings as django_settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Case, QuerySet, Value, When
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from accounts import invitations, members, teams
from accounts.models import Invitation, Membership, Team
from accounts.policy import Action, Standing
from accounts.signing_in import second_factor, throttle
from usage import time_zones
from usage.dashboard.frame import in_team
from usage.dashboard.people.forms import InviteForm, RoleForm, TeamSettingsForm

FROM_OWNERS = Case(*(When(role=role, then=Value(at)) for at, role in enumerate(reversed(members.LADDER))))


@in_team(Action.SEE_TEAM)
def member_list(request: HttpRequest, standing: Standing) -> HttpResponse:
    team, manages = _team(standing), standing.may(Action.MANAGE_TEAM)
    found = Membership.objects.filter(team=team).select_related("user").order_by(FROM_OWNERS, "user__name", "id")
    return render(
        request,
        "dashboard/people/members.html",
        {
            "members": [(each, members.may_touch(standing, each)) for each in found],
            "manages": manages,
            "protected": second_factor.users_with_one(team) if manages else set(),
            "invitations": _open_invitations(team).select_related("invited_by") if manages else [],
            "now": timezone.now(),
        },
    )


@in_team(Action.MANAGE_TEAM)
def settings(request: HttpRequest, standing: Standing) -> HttpResponse:
    team = _team(standing)
    form = TeamSettingsForm(request.POST or None, instance=Team.objects.get(pk=team.pk))
    if request.method != "POST" or not form.is_valid():
        return render(request, "dashboard/people/settings.html", {"form": form})
    wanted = form.cleaned_data
    teams.change(standing.user, team, name=wanted["name"], on_abort=wanted["on_abort"])
    try:
        time_zones.change(standing.user, team, wanted["time_zone"])
    except ValidationError as error:
        form.add_error("time_zone", error)
        return render(request, "dashboard/people/settings.html", {"form": form})
    messages.success(request, gettext("%(name)s is saved.") % {"name": wanted["name"]})
    return _done(request, team)


@in_team(Action.MANAGE_TEAM)
def invite(request: HttpRequest, standing: Standing) -> HttpResponse:
    team = _team(standing)
    options: dict[str, Any] = {"roles": members.roles_open_to(standing), "initial": {"role": members.Role.MEMBER}}
    form = InviteForm(request.POST or None, **options)
    if request.method == "POST" and form.is_valid() and _invite(request, standing, form):
        return _done(request, team)
    # On a console or in a file nobody gets it: whoever invites should know where to look.
    is_mail_sent = "smtp" in django_settings.EMAIL_BACKEND
    return render(request, "dashboard/people/invite.html", {"form": form, "is_mail_sent": is_mail_sent})


def _invite(request: HttpRequest, standing: Standing, form: InviteForm) -> bool:
    """False with an error in the form."""
    email = form.cleaned_data["email"]
    if not throttle.count(request, "invite"):
        form.add_error("email", gettext("Too many invitations within an hour. Try again later."))
        return False
    try:
        _, is_sent = invitations.invite(standing.user, _team(standing), email, form.cleaned_data["role"], request)
    except invitations.AlreadyMember:
        form.add_error("email", gettext("This person is in the team already."))
        return False
    except invitations.AlreadyInvited:
        form.add_error("email", gettext("This person has an open invitation. Send it again from the list."))
        return False
    _say_sent(request, email, is_sent)
    return True


@in_team(Action.MANAGE_TEAM)
def resend(request: HttpRequest, standing: Standing, invitation_id: int) -> HttpResponse:
    invitation = _find_invitation(standing, invitation_id)
    if request.method == "POST":
        if not throttle.count(request, "invite"):
            return throttle.refuse(request)
        try:
            _say_sent(request, invitation.email, invitations.resend(standing.user, invitation, request))
        except invitations.NotOpen:
            messages.warning(request, gettext("This invitation is not open any more."))
    return redirect("members", invitation.team_id)


@in_team(Action.MANAGE_TEAM)
def withdraw(request: HttpRequest, standing: Standing, invitation_id: int) -> HttpResponse:
    invitation = _find_invitation(standing, invitation_id)
    if request.method == "POST":
        try:
            invitations.withdraw(standing.user, invitation, timezone.now())
            messages.success(
                request, gettext("The invitation of %(email)s is withdrawn.") % {"email": invitation.email}
            )
        except invitations.NotOpen:
            messages.warning(request, gettext("This invitation is not open any more."))
    return redirect("members", invitation.team_id)


@in_team(Action.MANAGE_TEAM)
def change_role(request: HttpRequest, standing: Standing, membership_id: int) -> HttpResponse:
    membership = _find(standing, membership_id)
    options = {"roles": members.roles_open_to(standing), "initial": {"role": membership.role}}
    form = RoleForm(request.POST or None, **options)  # type: ignore[arg-type]
    if request.method == "POST" and form.is_valid():
        try:
            members.change_role(standing, membership, form.cleaned_data["role"], request)
        except members.NotAllowed:
            form.add_error("role", gettext("Only owners decide about owners."))
        except members.LastOwner:
            form.add_error("role", gettext("A team needs an owner. Make somebody else one first."))
        else:
            messages.success(request, gettext("%(name)s has a new role.") % {"name": membership.user})
            return _done(request, _team(standing))
    return render(request, "dashboard/people/role.html", {"form": form, "membership": membership})


@in_team(Action.MANAGE_TEAM)
def remove(request: HttpRequest, standing: Standing, membership_id: int) -> HttpResponse:
    membership = _find(standing, membership_id)
    problem = ""
    if request.method == "POST":
        revoke_keys = "revoke_keys" in request.POST
        try:
            revoked = members.remove(standing, membership, timezone.now(), request, revoke_keys=revoke_keys)
        except members.NotAllowed:
            problem = gettext("Only owners decide about owners.")
        except members.LastOwner:
            problem = gettext("A team needs an owner. Make somebody else one first.")
        else:
            messages.success(request, _removed(membership, revoked))
            return _done(request, _team(standing))
    keys = members.live_keys_of(membership.user, membership.team)
    return render(request, "dashboard/people/remove.html", {"membership": membership, "keys": keys, "problem": problem})


@in_team(Action.SEE_TEAM)
def leave(request: HttpRequest, standing: Standing) -> HttpResponse:
    team, problem = _team(standing), ""
    membership = Membership.objects.filter(user=standing.user, team=team).first()
    if membership is None:
        # An administrator of the platform looks at a team without being in it.
        problem = gettext("You are not in this team.")
    elif request.method == "POST":
        try:
            members.leave(standing.user, team, timezone.now(), request)
        except members.LastOwner:
            problem = gettext("A team needs an owner. Make somebody else one first.")
        else:
            return _done(request, None)
    keys = members.live_keys_of(standing.user, team)
    return render(request, "dashboard/people/leave.html", {"keys": keys, "problem": problem})


def _team(standing: Standing) -> Team:
    assert standing.team
    return standing.team


def _find(standing: Standing, membership_id: int) -> Membership:
    found = Membership.objects.select_related("user", "team").filter(pk=membership_id, team=standing.team).first()
    if found is None:
        raise Http404
    return found


def _find_invitation(standing: Standing, invitation_id: int) -> Invitation:
    found = Invitation.objects.select_related("team").filter(pk=invitation_id, team=standing.team).first()
    if found is None:
        raise Http404
    return found


def _open_invitations(team: Team) -> QuerySet[Invitation]:
    """Expired ones too: they can be sent again."""
    return Invitation.objects.filter(team=team, accepted_at=None, withdrawn_at=None)


def _say_sent(request: HttpRequest, email: str, is_sent: bool) -> None:
    if is_sent:
        messages.success(request, gettext("An invitation is on its way to %(email)s.") % {"email": email})
    else:
        told = gettext("%(email)s is invited, but the e-mail could not be sent. Try again with “Send again”.")
        messages.warning(request, told % {"email": email})


def _removed(membership: Membership, revoked: int) -> str:
    told = gettext("%(name)s is not in the team any more.") % {"name": membership.user}
    return f"{told} {gettext('Keys revoked: %(n)s.') % {'n': revoked}}" if revoked else told


def _done(request: HttpRequest, team: Team | None) -> HttpResponse:
    """Away from the dialog, to the whole page."""
    url = reverse("members", args=[team.pk]) if team else reverse("home")
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Redirect": url})
    return redirect(url)
