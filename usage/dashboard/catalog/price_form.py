"""What an administrator types in as a price: USD per million tokens for each class, and above long prompts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from usage.dashboard.forms import mark_errors
from usage.dashboard.keys.forms import MomentField, Once
from usage.models import TokenClass
from usage.pricing import PriceList
from usage.reports.price_book import thresholds

LONGEST_NAME = 200
# A dollar a token. Far above any price, and no call's cost in nano-dollars outgrows its column.
MOST_USD_PER_MILLION = 1_000_000
MOST_TOKENS = 1_000_000_000
LEAST_STEPS, MOST_STEPS = 2, 6
FROM_NOW, FROM_THEN = "now", "then"


class UsdField(forms.DecimalField):
    """USD per million tokens, to nine decimals; empty where the class has no price of its own."""

    def __init__(self, **options: Any) -> None:
        widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "spellcheck": "false"})
        super().__init__(
            required=False, min_value=0, max_value=MOST_USD_PER_MILLION, max_digits=18, decimal_places=9,
            widget=widget, **options,
        )  # fmt: skip

    def to_python(self, value: Any) -> Any:
        return super().to_python(value.replace("$", "").strip() if isinstance(value, str) else value)


class ThresholdField(forms.IntegerField):
    def __init__(self, **options: Any) -> None:
        widget = forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off", "placeholder": "200,000"})
        super().__init__(required=False, min_value=1, max_value=MOST_TOKENS, widget=widget, **options)

    def to_python(self, value: Any) -> int | None:
        return super().to_python(value.replace(",", "").replace(" ", "") if isinstance(value, str) else value)


class PriceForm(forms.Form):
    """Fields are `<class>_<step>`; step 0 holds always, step n above `above_<n>` input tokens."""

    ticket = forms.CharField(widget=forms.HiddenInput, max_length=64, required=False)
    begins = forms.ChoiceField(
        label=_("Holds"),
        choices=[(FROM_NOW, _("from now on")), (FROM_THEN, _("from a later moment on"))],
        widget=forms.RadioSelect,
    )
    starts_at = MomentField(label=_("From"), help_text=_("The time is in UTC."))
    note = forms.CharField(
        label=_("Note"), required=False, max_length=300, help_text=_("Why: a contract, a committed use, a discount.")
    )

    def __init__(self, *args: Any, present: PriceList | None, now: datetime, **options: Any) -> None:
        super().__init__(*args, **options)
        self._now = now
        above = thresholds([present]) if present else []
        self.steps = range(1, 1 + min(MOST_STEPS, max(LEAST_STEPS, len(above))))
        for step in (0, *self.steps):
            if step:
                self.fields[f"above_{step}"] = ThresholdField(label=_("Above input tokens"))
            for name, label in TokenClass.choices:
                self.fields[f"{name}_{step}"] = UsdField(label=str(label).capitalize())
        self.fields["input_0"].required = True
        self.initial = {"ticket": Once.ticket(), "begins": FROM_NOW, **_initial(present, above)}
        mark_errors(self)

    def clean_starts_at(self) -> datetime | None:
        starts_at: datetime | None = self.cleaned_data["starts_at"]
        if self.cleaned_data.get("begins") != FROM_THEN:
            return None
        if starts_at is None:
            raise forms.ValidationError(_("From when on?"))
        # The field knows no seconds: the present minute means now.
        if starts_at <= self._now - timedelta(minutes=1):
            raise forms.ValidationError(_("This time has passed: calls that began then are priced already."))
        return max(starts_at, self._now)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for step in self.steps:
            above = f"above_{step}"
            is_filled = any(cleaned.get(f"{name}_{step}") is not None for name in TokenClass.values)
            if is_filled and above not in self.errors and cleaned.get(above) is None:
                self.add_error(above, _("Above how many?"))
            if cleaned.get(above) is not None and not is_filled and not self._is_wrong(step):
                self.add_error(above, _("No price stands below it."))
            if cleaned.get(above) is not None and cleaned[above] in [cleaned.get(f"above_{n}") for n in range(1, step)]:
                self.add_error(above, _("This threshold is there twice."))
        mark_errors(self)
        return cleaned

    def _is_wrong(self, step: int) -> bool:
        return any(f"{name}_{step}" in self.errors for name in TokenClass.values)

    @property
    def start(self) -> datetime | None:
        """None is as soon as possible."""
        start: datetime | None = self.cleaned_data["starts_at"]
        return start

    @property
    def prices(self) -> dict[str, list[tuple[int, Decimal]]]:
        """As price_acts takes them."""
        found: dict[str, list[tuple[int, Decimal]]] = {}
        for step in (0, *self.steps):
            above = self.cleaned_data.get(f"above_{step}") or 0
            for name in TokenClass.values:
                usd = self.cleaned_data.get(f"{name}_{step}")
                if usd is not None:
                    found.setdefault(name, []).append((above, usd))
        return found

    def refuse_start(self) -> None:
        self.add_error("starts_at", _("Another price begins at this very moment. Withdraw it first."))
        mark_errors(self)

    def rows(self) -> Iterator[tuple[forms.BoundField, list[forms.BoundField]]]:
        """Each token class with its fields, step by step."""
        for name in TokenClass.values:
            yield self[f"{name}_0"], [self[f"{name}_{step}"] for step in self.steps]

    def threshold_fields(self) -> list[forms.BoundField]:
        return [self[f"above_{step}"] for step in self.steps]


def _initial(present: PriceList | None, above: list[int]) -> dict[str, Any]:
    """What is in force, to start from."""
    if present is None:
        return {}
    place = {0: 0, **{threshold: step for step, threshold in enumerate(above, start=1)}}
    filled: dict[str, Any] = {f"above_{step}": threshold for threshold, step in place.items() if step}
    for name, steps in present.prices.items():
        for threshold, usd in steps:
            filled[f"{name}_{place[threshold]}"] = format(usd.normalize(), "f")
    return filled
