"""What people type in about a key."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import keys, networks
from accounts.models import ApiKey, Tier
from usage.dashboard import formats
from usage.dashboard.forms import LIMITS, LimitsForm, mark_errors
from usage.models import Model

MOST_RANGES = 50
LONGEST_RANGES = 4000
SENT = "sent_forms"
REMEMBER_FORMS = 50


class Once:
    """A form whose `ticket` makes a second sending harmless: each can be claimed once in its session."""

    def __init__(self, session: SessionBase) -> None:
        self._session = session

    @staticmethod
    def ticket() -> str:
        return secrets.token_urlsafe(12)

    def claim(self, ticket: str) -> bool:
        """False when a form with this ticket was sent before."""
        sent = self._session.get(SENT, [])
        if ticket in sent:
            return False
        self._session[SENT] = [*sent, ticket][-REMEMBER_FORMS:]
        return True


class RangesField(forms.CharField):
    """Networks, one a line; commas and spaces part them too. Gives their shortest forms."""

    def __init__(self, **options: Any) -> None:
        attributes = {"rows": 3, "spellcheck": "false", "autocapitalize": "off", "placeholder": "203.0.113.0/24"}
        widget = forms.Textarea(attrs=attributes)
        super().__init__(required=False, max_length=LONGEST_RANGES, widget=widget, **options)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        typed = [word for word in re.split(r"[\s,;]+", super().clean(value)) if word]
        if len(typed) > MOST_RANGES:
            raise ValidationError(_("At most %(most)s networks."), params={"most": MOST_RANGES})
        return list(dict.fromkeys(_network(word) for word in typed))


def _network(typed: str) -> str:
    try:
        return networks.read(typed)
    except networks.NotANetwork as error:
        shown = {"typed": typed[:60], "meant": error.meant}
        if error.meant:
            said = _("%(typed)s has bits set outside its prefix. Did you mean %(meant)s?")
            raise ValidationError(said, params=shown) from error
        raise ValidationError(_("%(typed)s is no IP address and no network."), params=shown) from error


class MomentField(forms.DateTimeField):
    """A date and a time on the clock of the team, which the frame has made the present zone."""

    def __init__(self, **options: Any) -> None:
        widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
        super().__init__(required=False, widget=widget, **options)


@dataclass(frozen=True)
class ModelChoice:
    """A model in the list to tick."""

    name: str
    note: str
    is_chosen: bool


class KeyForm(LimitsForm):
    """What narrows a key of a team on `tier`. `catalogue` are (name, kind) of the models that somebody answers for."""

    allowed_models = forms.MultipleChoiceField(label=_("Models"), required=False)
    ip_ranges = RangesField(label=_("Networks it may be used from"))
    expires_at = MomentField(label=_("Expires"))

    class Meta:
        model = ApiKey
        fields = ("name", "tag", *LIMITS, "expires_at")
        labels = {"name": _("Name"), "tag": _("Tag")}

    def __init__(
        self, *args: Any, tier: Tier, catalogue: Sequence[tuple[str, str]], now: datetime, **options: Any
    ) -> None:
        self._tier, self._kinds, self._now = tier, dict(catalogue), now
        super().__init__(*args, **options)

    def prepare(self) -> None:
        for name in LIMITS:
            if (of_team := getattr(self._tier, name)) is not None:
                said = gettext("%(limit)s, the team's") % {"limit": formats.count(of_team)}
                self.fields[name].widget.attrs["placeholder"] = said
        # What the key has stays choosable, though nobody may answer for it any more.
        held = [name for name in self.instance.allowed_models if name not in self._kinds]
        self._names = [*self._kinds, *held]
        self.fields["allowed_models"].choices = [(name, name) for name in self._names]  # type: ignore[attr-defined]
        self.fields["expires_at"].widget.attrs["min"] = timezone.localtime(self._now).strftime("%Y-%m-%dT%H:%M")
        if self.instance.pk:
            self.initial.update(ip_ranges=self.instance.ip_ranges, allowed_models=self.instance.allowed_models)

    def clean_expires_at(self) -> datetime | None:
        expires_at: datetime | None = self.cleaned_data["expires_at"]
        is_as_it_was = expires_at is not None and _minute(expires_at) == _minute(self.initial.get("expires_at"))
        if is_as_it_was:
            # The field shows no seconds: what nobody touched is not a change.
            return self.initial["expires_at"]  # type: ignore[no-any-return]
        if expires_at is not None and expires_at <= self._now:
            raise ValidationError(_("This time has passed already."))
        return expires_at

    @property
    def model_choices(self) -> list[ModelChoice]:
        chosen = set(self["allowed_models"].value() or ())
        return [ModelChoice(name, self._note(name), name in chosen) for name in self._names]

    @property
    def chosen_count(self) -> int:
        return sum(choice.is_chosen for choice in self.model_choices)

    def _note(self, name: str) -> str:
        kind = self._kinds.get(name)
        if kind is None:
            return gettext("no longer offered")
        return "" if kind == Model.Kind.CHAT else str(Model.Kind(kind).label)


class NewKeyForm(KeyForm):
    ticket = forms.CharField(widget=forms.HiddenInput, max_length=64)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.initial["ticket"] = Once.ticket()


class RotateForm(forms.Form):
    """How long the present secret goes on."""

    overlap = forms.TypedChoiceField(label=_("The present secret goes on for"), coerce=int)
    ticket = forms.CharField(widget=forms.HiddenInput, max_length=64)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        hours = {
            1: _("1 hour"), 6: _("6 hours"), 24: _("24 hours"), 72: _("3 days"), 168: _("7 days"),
        }  # fmt: skip
        self.fields["overlap"].choices = list(hours.items())  # type: ignore[attr-defined]
        self.initial.update(overlap=int(keys.USUAL_OVERLAP.total_seconds()) // 3600, ticket=Once.ticket())
        mark_errors(self)

    @property
    def overlap_span(self) -> timedelta:
        return timedelta(hours=self.cleaned_data["overlap"])


def catalogue() -> list[tuple[str, str]]:
    """Name and kind of the models that some provider answers for. One query."""
    served = Model.objects.filter(enabled=True, routes__enabled=True, routes__provider__enabled=True)
    return list(served.order_by("name").distinct().values_list("name", "kind"))


def _minute(moment: datetime | None) -> datetime | None:
    return moment.replace(second=0, microsecond=0) if moment else None
