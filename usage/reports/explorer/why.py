"""Why the cost changed between two spans: six parts that add up to the change exactly, and the keys behind it.

The cost is, over all models, calls x share of the model x tokens a call x price a token. One factor after the other is
put from its value before to its value after, in the order of `Cause`, all others staying as they are:

1. volume: all calls grow or shrink alike;
2. model mix: each model gets its calls; what a model costs that is new or gone is all mix;
3. prompt length: prompts get their length, with the classes (cached, written to the cache ...) in their old shares;
4. output length: answers get their tokens, class by class;
5. cache rate: the prompt's classes get their shares;
6. price: tokens get their price. A price is what a token of the class cost in the span on average, so it moves with
   price versions, and with long prompts or service tiers that are charged differently.

A class without tokens before had no price: it comes in at its price after. Each step is an exact fraction; its sum is
rounded to whole nano-USD, so the differences add up exactly. Calls whose cost is unknown are in no part: they are
counted beside it. With no priced call in one of the spans, all of the change is volume.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import Any

from django.db.models import Q, Sum
from django.db.models.functions import Coalesce

from usage.models import INPUT_CLASSES, OUTPUT_CLASSES
from usage.reports import measures
from usage.reports.explorer import rows
from usage.reports.explorer.answer import NotAnswered
from usage.reports.explorer.cells import PRICED_CALLS
from usage.reports.explorer.names import KeyRing, Value
from usage.reports.explorer.question import Compare, Dimension, Grain, Metric, Question, why_not
from usage.reports.span import Scope

MOST_KEYS = 10
CLASSES = (*INPUT_CLASSES, *OUTPUT_CLASSES)
CACHED = CLASSES.index("cached")
PROMPT = range(len(INPUT_CLASSES))
OUTPUT = range(len(INPUT_CLASSES), len(CLASSES))


class Cause(StrEnum):
    """In the order in which one span is turned into the other."""

    VOLUME = "volume"
    MODEL_MIX = "model_mix"
    PROMPT_LENGTH = "prompt_length"
    OUTPUT_LENGTH = "output_length"
    CACHE_RATE = "cache_rate"
    PRICE = "price"


@dataclass(frozen=True)
class Part:
    kind: Cause
    nano_usd: int


@dataclass(frozen=True)
class Side:
    """One span's sums: what the parts are explained with. A rate is None where there is nothing to divide by."""

    cost_nano_usd: int = 0
    # With a known cost; refused calls were never sent on.
    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    unpriced_calls: int = 0

    @property
    def prompt_length(self) -> float | None:
        return self.prompt_tokens / self.calls if self.calls else None

    @property
    def output_length(self) -> float | None:
        return self.output_tokens / self.calls if self.calls else None

    @property
    def cache_rate(self) -> float | None:
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None


@dataclass(frozen=True)
class Share:
    """One key's or model's part in the change. `value` is None for the rest: "other keys"."""

    value: Value | None
    before: Side
    after: Side
    # Of this key or model alone: they add up to its change.
    parts: Sequence[Part]

    @property
    def change(self) -> int:
        return self.after.cost_nano_usd - self.before.cost_nano_usd

    @property
    def is_new(self) -> bool:
        return not self.before.calls and bool(self.after.calls)

    @property
    def is_gone(self) -> bool:
        return bool(self.before.calls) and not self.after.calls

    @property
    def main_part(self) -> Part:
        return max(self.parts, key=lambda part: abs(part.nano_usd))


@dataclass(frozen=True)
class Why:
    """`parts` add up to `change` exactly; so do the changes of `models`, and of `keys`, empty when not to be seen."""

    before: Side
    after: Side
    before_days: tuple[date, date]
    after_days: tuple[date, date]
    parts: Sequence[Part]
    # Largest change first; the last of `keys` has no value and holds the rest, if there is one.
    keys: Sequence[Share] = field(default_factory=list)
    models: Sequence[Share] = field(default_factory=list)

    @property
    def before_total(self) -> int:
        return self.before.cost_nano_usd

    @property
    def after_total(self) -> int:
        return self.after.cost_nano_usd

    @property
    def change(self) -> int:
        return self.after_total - self.before_total


def explain(scope: Scope, question: Question, now: datetime, owner_id: int | None = None) -> Why:
    """The question's span and filters against the span before it (`Compare.NONE` counts as BEFORE); its metric and
    groups do not matter. With `owner_id`, only that user's keys have names; 0 owns none. Raises NotAnswered.

    Three queries.
    """
    today, ring = now.astimezone(scope.zone).date(), KeyRing(scope, owner_id)
    compare = Compare.BEFORE if question.compare is Compare.NONE else question.compare
    asked = replace(question, metric=Metric.COST, group=None, subgroup=None, compare=compare)
    if reason := why_not(asked, today, scope.is_instance):
        raise NotAnswered(reason)
    past = asked.before
    assert past is not None
    before, after = (_uses(scope, span, today, ring) for span in (past, asked))
    return Why(
        before=_side(before.values()),
        after=_side(after.values()),
        before_days=(past.first_day, past.last_day),
        after_days=(asked.first_day, min(asked.last_day, today)),
        parts=decompose(_by_model(before), _by_model(after)),
        keys=_keys(before, after, ring) if owner_id != 0 else [],
        models=_models(before, after, ring),
    )


# What was used ------------------------------------------------------------------------------------------------------


@dataclass
class Use:
    """What the calls with a known cost used, of one model and key. Tokens and cost are by CLASSES."""

    calls: int = 0
    cost: int = 0
    unpriced_calls: int = 0
    tokens: list[int] = field(default_factory=lambda: [0] * len(CLASSES))
    costs: list[int] = field(default_factory=lambda: [0] * len(CLASSES))

    def add(self, other: Use) -> None:
        self.calls += other.calls
        self.cost += other.cost
        self.unpriced_calls += other.unpriced_calls
        self.tokens = [mine + more for mine, more in zip(self.tokens, other.tokens, strict=True)]
        self.costs = [mine + more for mine, more in zip(self.costs, other.costs, strict=True)]

    @property
    def prompt(self) -> int:
        return sum(self.tokens[place] for place in PROMPT)

    @property
    def prompt_cost(self) -> int:
        return sum(self.costs[place] for place in PROMPT)

    @property
    def output_cost(self) -> int:
        return sum(self.costs[place] for place in OUTPUT)


# By key and model: the key's id as a filter takes it.
Uses = Mapping[tuple[str, str], Use]
# Of a model without a price, tokens are left out with the cost.
PRICED = ~Q(unpriced_calls__gt=0, cost_nano_usd=0)
SUMS: dict[str, Any] = {
    "sum_calls": PRICED_CALLS,
    "sum_cost": measures.COST,
    "sum_unpriced": measures.UNPRICED,
    **{f"sum_{name}": Coalesce(Sum(f"{name}_tokens", filter=PRICED), 0) for name in CLASSES},
    **{f"cost_{name}": Coalesce(Sum(f"{name}_cost_nano_usd"), 0) for name in CLASSES},
}


def _uses(scope: Scope, question: Question, today: date, ring: KeyRing) -> Uses:
    shows_keys = ring.owner_id != 0
    columns = ("key_id", "model") if shows_keys else ("model",)
    asked = replace(question, group=Dimension.KEY if shows_keys else Dimension.MODEL, grain=Grain.DAY)
    uses: defaultdict[tuple[str, str], Use] = defaultdict(Use)
    for row in rows.totals(scope, asked, today, ring, columns, SUMS):
        *names, model = row[: len(columns)]
        calls, cost, unpriced, *rest = (int(value) for value in row[len(columns) :])
        key = ring.id_of(Dimension.KEY, names[0]) if names else ""
        uses[key, model].add(Use(calls, cost, unpriced, rest[: len(CLASSES)], rest[len(CLASSES) :]))
    return uses


def _by_model(uses: Uses) -> dict[str, Use]:
    models: defaultdict[str, Use] = defaultdict(Use)
    for (_, model), use in uses.items():
        models[model].add(use)
    return models


def _side(uses: Iterable[Use]) -> Side:
    whole = Use()
    for use in uses:
        whole.add(use)
    return Side(
        cost_nano_usd=whole.cost,
        calls=whole.calls,
        prompt_tokens=whole.prompt,
        cached_tokens=whole.tokens[CACHED],
        output_tokens=sum(whole.tokens) - whole.prompt,
        unpriced_calls=whole.unpriced_calls,
    )


# Six parts ----------------------------------------------------------------------------------------------------------


def decompose(before: Mapping[str, Use], after: Mapping[str, Use]) -> list[Part]:
    """By model. Pure."""
    calls_before, calls_after = (sum(use.calls for use in side.values()) for side in (before, after))
    cost_before, cost_after = (sum(use.cost for use in side.values()) for side in (before, after))
    if not calls_before or not calls_after:
        steps = [Fraction(cost_before)] + [Fraction(cost_after)] * len(Cause)
    else:
        steps = [Fraction(cost_before), Fraction(cost_before * calls_after, calls_before)]
        models = [_steps(before.get(name, Use()), after.get(name, Use())) for name in {**before, **after}]
        steps += [sum(costs, Fraction(0)) for costs in zip(*models, strict=True)]
        steps.append(Fraction(cost_after))
    whole = [round(step) for step in steps]
    changes = [there - here for here, there in pairwise(whole)]
    return [Part(cause, change) for cause, change in zip(Cause, changes, strict=True)]


def _steps(before: Use, after: Use) -> list[Fraction]:
    """What the model's calls of after cost once its mix, prompt length, output length and cache rate are those of
    after."""
    if not before.calls or not after.calls:
        return [Fraction(after.cost)] * 4
    calls = Fraction(after.calls, before.calls)
    output = before.output_cost * calls
    mix = before.prompt_cost * calls + output
    if before.prompt:
        prompt = Fraction(before.prompt_cost * after.prompt, before.prompt)
    else:
        prompt = Fraction(after.prompt_cost)
    new_output = _at_old_prices(before, after, OUTPUT)
    return [mix, prompt + output, prompt + new_output, _at_old_prices(before, after, PROMPT) + new_output]


def _at_old_prices(before: Use, after: Use, places: Iterable[int]) -> Fraction:
    return sum(
        (
            Fraction(before.costs[place] * after.tokens[place], before.tokens[place])
            if before.tokens[place]
            else Fraction(after.costs[place])
            for place in places
        ),
        Fraction(0),
    )


# Who caused it ------------------------------------------------------------------------------------------------------


def _keys(before: Uses, after: Uses, ring: KeyRing) -> list[Share]:
    ids = sorted({key for key, _ in (*before, *after)})
    shares = {id_: _share(None, _of_key(before, id_), _of_key(after, id_)) for id_ in ids}
    ranked = sorted(ids, key=lambda id_: (-abs(shares[id_].change), id_))
    first, rest = ranked[:MOST_KEYS], set(ranked[MOST_KEYS:])
    names = ring.names(Dimension.KEY, first)
    found = [replace(shares[id_], value=names[id_]) for id_ in first]
    if rest:
        others = [
            _by_model({place: use for place, use in side.items() if place[0] in rest}) for side in (before, after)
        ]
        found.append(_share(None, *others))
    return found


def _of_key(uses: Uses, id_: str) -> dict[str, Use]:
    return {model: use for (key, model), use in uses.items() if key == id_}


def _models(before: Uses, after: Uses, ring: KeyRing) -> list[Share]:
    past, present = _by_model(before), _by_model(after)
    names = ring.names(Dimension.MODEL, {*past, *present})
    shares = [
        _share(value, {id_: past[id_]} if id_ in past else {}, {id_: present[id_]} if id_ in present else {})
        for id_, value in names.items()
    ]
    return sorted(shares, key=lambda share: (-abs(share.change), share.value.id if share.value else ""))


def _share(value: Value | None, before: Mapping[str, Use], after: Mapping[str, Use]) -> Share:
    return Share(value, _side(before.values()), _side(after.values()), decompose(before, after))
