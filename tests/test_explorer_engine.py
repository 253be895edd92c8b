"""The explorer's answers against plain sums over the events, for any question."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import ApiKey, Team
from tests import rows
from tests.people import person
from usage import frames, ledger
from usage.models import UsageEvent
from usage.reports.explorer import answer as answers
from usage.reports.explorer.answer import HIDDEN, Answer, NotAnswered, ask, choices
from usage.reports.explorer.question import (
    OF_KEYS,
    Compare,
    Dimension,
    Grain,
    Metric,
    Question,
    WhyNot,
    allowed,
    why_not,
)
from usage.reports.latency import percentile
from usage.reports.span import INSTANCE, Scope, scope_of

pytestmark = pytest.mark.django_db
# A Wednesday. London's clocks went back on 25 October, Lord Howe's on by half an hour on 4 October.
NOW = datetime(2026, 11, 18, 14, 40, tzinfo=UTC)
DAYS = 100
MODELS = ("gpt-4", "gpt-4o", "text-embedding-3-small", "nobody-priced-this")
ADDING = [metric for metric in Metric if metric.adds_up]


class World(NamedTuple):
    teams: list[Team]
    keys: list[ApiKey]
    events: list[UsageEvent]
    scopes: list[Scope]


def make_world(zone: str = "Europe/London", calls: int = 160) -> World:
    """Two teams, five keys of two members, with and without tags, and calls of every kind over 100 days."""
    ada, grace = rows.team("Ada's team", time_zone=zone), rows.team("Grace's team", "Pro", time_zone="Asia/Kolkata")
    people = [person("ada@example.com", ada), person("alan@example.com", ada, "member"), None]
    keys = [
        rows.key(team, f"key {number}", created_by=people[number % 3], tag=("search", "", "support")[number % 3])[0]
        for number, team in enumerate((ada, ada, ada, ada, grace, grace))
    ]
    chosen = random.Random(5)
    made = [_call(chosen, chosen.choice(keys), _moment(chosen)) for _ in range(calls)]
    assert ledger.record(made, rows.PRICES) == calls
    return World([ada, grace], keys, list(UsageEvent.objects.all()), [scope_of(ada), INSTANCE, scope_of(grace)])


def _moment(chosen: random.Random) -> datetime:
    """Most are recent, many near a midnight, none later than now."""
    days_ago = min(chosen.expovariate(1 / 25), DAYS)
    moment = NOW - timedelta(days=days_ago)
    return moment.replace(hour=chosen.choice((0, 13, 23)), minute=chosen.randrange(60)) - timedelta(days=1)


def _call(chosen: random.Random, key: ApiKey, at: datetime) -> ledger.Entry:
    outcome = chosen.choice(["ok"] * 6 + ["upstream_error", "interrupted", "refused", "client_abort"])
    counts = frames.Tokens(*(chosen.choice((0, 7, 1_500)) for _ in range(7)))
    tokens = frames.NO_TOKENS if outcome == "refused" else counts
    provider = "" if outcome == "refused" else chosen.choice(("OpenAI", "Azure"))
    took = {"latency_us": chosen.randrange(1, 9_000_000), "ttft_us": chosen.choice((None, 250_000, 900_000))}
    return rows.entry(key, at, chosen.choice(MODELS), outcome=outcome, tokens=tokens, provider=provider, **took)


# The plain way ------------------------------------------------------------------------------------------------------


def value_of(world: World, event: UsageEvent, dimension: Dimension) -> str:
    key = next(key for key in world.keys if key.pk == event.key_id)
    return {
        Dimension.MODEL: event.served_model,
        Dimension.PROVIDER: event.provider,
        Dimension.TEAM: str(event.team_id),
        Dimension.KEY: str(key.pk),
        Dimension.MEMBER: str(key.created_by_id or ""),
        Dimension.TAG: key.tag,
    }[dimension]


def chosen_events(world: World, scope: Scope, question: Question) -> list[UsageEvent]:
    return [
        event
        for event in world.events
        if (scope.is_instance or event.team_id == scope.team_id)
        and question.first_day <= event.started_at.astimezone(scope.zone).date() <= question.last_day
        and all(not ids or value_of(world, event, name) in ids for name, ids in question.filters.items())
    ]


def measured(metric: Metric, events: Iterable[UsageEvent]) -> int:
    """Of a metric that adds up."""

    def of(event: UsageEvent) -> int:
        if metric is Metric.COST:
            return event.cost_nano_usd or 0
        if metric is Metric.TOKENS:
            return (event.prompt_tokens or 0) + (event.completion_tokens or 0)
        if metric is Metric.REQUESTS:
            return 1
        if metric is Metric.ERRORS:
            return int(event.outcome in ("upstream_error", "interrupted"))
        if metric is Metric.REFUSED:
            return int(event.outcome == "refused")
        return getattr(event, f"{metric[7:]}_tokens") or 0

    return sum(of(event) for event in events)


def start_of(grain: Grain, moment: datetime) -> datetime:
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if grain is Grain.HOUR:
        return moment.replace(minute=0, second=0, microsecond=0)
    if grain is Grain.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if grain is Grain.MONTH else day


def by_ids(world: World, question: Question, events: Iterable[UsageEvent]) -> dict[tuple[str, ...], list[UsageEvent]]:
    grouped = tuple(name for name in (question.group, question.subgroup) if name)
    found: defaultdict[tuple[str, ...], list[UsageEvent]] = defaultdict(list)
    for event in events:
        found[tuple(value_of(world, event, name) for name in grouped)].append(event)
    return found


# Any question -------------------------------------------------------------------------------------------------------


def questions(world: World, metrics: Iterable[Metric], is_instance: bool) -> st.SearchStrategy[Question]:
    today = NOW.date()
    spans = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted)
    ids = {name: sorted({value_of(world, event, name) for event in world.events}) for name in Dimension}
    filters = st.dictionaries(st.sampled_from(list(Dimension)), st.just(()), max_size=2).flatmap(
        lambda names: st.fixed_dictionaries(
            {name: st.lists(st.sampled_from(ids[name]), min_size=1, max_size=3).map(tuple) for name in names}
        )
    )
    return st.builds(
        lambda span, **fields: Question(
            first_day=today - timedelta(days=span[1]), last_day=today - timedelta(days=span[0]), **fields
        ),
        span=spans,
        metric=st.sampled_from(list(metrics)),
        group=st.none() | st.sampled_from(list(Dimension)),
        subgroup=st.none() | st.sampled_from(list(Dimension)),
        grain=st.sampled_from(list(Grain)),
        filters=filters,
        top=st.integers(1, 4),
        compare=st.sampled_from(list(Compare)),
    ).filter(lambda question: why_not(question, today, is_instance) is WhyNot.ANSWERED)


def for_any_question(world: World, metrics: Iterable[Metric], check: Callable[[Scope, Question], None]) -> None:
    """Each of a few dozen questions, to the team and to the instance."""
    many = settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))

    def each(scope: Scope) -> None:
        @many
        @given(question=questions(world, metrics, scope.is_instance))
        def one(question: Question) -> None:
            check(scope, question)

        one()

    each(world.scopes[0])
    each(world.scopes[1])


def plus(values: Iterable[Any]) -> int:
    return sum(value or 0 for value in values)


def test_groups_and_other_add_up_to_the_total_and_to_the_events() -> None:
    world = make_world()

    def check(scope: Scope, question: Question) -> None:
        found = ask(scope, question, NOW)
        events = chosen_events(world, scope, question)
        assert (found.total or 0) == measured(question.metric, events)
        assert plus(found.values) == (found.total or 0)
        assert found.calls == len(events)
        if question.group:
            assert plus(series.total for series in found.series) == (found.total or 0)
            _check_series(world, question, found, events)

    for_any_question(world, ADDING, check)


def _check_series(world: World, question: Question, found: Answer, events: list[UsageEvent]) -> None:
    groups = by_ids(world, question, events)
    assert found.rows_total_count == len(groups)
    named = [series for series in found.series if not series.is_other]
    assert len(named) == min(question.top, len(groups))
    for series in named:
        ids = tuple(value.id for value in (series.group, series.subgroup) if value)
        assert (series.total or 0) == measured(question.metric, groups[ids])
        assert series.calls == len(groups[ids])
    assert [series.total or 0 for series in named] == sorted((s.total or 0 for s in named), reverse=True)
    for place in range(len(found.starts)):
        assert plus(series.values[place] for series in found.series) == (found.values[place] or 0)


@pytest.mark.parametrize("zone", ["Europe/London", "Asia/Kolkata", "Australia/Lord_Howe"])
def test_each_bucket_holds_the_calls_of_its_own_local_time(zone: str) -> None:
    world = make_world(zone, 120)
    scope = world.scopes[0]
    for grain, days in ((Grain.HOUR, 14), (Grain.HOUR, 3), (Grain.DAY, 45), (Grain.WEEK, 60), (Grain.MONTH, 61)):
        for days_ago in (0, 20, 40):
            last = NOW.astimezone(scope.zone).date() - timedelta(days=days_ago)
            question = Question(Metric.REQUESTS, None, None, grain, last - timedelta(days=days - 1), last)
            found = ask(scope, question, NOW)
            wanted: defaultdict[datetime, int] = defaultdict(int)
            for event in chosen_events(world, scope, question):
                wanted[start_of(grain, event.started_at.astimezone(scope.zone))] += 1
            assert {
                start: value for start, value in zip(found.starts, found.values, strict=True) if value is not None
            } == dict(wanted), (grain, days_ago)


def test_a_day_has_23_or_25_hours_when_the_clocks_change() -> None:
    scope = scope_of(rows.team(time_zone="Europe/London"))
    day = date(2026, 10, 25)
    question = Question(Metric.COST, None, None, Grain.HOUR, day, day)
    starts = ask(scope, question, NOW).starts
    assert len(starts) == 25
    assert [start.hour for start in starts[:4]] == [0, 1, 1, 2]
    in_spring = replace(question, first_day=date(2026, 3, 29), last_day=date(2026, 3, 29))
    assert len(ask(scope, in_spring, datetime(2026, 4, 2, tzinfo=UTC)).starts) == 23


def test_a_filter_for_each_value_divides_the_whole() -> None:
    world = make_world()

    def check(scope: Scope, question: Question) -> None:
        assert question.group
        whole = ask(scope, replace(question, top=20), NOW)
        for series in whole.series:
            assert series.group
            part = replace(question, group=None, filters={**question.filters, question.group: (series.group.id,)})
            alone = ask(scope, part, NOW)
            assert (alone.total, alone.values) == (series.total, series.values)

    def one_group(scope: Scope, question: Question) -> None:
        if question.group and question.group not in question.filters:
            check(scope, replace(question, subgroup=None, compare=Compare.NONE))

    for_any_question(world, [Metric.COST, Metric.TOKENS, Metric.CACHE_RATE, Metric.COST_PER_REQUEST], one_group)


def test_the_span_before_is_what_asking_for_it_would_say() -> None:
    world = make_world()

    def check(scope: Scope, question: Question) -> None:
        found = ask(scope, question, NOW)
        before = question.before
        if before is None:
            assert (found.before_total, found.before_values) == (None, [])
            return
        assert before.last_day < question.first_day
        assert before.first_day.weekday() == question.first_day.weekday() or question.grain is Grain.MONTH
        if why_not(before, NOW.date(), scope.is_instance):
            assert found.before_total is None
            return
        there = ask(scope, before, NOW)
        assert found.before_total == there.total
        if question.grain is not Grain.HOUR:
            assert found.before_values == there.values[: len(found.starts)]
        if question.group and question.subgroup is None:
            wide = ask(scope, replace(before, top=20), NOW)
            totals = {series.group: series.total for series in wide.series if not series.is_other}
            for series in found.series:
                if not series.is_other:
                    assert series.before_total == totals.get(series.group)

    for_any_question(world, [metric for metric in Metric if not metric.is_percentile], check)


def test_percentiles_are_those_of_the_bins_merged() -> None:
    world = make_world()

    def check(scope: Scope, question: Question) -> None:
        found = ask(scope, question, NOW)
        kind, share = ("ttft" if "ttft" in question.metric else "latency"), 0.95 if "95" in question.metric else 0.5
        events = chosen_events(world, scope, question)
        assert found.total == _percentile(events, kind, share)
        groups = by_ids(world, question, events)
        for series in found.series:
            ids = tuple(value.id for value in (series.group, series.subgroup) if value)
            assert not series.is_other
            assert series.total == _percentile(groups[ids], kind, share)

    for_any_question(world, [metric for metric in Metric if metric.is_percentile], check)


def _percentile(events: Iterable[UsageEvent], kind: str, share: float) -> int | None:
    bins = ledger.no_bins()
    for event in events:
        if event.outcome == "ok" and (took_us := getattr(event, f"{kind}_us")):
            bins[ledger.bin_place(took_us)] += 1
    return percentile(bins, share)


def test_rates_and_means_are_of_the_sums_not_of_the_groups() -> None:
    world = make_world()

    def check(scope: Scope, question: Question) -> None:
        found = ask(scope, question, NOW)
        assert not any(series.is_other for series in found.series)
        assert found.total == _rate(question.metric, chosen_events(world, scope, question))

    rates = [metric for metric in Metric if not metric.adds_up and not metric.is_percentile]
    for_any_question(world, rates, check)


def _rate(metric: Metric, events: list[UsageEvent]) -> float | None:
    if metric is Metric.ERROR_RATE:
        part, whole = measured(Metric.ERRORS, events), len(events)
    elif metric is Metric.CACHE_RATE:
        part, whole = measured(Metric.TOKENS_CACHED, events), sum(event.prompt_tokens or 0 for event in events)
    elif metric is Metric.COST_PER_REQUEST:
        priced = [event for event in events if event.cost_nano_usd is not None]
        part, whole = measured(Metric.COST, priced), len(priced)
    else:
        name = "latency_us" if metric is Metric.LATENCY_MEAN else "ttft_us"
        timed = [getattr(event, name) for event in events if event.outcome == "ok" and getattr(event, name)]
        part, whole = sum(timed), len(timed)
    if not whole:
        return None
    return part / whole if metric in (Metric.ERROR_RATE, Metric.CACHE_RATE) else (2 * part + whole) // (2 * whole)


# What is shown ------------------------------------------------------------------------------------------------------


def days_until_now(metric: Metric, group: Dimension | None = None, days: int = 7, **fields: Any) -> Question:
    given = {"subgroup": None, "grain": Grain.DAY, **fields}
    return Question(metric, group, first_day=NOW.date() - timedelta(days=days - 1), last_day=NOW.date(), **given)


def test_a_day_without_calls_is_no_data_and_a_free_one_is_zero() -> None:
    key, _ = rows.key(rows.team())
    rows.event(key, NOW - timedelta(days=2), tokens=frames.Tokens(0, 0, 0, 0, 0, 0, 0))
    rows.event(key, NOW)
    found = ask(scope_of(key.team), days_until_now(Metric.COST), NOW)
    assert found.values[:4] == [None] * 4
    assert found.values[4:] == [0, None, 4_200_000]
    assert found.is_running
    grown = ask(scope_of(key.team), days_until_now(Metric.COST, cumulative=True), NOW)
    assert grown.values[4:] == [0, 0, 4_200_000]


@pytest.mark.parametrize("group", [None, Dimension.MODEL, Dimension.KEY])
@pytest.mark.parametrize("grain", list(Grain))
def test_a_span_without_calls_has_no_total_whatever_its_buckets(grain: Grain, group: Dimension | None) -> None:
    scope = scope_of(rows.team())
    found = ask(scope, days_until_now(Metric.COST, group, 1, grain=grain, compare=Compare.BEFORE), NOW)
    assert (found.total, found.before_total, found.before_so_far, found.series) == (None, None, None, [])
    assert set(found.values) == {None}


def test_an_unknown_price_is_unknown_and_counted() -> None:
    key, _ = rows.key(rows.team())
    rows.event(key, NOW, model="nobody-priced-this")
    found = ask(scope_of(key.team), days_until_now(Metric.COST, Dimension.MODEL), NOW)
    assert (found.total, found.values[-1], found.unpriced_calls, found.series[0].total) == (None, None, 1, None)


def test_a_running_span_is_also_compared_to_the_same_moment() -> None:
    key, _ = rows.key(rows.team(time_zone="Asia/Kolkata"))
    for days_ago, hours in ((7, 0), (7, 2), (7, -2), (13, 0), (0, 0)):
        rows.event(key, NOW - timedelta(days=days_ago) + timedelta(hours=hours))
    found = ask(scope_of(key.team), days_until_now(Metric.REQUESTS, compare=Compare.BEFORE), NOW)
    assert (found.before_total, found.before_so_far) == (4, 3)
    yesterday = replace(found.question, last_day=NOW.date() - timedelta(days=1))
    assert ask(scope_of(key.team), yesterday, NOW).before_so_far is None


def test_a_member_sees_own_keys_by_name_and_the_others_as_one() -> None:
    world = make_world()
    scope, owner = world.scopes[0], world.keys[0].created_by_id
    for dimension in OF_KEYS:
        found = ask(scope, days_until_now(Metric.REQUESTS, dimension, 60, top=20), NOW, owner)
        names = {series.group.id: series.total for series in found.series if series.group}
        hidden = names.pop(HIDDEN)
        own = [key for key in world.keys if key.created_by_id == owner]
        events = chosen_events(world, scope, found.question)
        assert sum(names.values()) == len([e for e in events if e.key_id in {key.pk for key in own}])
        assert hidden + sum(names.values()) == found.total == len(events)
        others = str(world.keys[1].pk if dimension is Dimension.KEY else world.keys[1].created_by_id)
        peek = ask(scope, replace(found.question, group=None, filters={dimension: (others,)}), NOW, owner)
        assert peek.total is None
        rest = ask(scope, replace(found.question, group=None, filters={dimension: (HIDDEN,)}), NOW, owner)
        assert rest.total == hidden
        offered = {value.id for value in choices(scope, dimension, NOW, owner)}
        assert HIDDEN not in offered
        assert others not in offered
    nobody = ask(scope, days_until_now(Metric.REQUESTS, Dimension.KEY, 60), NOW, 0)
    assert [series.group.id for series in nobody.series if series.group] == [HIDDEN]


def test_keys_and_members_have_names_and_those_that_are_gone_a_number() -> None:
    world = make_world()
    gone = world.keys[1]
    ApiKey.objects.filter(pk=gone.pk).delete()
    found = ask(world.scopes[0], days_until_now(Metric.COST, Dimension.KEY, 90), NOW)
    names = {series.group.name: series.group for series in found.series if series.group}
    assert names[f"#{gone.pk}"].url_id is None
    assert names["key 0"].url_id == world.keys[0].pk
    assert names["key 0"].detail == world.keys[0].redacted
    members = ask(world.scopes[0], days_until_now(Metric.COST, Dimension.MEMBER, 90), NOW)
    assert {"Ada", "nobody"} <= {series.group.name for series in members.series if series.group}


def test_choices_begin_with_who_spent_most() -> None:
    world = make_world()
    assert {value.id for value in choices(INSTANCE, Dimension.MODEL, NOW)} == set(MODELS)
    assert choices(INSTANCE, Dimension.MODEL, NOW)[0].id == "gpt-4"
    assert {value.name for value in choices(INSTANCE, Dimension.TEAM, NOW)} == {"Ada's team", "Grace's team"}
    assert {value.id for value in choices(world.scopes[0], Dimension.TAG, NOW)} == {"search", "", "support"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"last_day": date(2026, 1, 1)}, WhyNot.BACKWARDS),
        ({"first_day": date(2020, 1, 1)}, WhyNot.TOO_LONG),
        ({"group": None, "subgroup": Dimension.KEY}, WhyNot.SUBGROUP_ALONE),
        ({"subgroup": Dimension.MODEL}, WhyNot.SAME_TWICE),
        ({"group": Dimension.TEAM}, WhyNot.TEAM_IN_TEAM),
        ({"metric": Metric.TTFT_P95, "subgroup": Dimension.KEY}, WhyNot.KEY_AND_MODEL),
        ({"metric": Metric.TTFT_P95, "filters": {Dimension.TAG: ("",)}}, WhyNot.KEY_AND_MODEL),
        ({"metric": Metric.LATENCY_P50, "grain": Grain.HOUR}, WhyNot.PERCENTILE_BY_HOUR),
        ({"grain": Grain.HOUR, "first_day": date(2026, 10, 1)}, WhyNot.TOO_LONG_FOR_HOURS),
        (
            {"grain": Grain.HOUR, "first_day": date(2026, 8, 1), "last_day": date(2026, 8, 2)},
            WhyNot.TOO_OLD_FOR_HOURS,
        ),
    ],
)
def test_a_question_without_an_answer_says_why(change: dict[str, Any], reason: WhyNot) -> None:
    question = replace(days_until_now(Metric.COST, Dimension.MODEL), **change)
    with pytest.raises(NotAnswered) as raised:
        ask(scope_of(rows.team()), question, NOW)
    assert raised.value.reason is reason


def test_menus_offer_what_is_kept() -> None:
    assert allowed(Metric.LATENCY_P95, Dimension.MODEL, Dimension.PROVIDER)
    assert allowed(Metric.LATENCY_P95, Dimension.TEAM, Dimension.KEY, is_instance=True)
    assert allowed(Metric.LATENCY_MEAN, Dimension.KEY, Dimension.MODEL)
    assert not allowed(Metric.LATENCY_P95, Dimension.KEY, Dimension.MODEL)
    assert not allowed(Metric.COST, Dimension.KEY, Dimension.KEY)
    assert not allowed(Metric.COST, Dimension.TEAM, None)


def test_an_answer_takes_as_many_queries_with_many_keys_as_with_few(django_assert_max_num_queries: Any) -> None:
    make_world()
    question = days_until_now(
        Metric.COST,
        Dimension.TEAM,
        30,
        subgroup=Dimension.MEMBER,
        compare=Compare.BEFORE,
        filters={Dimension.TAG: ("",)},
    )
    with django_assert_max_num_queries(6):
        ask(INSTANCE, question, NOW)
    with django_assert_max_num_queries(2):
        ask(INSTANCE, days_until_now(Metric.COST, Dimension.MODEL, 30), NOW)
    assert answers.MOST_CHOICES[Dimension.KEY] == 500
