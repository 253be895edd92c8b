"""What people type in, checked, with the error beside its field."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from django import forms
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _

from accounts.models import MOST_A_MINUTE

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Any]
else:
    ModelForm = forms.ModelForm

NOT_PLACES = ("Etc/", "posix/", "right/", "SystemV/")
SELECTED = mark_safe(" selected")
LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrent_requests")
LIMIT_LABELS = {
    "requests_per_minute": _("Requests per minute"),
    "tokens_per_minute": _("Tokens per minute"),
    "concurrent_requests": _("Concurrent requests"),
}


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
        self.prepare()
        mark_errors(self)

    def prepare(self) -> None:
        """What a form does to its fields before what was sent is checked."""

    def limit_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in LIMITS]


class ZoneSelect(forms.Select):
    """Every city's time zone. Written out here: Django draws a template for each of more than 400 options, which takes
    most of the page's time."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        present = str(value or "UTC")
        places = zones() if present in zones() else (present, *zones())
        options = format_html_join(
            "",
            '<option value="{}"{}>{}</option>',
            ((zone, SELECTED if zone == present else "", zone) for zone in places),
        )
        return format_html(
            '<select name="{}"{}>{}</select>', name, flatatt(self.build_attrs(self.attrs, attrs)), options
        )


@lru_cache(maxsize=1)
def zones() -> tuple[str, ...]:
    """Finding them walks through hundreds of files."""
    return ("UTC", *sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith(NOT_PLACES)))


def mark_errors(form: forms.BaseForm) -> None:
    """Tells a screen reader which fields are wrong, and where it says why."""
    for name, field in form.fields.items():
        if isinstance(field.widget, forms.CheckboxInput | forms.RadioSelect):
            continue
        widget_type = "form-select" if isinstance(field.widget, forms.Select) else "form-control"
        field.widget.attrs.setdefault("class", widget_type)
        if form.is_bound and name in form.errors:
            field.widget.attrs["class"] += " is-invalid"
