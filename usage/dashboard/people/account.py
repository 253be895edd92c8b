"""Your account: the pages that are not allauth's."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from allauth.account.decorators import reauthentication_required
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache

from accounts import audit
from accounts import profile as acts
from accounts import sessions as ending
from accounts.models import User
from accounts.signing_in import throttle
from accounts.signing_in.adapters import remember_language
from usage.dashboard.frame import to_sign_in
from usage.dashboard.people.forms import EmailForm, ProfileForm

P = ParamSpec("P")


def for_the_signed_in(view: Callable[Concatenate[HttpRequest, P], HttpResponse]) -> Any:
    """Strangers are sent to the sign-in, and parts of a page take the whole page along."""

    @wraps(view)
    def page(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        return view(request, *args, **kwargs) if request.user.is_authenticated else to_sign_in(request)

    return page


@for_the_signed_in
@never_cache
def profile(request: HttpRequest) -> HttpResponse:
    user = _user(request)
    form = ProfileForm(request.POST or None, instance=User.objects.get(pk=user.pk))
    if request.method != "POST" or not form.is_valid():
        return render(request, "account/profile.html", {"form": form})
    language = form.cleaned_data["language"]
    acts.change(user, form.cleaned_data["name"], language)
    with translation.override(language or translation.get_language()):
        messages.success(request, gettext("Your profile is saved."))
    answer = redirect("account-profile")
    if language:
        remember_language(answer, language)
    return answer


@for_the_signed_in
@reauthentication_required(app="allauth.account")  # type: ignore[untyped-decorator]
@never_cache
def email(request: HttpRequest) -> HttpResponse:
    form = EmailForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "account/email.html", {"form": form})
    if not throttle.count(request, "manage_email"):
        return throttle.refuse(request)
    wanted = form.cleaned_data["email"]
    if not acts.ask_for_email(_user(request), wanted, request):
        form.add_error("email", gettext("The e-mail could not be sent. Try again later."))
        return render(request, "account/email.html", {"form": form})
    messages.success(request, gettext("Open the link that is on its way to %(email)s.") % {"email": wanted})
    return redirect("account-profile")


@for_the_signed_in
@never_cache
def confirm_email(request: HttpRequest, ticket: str) -> HttpResponse:
    user = _user(request)
    try:
        wanted = acts.read_ticket(user, ticket)
        if request.method == "POST":
            acts.change_email(user, ticket, request)
            messages.success(request, gettext("From now on you sign in as %(email)s.") % {"email": wanted})
            return redirect("account-profile")
    except acts.TicketBroken:
        return render(request, "account/email_broken.html", status=404)
    return render(request, "account/email_confirm.html", {"wanted": wanted})


@for_the_signed_in
@never_cache
def sessions(request: HttpRequest) -> HttpResponse:
    user = _user(request)
    if request.method == "POST":
        return _end(request, user)
    UserSession.objects.create_from_request(request)
    found = sorted(UserSession.objects.purge_and_list(user), key=lambda each: each.last_seen_at, reverse=True)
    return render(request, "account/sessions.html", {"sessions": found})


def _end(request: HttpRequest, user: User) -> HttpResponse:
    """One session, or with `others` all but this one."""
    if "others" in request.POST:
        ending.end_others(request, user)
        audit.record(user, "session.end_others", None, user.email)
        messages.success(request, gettext("You are signed out everywhere else."))
        return redirect("account-sessions")
    chosen = request.POST.get("session", "")
    found = UserSession.objects.filter(user=user, pk=int(chosen)).first() if _is_number(chosen) else None
    if found:
        found.end()
        audit.record(user, "session.end", None, user.email, browser=found.user_agent)
        messages.success(request, gettext("That session has ended."))
    return redirect("account-sessions")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def _user(request: HttpRequest) -> User:
    assert request.user.is_authenticated
    return request.user
