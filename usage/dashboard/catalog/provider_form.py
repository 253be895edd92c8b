"""What an administrator types in about a provider."""

from __future__ import annotations

from functools import cache
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

from accounts.models import InstanceSettings
from accounts.networks import Networks
from usage import catalog_acts, destinations, price_seeds
from usage.dashboard.catalog import words
from usage.dashboard.forms import ModelForm, mark_errors
from usage.models import Provider

LONGEST_KEY = 2000


class ProviderForm(ModelForm):
    """`api_key` is never shown again: empty leaves it as it is, unless the address changes."""

    base_url = forms.CharField(
        label=_("Base URL"),
        max_length=500,
        widget=forms.TextInput(attrs={"inputmode": "url", "autocomplete": "off", "spellcheck": "false"}),
        help_text=_("As an OpenAI SDK takes it, mostly ending in /v1."),
    )
    api_key = forms.CharField(
        label=_("API key"),
        required=False,
        max_length=LONGEST_KEY,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "spellcheck": "false"}),
    )
    without_key = forms.BooleanField(label=_("The new address needs no key"), required=False)
    with_routes = forms.BooleanField(
        label=_("Route the models of its price book to it, after the routes there are"), required=False, initial=True
    )
    price_book = forms.CharField(
        label=_("Price book"),
        max_length=64,
        widget=forms.TextInput(attrs={"list": "price-books", "autocomplete": "off", "spellcheck": "false"}),
        validators=[RegexValidator(r"^[\w.-]+\Z", _("Letters, digits, dots, dashes and underscores only."))],
        help_text=_("Whose list prices apply. A name that is not in the list is a book of your own."),
    )

    class Meta:
        model = Provider
        fields = ("name", "base_url", "price_book", "enabled")
        labels = {"name": _("Name"), "enabled": _("Calls may be sent to it")}

    def __init__(self, *args: Any, has_calls: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        # `is_valid` writes what was typed into the instance.
        self._old_base_url, self._had_key = self.instance.base_url, bool(self.instance.sealed_api_key)
        self._has_calls = has_calls
        if self.instance.pk:
            del self.fields["with_routes"]
            self.fields["api_key"].widget.attrs["placeholder"] = _("set") if self._had_key else _("not set")
            if self._had_key:
                self.fields["api_key"].help_text = _("Leave it empty to keep it. A new base URL needs a new one.")
        if not (self.instance.pk and self._had_key):
            del self.fields["without_key"]
        if self.instance.is_sandbox:
            # It is started and found by the product itself, wherever it listens.
            self.fields["base_url"].disabled = self.fields["api_key"].disabled = True
            self.fields["base_url"].help_text = _("The built-in sandbox: its address is its own.")
        if has_calls:
            self.fields["name"].help_text = _("Its calls are counted under this name, so it stays.")
            self.fields["name"].disabled = True
        mark_errors(self)

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"]).strip()
        return self.instance.name if self._has_calls else name

    def clean_base_url(self) -> str:
        base_url = str(self.cleaned_data["base_url"]).rstrip("/")
        if base_url == self._old_base_url:
            # Where it is was decided when it was saved; the gateway still looks at the address itself.
            return base_url
        try:
            destinations.check(base_url, Networks(InstanceSettings.current().private_networks))
        except destinations.BadDestination as bad:
            raise ValidationError(str(words.WRONG[bad.wrong]), params={"detail": bad.detail}) from bad
        return base_url

    def clean_api_key(self) -> str:
        api_key = str(self.cleaned_data["api_key"])
        if not (api_key.isascii() and api_key.isprintable()) or " " in api_key:
            raise ValidationError(_("A key has no spaces, no line breaks and no letters beyond ASCII."))
        return api_key

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self._needs_key_again(cleaned):
            said = _("The address changed: enter the key again. The old one is never sent to a new address.")
            self.add_error("api_key", said)
            mark_errors(self)
        return cleaned

    def _needs_key_again(self, cleaned: dict[str, Any]) -> bool:
        has_moved = "base_url" in cleaned and cleaned["base_url"] != self._old_base_url
        return has_moved and self._had_key and not cleaned.get("api_key") and not cleaned.get("without_key")

    @property
    def wanted(self) -> dict[str, Any]:
        """Columns; the key goes its own way."""
        return {name: self.cleaned_data[name] for name in ("name", "base_url", "price_book", "enabled")}

    def has_moved(self) -> bool:
        return bool(self.cleaned_data["base_url"] != self._old_base_url)


def form_for(provider: Provider | None, data: Any = None) -> ProviderForm:
    if provider is None:
        return ProviderForm(data, instance=Provider())
    return ProviderForm(data, instance=provider, has_calls=catalog_acts.has_calls(provider))


@cache
def price_books() -> list[tuple[str, str]]:
    """Ids and names of the price books that the library knows."""
    return price_seeds.books()
