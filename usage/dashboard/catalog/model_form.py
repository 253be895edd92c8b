"""What an administrator types in about a model, and about a route."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from usage.dashboard.forms import ModelForm as BaseModelForm
from usage.dashboard.forms import mark_errors
from usage.models import Model, Provider, Route

# What callers are told a model can do, as the list of models names it.
CAPABILITIES = {
    "chat": _("Chat"),
    "streaming": _("Streaming"),
    "tools": _("Function calling"),
    "structured_outputs": _("Structured outputs"),
    "vision": _("Images as input"),
    "reasoning": _("Reasoning"),
    "embeddings": _("Embeddings"),
}
# Those that toktok knows.
ENCODINGS = ("o200k_base", "cl100k_base", "p50k_base", "r50k_base")
MOST_TOKENS = 2_000_000_000
NAME = RegexValidator(r"^[^\s\x00-\x1f\x7f]+\Z", _("No spaces: callers write it in their code."))


class TokensField(forms.IntegerField):
    """A whole number of tokens; empty is unknown. Takes the separators people type: 128,000."""

    def __init__(self, **options: Any) -> None:
        widget = forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off", "placeholder": _("unknown")})
        super().__init__(required=False, min_value=1, max_value=MOST_TOKENS, widget=widget, **options)

    def to_python(self, value: Any) -> int | None:
        return super().to_python(value.replace(",", "").replace(" ", "") if isinstance(value, str) else value)


class DayField(forms.DateField):
    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"), **options)


class ModelForm(BaseModelForm):
    """The name is given once: calls are counted under it."""

    name = forms.CharField(
        label=_("Name in calls"),
        max_length=200,
        validators=[NAME],
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text=_("What callers put into “model”. It stays as it is."),
    )
    context_length = TokensField(label=_("Context, tokens"))
    max_output_tokens = TokensField(label=_("Most output tokens"))
    capabilities = forms.MultipleChoiceField(
        label=_("Capabilities"),
        required=False,
        choices=list(CAPABILITIES.items()),
        widget=forms.CheckboxSelectMultiple,
    )
    encoding = forms.ChoiceField(label=_("Tokenizer"), choices=[(name, name) for name in ENCODINGS])
    released_on = DayField(label=_("Released"))
    shutdown_date = DayField(
        label=_("Shutdown"), help_text=_("The maker's last day. Nothing is switched off by itself.")
    )

    class Meta:
        model = Model
        fields = ("name", "display_name", "owned_by", "kind", "context_length", "max_output_tokens", "capabilities",
                  "encoding", "has_exact_encoding", "shutdown_date", "enabled")  # fmt: skip
        labels = {
            "display_name": _("Shown as"),
            "owned_by": _("Owner"),
            "kind": _("Kind"),
            "has_exact_encoding": _("The provider really uses this tokenizer: our counts are exact"),
            "enabled": _("Callers may use it"),
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.instance.pk:
            del self.fields["name"]
            # A model of a catalogue of another day may have others.
            known = dict.fromkeys([self.instance.encoding, *ENCODINGS])
            self.fields["encoding"].choices = [(name, name) for name in known]  # type: ignore[attr-defined]
            others = [(name, name) for name in self.instance.capabilities if name not in CAPABILITIES]
            self.fields["capabilities"].choices = [*CAPABILITIES.items(), *others]  # type: ignore[attr-defined]
            self.initial["released_on"] = self.instance.released_at.date()
        else:
            self.initial["capabilities"] = ["chat", "streaming"]
            self.initial["released_on"] = timezone.now().date()
        mark_errors(self)

    def clean_released_on(self) -> date:
        return self.cleaned_data["released_on"] or timezone.now().date()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        context, output = cleaned.get("context_length"), cleaned.get("max_output_tokens")
        if context and output and output > context:
            self.add_error("max_output_tokens", _("More than its whole context."))
            mark_errors(self)
        return cleaned

    @property
    def wanted(self) -> dict[str, Any]:
        """Columns."""
        known = {name: self.cleaned_data[name] for name in self.Meta.fields if name in self.cleaned_data}
        released_on = self.cleaned_data["released_on"]
        if self.instance.pk and self.instance.released_at.date() == released_on:
            return known
        return {**known, "released_at": datetime.combine(released_on, time(), UTC)}


def form_for(model: Model | None, data: Any = None) -> ModelForm:
    return ModelForm(data, instance=model or Model())


class RouteForm(BaseModelForm):
    """A way to a model. The provider's name for it is mostly the public one."""

    provider = forms.ModelChoiceField(
        label=_("Provider"), queryset=Provider.objects.order_by("-enabled", "name"), empty_label=None
    )
    upstream_model = forms.CharField(
        label=_("The provider's name for it"),
        max_length=200,
        validators=[NAME],
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    class Meta:
        model = Route
        fields = ("provider", "upstream_model")

    def __init__(self, data: Any, *, model: Model) -> None:
        super().__init__(data, instance=Route(model=model))
        self._model = model
        self.initial["upstream_model"] = model.name
        mark_errors(self)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        provider, upstream_model = cleaned.get("provider"), cleaned.get("upstream_model")
        if provider and self._model.routes.filter(provider=provider, upstream_model=upstream_model).exists():
            said = _("This route is there already.")
            self.add_error("upstream_model", ValidationError(said))
            mark_errors(self)
        return cleaned
