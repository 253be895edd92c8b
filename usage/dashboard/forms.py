"""What people type in, checked, with the error beside its field."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from django import forms
from django.contrib.sessions.backends.base import SessionBase
from django.utils.translation import gettext_lazy as _

from accounts.models import MOST_A_MINUTE, ApiKey, Team, Tier

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Any]
else:
    ModelForm = forms.ModelForm

LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrent_requests")
LIMIT_LABELS = {
    "requests_per_minute": _("Requests per minute"),
    "tokens_per_minute": _("Tokens per minute"),
    "concurrent_requests": _("Concurrent requests"),
}
SENT = "sent_forms"
REMEMBER_FORMS = 50


class LimitField(forms.IntegerField):
    """A whole number; empty is no limit. Takes the separators people type: 450,000."""

    def __init__(self, **options: Any) -> None:
        widget = forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off", "placeholder": _("no limit")})
        super().__init__(required=False, min_value=1, max_value=MOST_A_MINUTE, widget=widget, **options)

    def to_python(self, value: Any) -> int | None:
        return super().to_python(value.replace(",", "").replace(" ", "") if isinstance(value, str) else value)


class LimitsForm(ModelForm):
    """A name and three limits."""

    requests_per_minute = LimitField(label=LIMIT_LABELS["requests_per_minute"])
    tokens_per_minute = LimitField(label=LIMIT_LABELS["tokens_per_minute"])
    concurrent_requests = LimitField(label=LIMIT_LABELS["concurrent_requests"])

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        mark_errors(self)

    def limit_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in LIMITS]


class TierForm(LimitsForm):
    class Meta:
        model = Tier
        fields = ("name", *LIMITS)
        labels = {"name": _("Name")}


class KeyForm(LimitsForm):
    """`ticket` makes a second sending harmless: each can be claimed once in its session."""

    ticket = forms.CharField(widget=forms.HiddenInput, max_length=64)

    class Meta:
        model = ApiKey
        fields = ("name", *LIMITS)
        labels = {"name": _("Name")}

    def __init__(self, *args: Any, session: SessionBase, **options: Any) -> None:
        self._session = session
        super().__init__(*args, initial={"ticket": secrets.token_urlsafe(12)}, **options)

    def claim(self) -> bool:
        """False when this form was sent before."""
        ticket = self.cleaned_data.pop("ticket")
        sent = self._session.get(SENT, [])
        if ticket in sent:
            return False
        self._session[SENT] = [*sent, ticket][-REMEMBER_FORMS:]
        return True


class TeamForm(ModelForm):
    """The time zone can be chosen once: the days of the past are kept by it."""

    class Meta:
        model = Team
        fields = ("name", "tier", "time_zone")
        labels = {"name": _("Name"), "tier": _("Tier"), "time_zone": _("Time zone")}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["tier"].empty_label = None  # type: ignore[attr-defined]
        if self.instance.pk:
            del self.fields["time_zone"]
        else:
            zones = sorted(
                zone
                for zone in available_timezones()
                if "/" in zone and not zone.startswith(("Etc/", "posix/", "right/"))
            )
            self.fields["time_zone"].widget = forms.Select(choices=[(zone, zone) for zone in ("UTC", *zones)])
        mark_errors(self)


def mark_errors(form: forms.BaseForm) -> None:
    """Tells a screen reader which fields are wrong, and where it says why."""
    for name, field in form.fields.items():
        widget_type = "form-select" if isinstance(field.widget, forms.Select) else "form-control"
        field.widget.attrs.setdefault("class", widget_type)
        if form.is_bound and name in form.errors:
            field.widget.attrs["class"] += " is-invalid"
