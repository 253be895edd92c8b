"""Template tags of the pages about people: fields that allauth made, drawn as ours; the account's side bar."""

from __future__ import annotations

from typing import Any

from django import forms, template
from django.conf import settings
from django.template.context import Context
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from accounts.signing_in import second_factor

register = template.Library()

# The first that is found: Edge and Opera call themselves Chrome too, and Chrome calls itself Safari.
BROWSERS = (
    *(("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome")),
    *(("Safari/", "Safari"), ("curl/", "curl")),
)
SYSTEMS = (
    *(("Android", "Android"), ("iPhone", "iOS"), ("iPad", "iPadOS"), ("Windows", "Windows")),
    *(("Macintosh", "macOS"), ("Linux", "Linux")),
)


@register.filter
def control(field: forms.BoundField) -> SafeString:
    """The field's input with our look, and the word to a screen reader that it is wrong."""
    widget = field.field.widget
    attributes: dict[str, Any] = {"placeholder": ""}
    if not isinstance(widget, forms.CheckboxInput):
        attributes["class"] = "form-select" if isinstance(widget, forms.Select) else "form-control"
        if field.errors:
            attributes["class"] += " is-invalid"
    if widget.attrs.get("autocomplete") == "one-time-code":
        attributes |= {"autofocus": True, "inputmode": "numeric"}
    if field.errors:
        attributes |= {"aria-invalid": "true", "aria-describedby": f"{field.id_for_label}_error"}
    return field.as_widget(attrs=attributes)


@register.filter
def is_tick(field: forms.BoundField) -> bool:
    return isinstance(field.field.widget, forms.CheckboxInput)


@register.simple_tag(takes_context=True)
def account_links(context: Context) -> list[dict[str, Any]]:
    """The pages of "Your account"; the present one is marked."""
    request = context["request"]
    here = request.resolver_match.url_name if request.resolver_match else ""
    password = "account_change_password" if request.user.has_usable_password() else "account_set_password"
    pages = [
        (gettext("Profile"), "user", ("account-profile", "account-email")),
        (gettext("Password"), "lock", (password,)),
        (gettext("Second factor"), "shield-check", ("mfa_index", "mfa_activate_totp", "mfa_deactivate_totp",
         "mfa_view_recovery_codes", "mfa_generate_recovery_codes")),
        (gettext("Passkeys"), "fingerprint", ("mfa_list_webauthn", "mfa_add_webauthn", "mfa_edit_webauthn",
         "mfa_remove_webauthn")),
        (gettext("Sessions"), "devices", ("account-sessions",)),
    ]  # fmt: skip
    if company():
        pages.append((company(), "login", ("socialaccount_connections",)))
    return [
        {"name": name, "icon": icon, "url": reverse(names[0]), "is_current": here in names}
        for name, icon, names in pages
    ]


@register.simple_tag(takes_context=True)
def must_set_up(context: Context) -> bool:
    """Whether the reader must have a second factor and has none."""
    request = context["request"]
    return second_factor.is_missing(request, request.user)


@register.simple_tag
def browser(user_agent: str) -> str:
    """`Firefox on Windows`, as far as a user agent tells."""
    name = next((name for mark, name in BROWSERS if mark in user_agent), gettext("Unknown browser"))
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    return gettext("%(browser)s on %(system)s") % {"browser": name, "system": system} if system else name


@register.simple_tag
def company() -> str:
    """The name of the company's own provider; empty when there is none."""
    apps = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"]
    return str(apps[0]["name"]) if apps else ""
