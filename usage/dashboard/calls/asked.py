"""What the address of the call log asks for: a form that is filled in by the query string, field by field.

A field that makes no sense is left out of the question, and its error stands beside it; the other fields hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.http import QueryDict
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from usage.dashboard.forms import mark_errors
from usage.models import Outcome
from usage.reports.call_filter import Between, CallFilter

MOST_ID = 2**63 - 1
US_A_MS, NANO_A_USD = 1_000, 1_000_000_000
MOST_MS, MOST_USD, MOST_TOKENS = 10**9, 10**6, 10**12
LONGEST = 200
EARLIEST, LATEST = datetime(1971, 1, 1), datetime(9000, 1, 1)
MOMENTS = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d")
SPANS: dict[str, tuple[Promise, timedelta]] = {
    "1h": (_("Last hour"), timedelta(hours=1)),
    "24h": (_("Last 24 hours"), timedelta(hours=24)),
    "7d": (_("Last 7 days"), timedelta(days=7)),
    "30d": (_("Last 30 days"), timedelta(days=30)),
    "90d": (_("Last 90 days"), timedelta(days=90)),
}
# The first of each line counts from, the second to; the label is theirs together.
RANGES = (
    ("cost_from", "cost_to", _("Cost"), "US$"),
    ("tokens_from", "tokens_to", _("Tokens"), ""),
    ("latency_from", "latency_to", _("Latency"), "ms"),
    ("ttft_from", "ttft_to", _("First token"), "ms"),
)
MORE = ("since", "until", "status", "endpoint", "streamed", "user")


class Choice(NamedTuple):
    """One value of a menu. `swatch` is a model's colour."""

    value: str
    label: str
    detail: str = ""
    swatch: str = ""


class AnyOf(forms.MultipleChoiceField):
    """Several values, known or not: an address may name what is no longer in the menu, and finds nothing then."""

    def __init__(self, longest: int = LONGEST, **options: Any) -> None:
        super().__init__(required=False, **options)
        self.longest = longest

    def valid_value(self, value: str) -> bool:
        return 0 < len(value) <= self.longest and "\0" not in value


class Ids(AnyOf):
    def valid_value(self, value: str) -> bool:
        return value.isascii() and value.isdigit() and int(value[:20]) <= MOST_ID


class Outcomes(AnyOf):
    def valid_value(self, value: str) -> bool:
        return value in Outcome.values


class Moment(forms.DateTimeField):
    """A wall clock of the team's zone."""

    def __init__(self, **options: Any) -> None:
        widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S")
        super().__init__(required=False, input_formats=MOMENTS, widget=widget, **options)

    def to_python(self, value: Any) -> datetime | None:
        # Checked by hand: years at the end of the calendar overflow when they are taken to another zone.
        if isinstance(value, str) and value[:4].isdigit() and not EARLIEST.year <= int(value[:4]) <= LATEST.year:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return super().to_python(value)


class Amount(forms.DecimalField):
    def __init__(self, most: int, **options: Any) -> None:
        widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
        checks = [MinValueValidator(Decimal(0)), MaxValueValidator(Decimal(most))]
        super().__init__(required=False, max_digits=24, decimal_places=9, widget=widget, validators=checks, **options)


class CallForm(forms.Form):
    """Every filter. `is_told_everything`: the reader sees the calls of others, and may ask for a member's."""

    range = forms.ChoiceField(
        label=_("Time"),
        required=False,
        choices=[("", _("All times")), *((value, label) for value, (label, _span) in SPANS.items())],
    )
    since = Moment(label=pgettext_lazy("a moment", "From"))
    until = Moment(label=pgettext_lazy("a moment", "To"))
    key = Ids(label=_("Key"))
    model = AnyOf(label=_("Model"))
    outcome = Outcomes(label=_("Outcome"))
    status = forms.IntegerField(
        label=_("HTTP status"),
        required=False,
        min_value=100,
        max_value=599,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )
    endpoint = forms.ChoiceField(
        label=_("Endpoint"),
        required=False,
        choices=[("", _("All")), ("chat.completions", "chat.completions"), ("embeddings", "embeddings")],
    )
    streamed = forms.ChoiceField(
        label=_("Streamed"), required=False, choices=[("", _("All")), ("yes", _("Yes")), ("no", _("No"))]
    )
    cost_from, cost_to = Amount(MOST_USD), Amount(MOST_USD)
    tokens_from, tokens_to = Amount(MOST_TOKENS), Amount(MOST_TOKENS)
    latency_from, latency_to = Amount(MOST_MS), Amount(MOST_MS)
    ttft_from, ttft_to = Amount(MOST_MS), Amount(MOST_MS)
    user = forms.CharField(label=_("End user"), required=False, max_length=LONGEST)
    id = forms.CharField(label=_("Request id"), required=False, max_length=LONGEST)
    member = Ids(label=_("Member"))
    team = Ids(label=_("Team"))

    def __init__(self, query: QueryDict, *, on_instance: bool, sees_members: bool) -> None:
        super().__init__(query)
        self._query = query
        for name, is_meant in (("team", on_instance), ("member", sees_members)):
            if not is_meant:
                del self.fields[name]
        for field in self.fields.values():
            field.widget.attrs.setdefault("maxlength", LONGEST)
        self.full_clean()
        mark_errors(self)

    def given(self, name: str) -> Any:
        """What is asked for, or None: nothing, or nothing that makes sense."""
        value = self.cleaned_data.get(name)
        return None if value in ("", []) else value

    def wanted(self, now: datetime) -> CallFilter:
        since, until = self.given("since"), self.given("until")
        if since is None and until is None and (chosen := self.given("range")):
            since = now - SPANS[chosen][1]
        streamed = self.given("streamed")
        return CallFilter(
            since=since,
            until=until,
            key_ids=self._ids("key"),
            models=tuple(self.given("model") or ()),
            outcomes=tuple(self.given("outcome") or ()),
            statuses=(self.given("status"),) if self.given("status") else (),
            endpoints=(self.given("endpoint"),) if self.given("endpoint") else (),
            streamed=None if streamed is None else streamed == "yes",
            cost_nano_usd=self._between("cost", NANO_A_USD),
            tokens=self._between("tokens", 1),
            latency_us=self._between("latency", US_A_MS),
            ttft_us=self._between("ttft", US_A_MS),
            end_user=self.given("user") or "",
            some_id=(self.given("id") or "").strip(),
            member_ids=self._ids("member"),
            team_ids=self._ids("team"),
        )

    def more(self) -> list[forms.BoundField]:
        """The fields behind "More filters" that are one value each."""
        return [self[name] for name in MORE]

    def has_more_errors(self) -> bool:
        inside = {*MORE, *(name for least, most, *_ in RANGES for name in (least, most))}
        return any(name in inside for name in self.errors)

    def wrong_outside(self) -> list[forms.BoundField]:
        """Fields with an error and no place of their own beside which it could stand."""
        return [
            self[name] for name in self.errors if name in ("range", "id", "key", "model", "outcome", "member", "team")
        ]

    def ranges(self) -> list[tuple[Any, Any, str, str]]:
        return [(self[least], self[most], str(label), unit) for least, most, label, unit in RANGES]

    def query(self, without: str = "", value: str = "", **more: str) -> str:
        """The query string of the same question: what makes sense of it, without one field or one value of it."""
        query = QueryDict(mutable=True)
        for name, field in self.fields.items():
            if self.given(name) is not None and (name != without or value):
                values = self._query.getlist(name) if isinstance(field, AnyOf) else [self._query.get(name, "")]
                query.setlist(name, [each for each in values if name != without or each != value])
        for name, each in more.items():
            query[name] = each
        return query.urlencode()

    def _ids(self, name: str) -> tuple[int, ...]:
        return tuple(int(value) for value in self.given(name) or ())

    def _between(self, name: str, unit: int) -> Between:
        """The least is rounded up and the most down: no call outside of what was asked for is in it."""
        least, most = self.given(f"{name}_from"), self.given(f"{name}_to")
        return Between(None if least is None else -int(-least * unit // 1), None if most is None else int(most * unit))


class Chip(NamedTuple):
    """One filter that holds, and the address without it."""

    label: str
    text: str
    query: str


def chips(form: CallForm, named: dict[str, Sequence[Choice]]) -> Iterator[Chip]:
    """`named`: what the values of a menu are called."""
    for name, field in form.fields.items():
        if form.given(name) is None:
            continue
        if isinstance(field, AnyOf):
            labels = {choice.value: choice.label for choice in named.get(name, ())}
            for value in form.given(name):
                yield Chip(str(field.label), labels.get(value, value), form.query(name, value))
        else:
            yield Chip(_label(form, name), _text(form, name), form.query(name))


def _label(form: CallForm, name: str) -> str:
    for least, most, label, unit in RANGES:
        if name in (least, most):
            sign = "≥" if name == least else "≤"
            return f"{label}{f' ({unit})' if unit else ''} {sign}"
    return str(form.fields[name].label)


def _text(form: CallForm, name: str) -> str:
    value = form.given(name)
    if isinstance(value, datetime):
        return timezone.localtime(value).strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")
    choices = dict(getattr(form.fields[name], "choices", ()))
    return str(choices.get(value, form.data.get(name)))
