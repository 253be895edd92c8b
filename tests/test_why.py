"""Why the cost changed, and what happened on the way."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import audit, keys, teams
from tests import rows
from tests.people import person
from tests.test_explorer_engine import NOW, chosen_events, days_until_now, make_world, measured
from usage import frames, pricing
from usage.models import Price, PriceVersion
from usage.reports.explorer.answer import HIDDEN, NotAnswered, ask
from usage.reports.explorer.marks import MarkKind, marks
from usage.reports.explorer.question import Compare, Dimension, Grain, Metric
from usage.reports.explorer.why import CLASSES, Cause, Use, Why, decompose, explain
from usage.reports.span import INSTANCE, scope_of

LAST_WEEK = NOW - timedelta(days=7)
NOTHING: dict[str, int] = dict.fromkeys(Cause, 0)


def changes(why: Why) -> dict[str, int]:
    return {part.kind: part.nano_usd for part in why.parts}


# The six parts, without rows ------------------------------------------------------------------------------------------


def uses() -> st.SearchStrategy[dict[str, Use]]:
    counts = st.lists(st.integers(0, 10**9), min_size=len(CLASSES), max_size=len(CLASSES))

    def use(calls: int, tokens: list[int], costs: list[int]) -> Use:
        costs = [cost if count else 0 for cost, count in zip(costs, tokens, strict=True)]
        return Use(calls, sum(costs) if calls else 0, 0, tokens if calls else [0] * 7, costs if calls else [0] * 7)

    return st.dictionaries(st.sampled_from("abcd"), st.builds(use, st.integers(0, 10**6), counts, counts), max_size=4)


@settings(max_examples=80, deadline=None, database=None)
@given(before=uses(), after=uses())
def test_the_parts_add_up_exactly_and_the_other_way_round_to_the_opposite(
    before: dict[str, Use], after: dict[str, Use]
) -> None:
    change = sum(use.cost for use in after.values()) - sum(use.cost for use in before.values())
    assert sum(part.nano_usd for part in decompose(before, after)) == change
    assert sum(part.nano_usd for part in decompose(after, before)) == -change
    assert [part.kind for part in decompose(before, after)] == list(Cause)


@settings(max_examples=60, deadline=None, database=None)
@given(before=uses(), times=st.integers(2, 9))
def test_more_of_the_same_is_volume_alone(before: dict[str, Use], times: int) -> None:
    after = {name: _times(use, times) for name, use in before.items()}
    found = {part.kind: part.nano_usd for part in decompose(before, after)}
    cost = sum(use.cost for use in before.values())
    assert found == {**NOTHING, "volume": cost * (times - 1)}


def _times(use: Use, times: int) -> Use:
    return Use(use.calls * times, use.cost * times, 0, [n * times for n in use.tokens], [n * times for n in use.costs])


@settings(max_examples=60, deadline=None, database=None)
@given(before=uses(), times=st.integers(2, 9))
def test_another_price_is_price_alone(before: dict[str, Use], times: int) -> None:
    after = {
        name: replace(use, cost=use.cost * times, costs=[cost * times for cost in use.costs])
        for name, use in before.items()
    }
    found = {part.kind: part.nano_usd for part in decompose(before, after)}
    cost = sum(use.cost for use in before.values())
    if any(use.calls for use in before.values()):
        assert found == {**NOTHING, "price": cost * (times - 1)}


# With rows ------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("cause", "before", "after"),
    [
        ("volume", [("gpt-4o", 100, 0, 20)] * 3, [("gpt-4o", 100, 0, 20)] * 7),
        ("model_mix", [("gpt-4o", 100, 0, 20), ("gpt-4", 100, 0, 20)], [("gpt-4", 100, 0, 20)] * 2),
        ("prompt_length", [("gpt-4o", 1000, 1000, 20)], [("gpt-4o", 3000, 3000, 20)]),
        ("output_length", [("gpt-4o", 100, 0, 20)], [("gpt-4o", 100, 0, 90)]),
        ("cache_rate", [("gpt-4o", 2000, 0, 20)], [("gpt-4o", 500, 1500, 20)]),
    ],
)
def test_each_cause_is_told_from_the_others(
    cause: str, before: list[tuple[str, int, int, int]], after: list[tuple[str, int, int, int]]
) -> None:
    key, _ = rows.key(rows.team())
    for at, calls in ((LAST_WEEK, before), (NOW, after)):
        for model, prompt, cached, said in calls:
            rows.event(key, at, model, tokens=frames.Tokens(prompt, cached, 0, 0, said, 0, 0))
    why = explain(scope_of(key.team), days_until_now(Metric.COST), NOW)
    assert why.change
    assert changes(why) == {**NOTHING, cause: why.change}


@pytest.mark.django_db
def test_a_new_price_is_price_and_not_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    key, _ = rows.key(rows.team())
    rows.event(key, LAST_WEEK)
    dearer = pricing.PriceBook([rows._version(9, "gpt-4", {"input": 60, "output": 90})])
    monkeypatch.setattr(rows, "PRICES", dearer)
    rows.event(key, NOW)
    why = explain(scope_of(key.team), days_until_now(Metric.COST), NOW)
    assert changes(why) == {**NOTHING, "price": (100 * 30 + 20 * 30) * 1000}


@pytest.mark.django_db
def test_a_model_that_is_new_or_gone_is_mix_and_said() -> None:
    key, _ = rows.key(rows.team())
    rows.event(key, LAST_WEEK, "gpt-4")
    rows.event(key, NOW, "gpt-4o")
    why = explain(scope_of(key.team), days_until_now(Metric.COST), NOW)
    assert changes(why) == {**NOTHING, "model_mix": why.change}
    told = {share.value.id: (share.is_new, share.is_gone) for share in why.models if share.value}
    assert told == {"gpt-4": (False, True), "gpt-4o": (True, False)}


@pytest.mark.django_db
def test_calls_without_a_price_are_beside_it_and_in_no_part() -> None:
    key, _ = rows.key(rows.team())
    for at in (LAST_WEEK, NOW, NOW):
        rows.event(key, at)
    rows.event(key, NOW, "nobody-priced-this")
    rows.refusal(key, NOW)
    why = explain(scope_of(key.team), days_until_now(Metric.COST), NOW)
    assert changes(why) == {**NOTHING, "volume": 4_200_000}
    assert (why.after.unpriced_calls, why.after.calls, why.after.prompt_length) == (1, 2, 100)
    nothing = explain(scope_of(rows.team("Nobody's")), days_until_now(Metric.COST), NOW)
    assert (nothing.change, nothing.before.prompt_length, nothing.keys) == (0, None, [])


@pytest.mark.django_db
def test_for_any_span_and_filter_the_whole_agrees_with_the_explorer() -> None:
    world = make_world(calls=220)
    chosen = random.Random(3)

    @settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        ago=st.integers(0, 40), days=st.integers(1, 75), compare=st.sampled_from(list(Compare)),
        grain=st.sampled_from([Grain.DAY, Grain.MONTH]), filtered=st.booleans(), on_instance=st.booleans(),
    )  # fmt: skip
    def check(ago: int, days: int, compare: Compare, grain: Grain, filtered: bool, on_instance: bool) -> None:
        filters: Mapping[Dimension, tuple[str, ...]] = {Dimension.MODEL: ("gpt-4", "gpt-4o")} if filtered else {}
        last = NOW.date() - timedelta(days=ago)
        question = replace(
            days_until_now(Metric.COST, compare=compare, grain=grain, filters=filters),
            first_day=last - timedelta(days=days - 1),
            last_day=last,
        )
        scope = INSTANCE if on_instance else world.scopes[0]
        why = explain(scope, question, NOW, chosen.choice((None, world.keys[0].created_by_id)))
        compared = replace(question, compare=Compare.BEFORE if compare is Compare.NONE else compare)
        found = ask(scope, compared, NOW)
        assert (why.before_total, why.after_total) == (found.before_total or 0, found.total or 0)
        assert why.after_total == measured(Metric.COST, chosen_events(world, scope, question))
        for parts in (why.parts, *(share.parts for share in (*why.keys, *why.models))):
            assert [part.kind for part in parts] == list(Cause)
        assert sum(part.nano_usd for part in why.parts) == why.change
        assert sum(share.change for share in why.keys) == why.change
        assert sum(share.change for share in why.models) == why.change
        assert all(sum(part.nano_usd for part in share.parts) == share.change for share in why.keys)
        assert found.unpriced_calls == why.after.unpriced_calls

    check()


@pytest.mark.django_db
def test_the_keys_that_caused_it_come_first_and_the_rest_is_one_row() -> None:
    team = rows.team()
    ada = person("ada@example.com", team)
    for number in range(13):
        key, _ = rows.key(team, f"key {number}", created_by=ada if number < 2 else None)
        for _ in range(number + 1):
            rows.event(key, NOW)
    why = explain(scope_of(team), days_until_now(Metric.COST), NOW)
    assert [share.value.name if share.value else "" for share in why.keys][:2] == ["key 12", "key 11"]
    assert len(why.keys) == 11
    assert why.keys[-1].value is None
    assert why.keys[-1].change == (1 + 2 + 3) * 4_200_000
    seen = explain(scope_of(team), days_until_now(Metric.COST), NOW, ada.pk)
    assert {share.value.id for share in seen.keys if share.value} >= {HIDDEN}
    assert len(seen.keys) == 3
    assert explain(scope_of(team), days_until_now(Metric.COST), NOW, 0).keys == []


@pytest.mark.django_db
def test_it_takes_three_queries_and_refuses_what_it_cannot_answer(django_assert_max_num_queries: Any) -> None:
    world = make_world(calls=40)
    with django_assert_max_num_queries(3):
        explain(world.scopes[0], days_until_now(Metric.COST, days=90), NOW)
    backwards = replace(days_until_now(Metric.COST), last_day=NOW.date() - timedelta(days=99))
    with pytest.raises(NotAnswered):
        explain(world.scopes[0], backwards, NOW)


# Marks --------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_marks_tell_prices_limits_keys_and_members(django_assert_num_queries: Any) -> None:
    team = rows.team()
    ada = person("ada@example.com", team)
    key, _ = keys.create(ada, team, "notebook")
    rows.event(key, NOW - timedelta(days=1))
    _price("gpt-4", datetime(2020, 1, 1, tzinfo=UTC), 30)
    _price("gpt-4", NOW - timedelta(days=2), 27)
    _price("gpt-4o", NOW - timedelta(days=2), 1)
    keys.revoke(ada, key, NOW)
    teams.change(ada, team, tier=rows.tier("Pro"))
    teams.change(ada, team, name="Ada's other name")
    audit.record(ada, "member.join", team, ada, role="owner")
    today = datetime.now(UTC).date()
    with django_assert_num_queries(4):
        found = marks(scope_of(team), NOW.date() - timedelta(days=7), max(today, NOW.date()))
    assert {(mark.kind, mark.text) for mark in found} == {
        (MarkKind.PRICE, "price: gpt-4 −10 %"),
        (MarkKind.KEY, "key: notebook made"),
        (MarkKind.KEY, "key: notebook revoked"),
        (MarkKind.LIMIT, "limit: Basic → Pro"),
        (MarkKind.MEMBER, "member: Ada joined"),
    }
    assert [mark.at for mark in found] == sorted(mark.at for mark in found)
    assert {mark.key_id for mark in found if mark.kind is MarkKind.KEY} == {key.pk}


@pytest.mark.django_db
def test_marks_show_nobody_elses_keys_and_other_teams_only_on_the_instance() -> None:
    team, other = rows.team(), rows.team("Grace's team")
    ada, alan = person("ada@example.com", team), person("alan@example.com", team, "member")
    keys.create(ada, team, "ada's")
    keys.create(alan, team, "alan's")
    keys.create(ada, other, "grace's")
    today = datetime.now(UTC).date()
    span = (today - timedelta(days=1), today + timedelta(days=1))
    assert [mark.text for mark in marks(scope_of(team), *span)] == ["key: ada's made", "key: alan's made"]
    assert [mark.text for mark in marks(scope_of(team), *span, alan.pk)] == ["key: alan's made"]
    assert marks(scope_of(team), *span, 0) == []
    assert "Grace's team: key: grace's made" in {mark.text for mark in marks(INSTANCE, *span)}


def _price(model: str, valid_from: datetime, usd: int) -> None:
    version = PriceVersion.objects.create(price_book="openai", model=model, valid_from=valid_from, source="test")
    for name in ("input", "output"):
        Price.objects.create(version=version, token_class=name, usd_per_million=Decimal(usd))
