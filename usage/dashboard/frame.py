"""What every page has around it: who is signed in, where they are, and whether calls go to the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib.auth.views import redirect_to_login
from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.http import urlencode

from accounts import policy
from accounts.policy import Action, Standing
from usage.dashboard import navigation
from usage.models import Provider

P = ParamSpec("P")
View = Callable[P, HttpResponse]
SANDBOX_REMEMBER_S = 5


def context(request: HttpRequest) -> dict[str, Any]:
    """Context processor. Costs no query on pages without a frame: sign-in, errors."""
    standing = getattr(request, "standing", None)
    if standing is None:
        return {}
    here = request.resolver_match.url_name or "" if request.resolver_match else ""
    return {
        "standing": standing,
        "main_links": navigation.main_links(standing, here),
        "platform_links": navigation.platform_links(standing, here),
        "team": standing.team,
        "teams": policy.teams_of(standing.user),
        "sandbox": uses_sandbox(),
    }


def in_team(action: Action) -> Callable[[Callable[Concatenate[HttpRequest, Standing, P], HttpResponseBase]], Any]:
    """A page of one team: the view gets the user's standing in place of `team_id`. Foreign teams answer 404."""

    def wrap(view: Callable[Concatenate[HttpRequest, Standing, P], HttpResponseBase]) -> Any:
        @wraps(view)
        def page(request: HttpRequest, team_id: int, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return to_sign_in(request)
            return _show(request, policy.standing_in(request.user, team_id), action, view, *args, **kwargs)

        return page

    return wrap


def on_instance(view: Callable[Concatenate[HttpRequest, Standing, P], HttpResponseBase]) -> Any:
    """A page for platform administrators; 404 for everyone else."""

    @wraps(view)
    def page(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return to_sign_in(request)
        standing = policy.standing_on_instance(request.user)
        return _show(request, standing, Action.MANAGE_PLATFORM, view, *args, **kwargs)

    return page


def _show(
    request: HttpRequest,
    standing: Standing | None,
    action: Action,
    view: Callable[..., HttpResponseBase],
    *args: Any,
    **kwargs: Any,
) -> HttpResponseBase:
    if standing is None or not standing.may(action):
        raise Http404
    request.standing = standing  # type: ignore[attr-defined]
    # Dates in the page follow the team's calendar.
    with timezone.override(standing.team.zone if standing.team else None):
        answer = view(request, standing, *args, **kwargs)
    # A signed-out browser's back button must not show the team's numbers.
    patch_cache_control(answer, private=True, no_store=True)
    return answer


def to_sign_in(request: HttpRequest) -> HttpResponse:
    """A part of a page that is asked for after the session ended takes the whole page to the sign-in."""
    if request.headers.get("HX-Request"):
        answer = HttpResponse(status=204)
        page = request.htmx.current_url_abs_path  # type: ignore[attr-defined]
        answer["HX-Redirect"] = reverse("account_login") + (f"?{urlencode({'next': page})}" if page else "")
        return answer
    return redirect_to_login(request.get_full_path())


def uses_sandbox() -> bool:
    """Whether calls are answered by the built-in sandbox and no provider."""
    known: bool | None = cache.get("sandbox")
    if known is None:
        providers = Provider.objects.filter(enabled=True)
        known = any(providers.values_list("is_sandbox", flat=True))
        cache.set("sandbox", known, SANDBOX_REMEMBER_S)
    return known
