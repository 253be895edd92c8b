"""The docs pages: prose in each language, samples and tables of this instance."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import get_template
from django.utils import timezone
from django.utils.html import strip_tags
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext

from accounts import policy
from accounts.models import Tier
from accounts.policy import Action, Standing
from usage.dashboard import snippets
from usage.dashboard.docs import tables
from usage.dashboard.docs.pages import PAGES, SLUGS
from usage.dashboard.frame import in_team, to_sign_in
from usage.reports import offers

HEADING = re.compile(r'<h2 id="([a-z0-9-]+)">(.+?)</h2>')


@dataclass(frozen=True)
class Section:
    id: str
    title: str


@in_team(Action.SEE_USAGE)
def page(request: HttpRequest, standing: Standing, slug: str = SLUGS[0]) -> HttpResponse:
    at = SLUGS.index(slug)
    filling = snippets.filling_of(request)
    body, sections = _body(slug, {
        "team": standing.team,
        "standing": standing,
        "base_url": filling.base_url,
        "origin": filling.origin,
        "model": filling.model,
        "samples": snippets.Snippets(filling),
        **CONTENTS.get(slug, _nothing_more)(standing),
    })  # fmt: skip
    context = {
        "page": PAGES[at],
        "pages": PAGES,
        "before": PAGES[at - 1] if at else None,
        "after": PAGES[at + 1] if at + 1 < len(PAGES) else None,
        "body": body,
        "sections": sections,
    }
    return render(request, "docs/page.html", context)


def anywhere(request: HttpRequest, slug: str = SLUGS[0]) -> HttpResponse:
    """An address without a team, for links from elsewhere: the page in the reader's first team."""
    if not request.user.is_authenticated:
        return to_sign_in(request)
    teams = policy.teams_of(request.user)
    if not teams:
        return render(request, "dashboard/no_team.html")
    return redirect(f"docs-{slug}", teams[0].pk)


def _body(slug: str, context: dict[str, Any]) -> tuple[SafeString, Sequence[Section]]:
    """The prose in the reader's language, its headings with a link to themselves, and those headings."""
    language = "zh_hans" if (get_language() or "").startswith("zh") else "en"
    # Without the request: what stands around every page is not to be asked for twice.
    html = get_template(f"docs/{language}/{slug}.html").render(context)
    sections = [Section(id_, strip_tags(title)) for id_, title in HEADING.findall(html)]
    label = gettext("Link to this section")
    linked = HEADING.sub(
        lambda found: (
            f'<h2 id="{found[1]}">{found[2]} <a class="anchor" href="#{found[1]}" aria-label="{label}">#</a></h2>'
        ),
        html,
    )
    return mark_safe(linked), sections  # noqa: S308 - our own templates, which escape what they show


def _nothing_more(standing: Standing) -> dict[str, Any]:
    return {}


def _limits(standing: Standing) -> dict[str, Any]:
    return {"tiers": Tier.objects.all()}


def _models(standing: Standing) -> dict[str, Any]:
    now = timezone.now()
    found = offers.on_offer(now)
    return {
        "offers": [(offer, offer.is_gone(now.date())) for offer in found],
        "may_play": standing.may(Action.USE_PLAYGROUND),
    }


def _errors(standing: Standing) -> dict[str, Any]:
    return {"errors": tables.ERRORS}


def _roles(standing: Standing) -> dict[str, Any]:
    return {"role_names": tables.role_names(), "role_rows": tables.role_rows()}


CONTENTS: dict[str, Callable[[Standing], dict[str, Any]]] = {
    "limits": _limits,
    "models": _models,
    "errors": _errors,
    "roles": _roles,
}
