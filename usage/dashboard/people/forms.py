"""What people type in about people, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.members import Role
from accounts.models import Team, User
from usage.dashboard.forms import ZoneSelect

ROLE_HELP = {
    Role.OWNER: _("everything, and decides about owners"),
    Role.ADMIN: _("members, settings, all keys and calls"),
    Role.MEMBER: _("own keys and own calls, the team's totals"),
    Role.VIEWER: _("numbers only, never keys"),
}


class RoleForm(forms.Form):
    role = forms.ChoiceField(label=_("Role"), widget=forms.RadioSelect)

    def __init__(self, *args: Any, roles: Sequence[Role], **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["role"].choices = [(role.value, role.label) for role in roles]  # type: ignore[attr-defined]

    def roles(self) -> list[tuple[str, str, Any, bool]]:
        """(value, name, what it may, whether it is chosen), from the most."""
        chosen = self["role"].value()
        known = [Role(value) for value, _label in self.fields["role"].choices]  # type: ignore[attr-defined]
        return [(role.value, str(role.label), ROLE_HELP[role], role.value == chosen) for role in reversed(known)]


class InviteForm(RoleForm):
    email = forms.EmailField(label=_("E-mail"), max_length=254)

    field_order = ("email", "role")


class TeamSettingsForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Team
        fields = ("name", "time_zone", "on_abort")
        labels = {"name": _("Name"), "time_zone": _("Time zone"), "on_abort": _("When a caller hangs up")}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.initial["time_zone"] = self.instance.next_time_zone or self.instance.time_zone
        self.fields["time_zone"].widget = ZoneSelect()


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = ("name", "language")
        labels = {"name": _("Name"), "language": _("Language")}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["language"] = forms.ChoiceField(
            label=_("Language"), required=False, choices=[("", _("as the browser asks")), *settings.LANGUAGES]
        )


class EmailForm(forms.Form):
    email = forms.EmailField(label=_("New e-mail address"), max_length=254)

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"].lower()
        if User.objects.filter(email__iexact=email).exists():
            raise forms.ValidationError(gettext("This address has an account."))
        return email


class JoinForm(forms.Form):
    """The one form that makes an account."""

    name = forms.CharField(label=_("Your name"), max_length=200)
    password = forms.CharField(label=_("Password"), max_length=1024, strip=False, widget=forms.PasswordInput)

    def __init__(self, *args: Any, email: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._email = email
        self.fields["name"].widget.attrs["autocomplete"] = "name"
        self.fields["password"].widget.attrs["autocomplete"] = "new-password"

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if "password" in cleaned:
            try:
                validate_password(cleaned["password"], User(email=self._email, name=cleaned.get("name", "")))
            except forms.ValidationError as error:
                self.add_error("password", error)
        return cleaned
