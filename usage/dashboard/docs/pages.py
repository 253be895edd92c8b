"""The docs pages in their order. Each is a template a language: `docs/en/<slug>.html`, `docs/zh_hans/<slug>.html`."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Page:
    slug: str
    title: Promise

    @property
    def url_name(self) -> str:
        return f"docs-{self.slug}"


PAGES = (
    Page("quick-start", _("Quick start")),
    Page("migrate", _("Moving here")),
    Page("streaming", _("Streaming")),
    Page("tools", _("Tools")),
    Page("embeddings", _("Embeddings")),
    Page("models", _("Models")),
    Page("limits", _("Limits")),
    Page("errors", _("Errors and retries")),
    Page("fallbacks", _("Fallbacks")),
    Page("usage", _("Usage over REST")),
    Page("roles", _("Roles")),
)
SLUGS = tuple(page.slug for page in PAGES)
