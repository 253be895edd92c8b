"""What administrators type in, checked, with the error beside its field."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import AdminKey, InstanceSettings, Team, Tier
from usage.dashboard.forms import LIMITS, LimitsForm, ModelForm, ZoneSelect, mark_errors
from usage.dashboard.keys.forms import MomentField, Once, RangesField

MOST_RESERVED = 1_000_000


class TierForm(LimitsForm):
    class Meta:
        model = Tier
        fields = ("name", *LIMITS)
        labels = {"name": _("Name")}


class AdminKeyForm(ModelForm):
    """`ticket` makes a second sending harmless."""

    ticket = forms.CharField(widget=forms.HiddenInput, max_length=64)
    expires_at = MomentField(label=_("Expires"), help_text=_("Empty is never. The time is in UTC."))

    class Meta:
        model = AdminKey
        fields = ("name", "expires_at")
        labels = {"name": _("Name")}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.initial["ticket"] = Once.ticket()
        mark_errors(self)

    def clean_expires_at(self) -> datetime | None:
        expires_at: datetime | None = self.cleaned_data["expires_at"]
        if expires_at is not None and expires_at <= timezone.now():
            raise ValidationError(_("This time has passed already."))
        return expires_at


class NewTeamForm(ModelForm):
    """`owner_email` is invited as the team's owner; left empty, whoever makes the team is."""

    ticket = forms.CharField(widget=forms.HiddenInput, max_length=64)
    owner_email = forms.EmailField(
        label=_("Owner's e-mail"),
        required=False,
        max_length=254,
        help_text=_("They get an invitation. Leave it empty to own the team yourself."),
    )

    class Meta:
        model = Team
        fields = ("name", "tier", "time_zone")
        labels = {"name": _("Name"), "tier": _("Tier"), "time_zone": _("Time zone")}
        help_texts = {"time_zone": _("The days of its charts and sums follow it.")}

    def __init__(self, *args: Any, of_instance: InstanceSettings, **options: Any) -> None:
        super().__init__(*args, **options)
        self.initial["ticket"] = Once.ticket()
        self.initial["tier"] = of_instance.default_tier_id
        self.initial["time_zone"] = of_instance.default_time_zone
        self.fields["tier"].empty_label = None  # type: ignore[attr-defined]
        self.fields["time_zone"].widget = ZoneSelect()
        mark_errors(self)


class TeamForm(ModelForm):
    """What the platform decides for a team. Its time zone is the team's own matter: its history is counted anew."""

    reserve_output_tokens = forms.IntegerField(
        label=_("Most output tokens reserved"),
        min_value=1,
        max_value=MOST_RESERVED,
        help_text=_("What a call that names no maximum holds of the token limit until its answer is there."),
    )

    class Meta:
        model = Team
        fields = ("name", "tier", "reserve_output_tokens")
        labels = {"name": _("Name"), "tier": _("Tier")}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["tier"].empty_label = None  # type: ignore[attr-defined]
        mark_errors(self)


class SettingsForm(ModelForm):
    public_url = forms.URLField(
        label=_("Public URL"),
        required=False,
        max_length=300,
        assume_scheme="https",
        help_text=_("Used in invitations and code samples. Empty is the address a page is opened at."),
    )
    allow_unpriced_models = forms.TypedChoiceField(
        label=_("Calls to models without a price"),
        choices=((True, _("allowed; their cost is unknown")), (False, _("refused with model_unpriced"))),
        coerce=lambda chosen: chosen == "True",
        help_text=_("A model is without a price when the price book knows none for its first route."),
    )
    private_networks = RangesField(
        label=_("Private networks that providers may be in"),
        help_text=_("In CIDR form, one a line. A provider at any other private address is refused."),
    )

    class Meta:
        model = InstanceSettings
        fields = (
            "name", "public_url", "default_tier", "default_time_zone", "invitation_days", "two_factor",
            "allow_unpriced_models", "private_networks",
        )  # fmt: skip
        labels = {
            "name": _("Name of this instance"),
            "default_tier": _("Tier of new teams"),
            "default_time_zone": _("Time zone of new teams"),
            "invitation_days": _("Days an invitation is open"),
            "two_factor": _("Who must use a second factor"),
        }
        help_texts = {"two_factor": _("Whoever has none yet sets it up at their next page.")}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["default_tier"].empty_label = _("the first in the list")  # type: ignore[attr-defined]
        self.fields["default_time_zone"].widget = ZoneSelect()
        self.fields["private_networks"].widget.attrs["placeholder"] = "10.20.0.0/16"
        mark_errors(self)

    def clean_public_url(self) -> str:
        """Only an origin: paths are appended to it."""
        url: str = self.cleaned_data["public_url"]
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or parts.path.strip("/") or parts.query or parts.fragment):
            raise ValidationError(_("Only a host, without a path: https://mega.example.com"))
        if "@" in parts.netloc:
            raise ValidationError(_("Only a host, without a name and a password."))
        return f"{parts.scheme}://{parts.netloc}" if url else ""
