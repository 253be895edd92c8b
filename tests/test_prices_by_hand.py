"""Prices that an administrator sets: which version applies to which call, and that the past never changes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import AuditEntry, Change
from tests import rows
from tests.people import person
from usage import catalog, ledger, price_acts, shipper
from usage.models import Price, PriceVersion, UsageEvent
from usage.price_acts import KNOWN_AFTER, InForce, InThePast, Priced, StartsAlready

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
GPT_4 = Priced("openai", "gpt-4")
GEMINI = Priced("google", "gemini-4-argon")


def prices(usd: str) -> dict[str, list[tuple[int, Decimal]]]:
    return {"input": [(0, Decimal(usd))], "output": [(0, Decimal(usd) * 4)]}


def seeded(priced: Priced, usd: str, since: datetime, until: datetime | None = None) -> PriceVersion:
    version = PriceVersion.objects.create(**priced._asdict(), valid_from=since, valid_to=until, source="genai-prices 1")
    Price.objects.create(version=version, token_class="input", usd_per_million=Decimal(usd))
    return version


def input_price(priced: Priced, at: datetime) -> Decimal | None:
    found = catalog.price_versions().find(*priced, at)
    return found[1].usd_per_million("input", 1) if found else None


def test_a_price_set_by_hand_holds_from_when_every_shipper_knows_it_and_closes_the_one_before() -> None:
    catalog.seed_prices_of([GPT_4[:2]])
    listed = PriceVersion.objects.get(price_book="openai", model="gpt-4", service_tier="")
    grace = person("grace@example.com", is_staff=True)
    version = price_acts.set_price(grace, GPT_4, prices("20"), None, "committed use", NOW)
    listed.refresh_from_db()
    assert listed.valid_to == version.valid_from == NOW + KNOWN_AFTER
    assert (version.valid_to, version.created_by, version.note) == (None, grace, "committed use")
    just_before = version.valid_from - timedelta(microseconds=1)
    assert (input_price(GPT_4, just_before), input_price(GPT_4, version.valid_from)) == (30, 20)
    entry = AuditEntry.objects.get(action="price.set")
    assert (entry.subject, entry.details["prices"]) == ("openai / gpt-4", {"input": "20", "output": "80"})
    assert Change.objects.filter(kind="priceversion", row_id=version.pk).exists()


def test_every_shipper_looks_at_the_prices_before_a_new_one_applies() -> None:
    assert timedelta(seconds=shipper.PRICES_FRESH_S) < KNOWN_AFTER


def test_the_next_call_is_priced_by_it_and_the_calls_before_keep_what_they_cost() -> None:
    catalog.seed_prices_of([GPT_4[:2]])
    key, _ = rows.key(rows.team())
    version = price_acts.set_price(None, GPT_4, prices("20"), None, "", NOW)
    before, after = rows.entry(key, NOW), rows.entry(key, version.valid_from)
    ledger.record([before, after])
    costs = dict(UsageEvent.objects.values_list("price_version_id", "cost_nano_usd"))
    # 100 tokens in and 20 out, at 30 and 60 dollars a million, then at 20 and 80.
    assert costs.pop(version.pk) == 100 * 20_000 + 20 * 80_000
    assert list(costs.values()) == [100 * 30_000 + 20 * 60_000]
    price_acts.set_price(None, GPT_4, prices("1"), None, "", NOW + HOUR)
    assert set(UsageEvent.objects.values_list("cost_nano_usd", flat=True)) == {3_600_000, 4_200_000}


def test_a_later_list_price_never_ends_a_price_set_by_hand_and_is_back_when_that_is_withdrawn() -> None:
    december, january, march = (datetime(2026 + (month < 12), month, 1, tzinfo=UTC) for month in (12, 1, 3))
    seeded(GEMINI, "1", datetime(2020, 1, 1, tzinfo=UTC), january)
    seeded(GEMINI, "2", january)
    ours = price_acts.set_price(None, GEMINI, prices("0.5"), december, "", NOW)
    assert [input_price(GEMINI, at) for at in (NOW, december, january, march)] == [1, *[Decimal("0.5")] * 3]
    price_acts.withdraw(None, ours.pk, NOW)  # type: ignore[arg-type]
    assert [input_price(GEMINI, at) for at in (NOW, december, january, march)] == [1, 1, 2, 2]
    assert AuditEntry.objects.filter(action="price.withdraw").count() == 1


def test_a_newer_library_changes_nothing_that_has_a_price_and_setting_up_again_keeps_ours() -> None:
    catalog.seed_models()
    version = price_acts.set_price(None, GPT_4, prices("20"), None, "", NOW)
    catalog.seed_prices()
    assert list(PriceVersion.objects.filter(price_book="openai", model="gpt-4", service_tier="")) == [version]
    # Even a list price that came into the table later, in force at the same time, does not apply.
    seeded(GPT_4, "99", NOW)
    assert input_price(GPT_4, NOW + HOUR) == 20


def test_the_past_cannot_be_priced_and_two_versions_cannot_begin_at_once() -> None:
    with pytest.raises(InThePast):
        price_acts.set_price(None, GPT_4, prices("20"), NOW - timedelta(seconds=1), "", NOW)
    price_acts.set_price(None, GPT_4, prices("20"), NOW + HOUR, "", NOW)
    with pytest.raises(StartsAlready):
        price_acts.set_price(None, GPT_4, prices("21"), NOW + HOUR, "", NOW)
    assert input_price(GPT_4, NOW + HOUR) == 20


def test_a_version_that_is_in_force_or_from_the_library_cannot_be_withdrawn() -> None:
    listed = seeded(GPT_4, "30", NOW + HOUR)
    ours = price_acts.set_price(None, GPT_4, prices("20"), None, "", NOW)
    for version in (listed, ours):
        with pytest.raises(InForce):
            price_acts.withdraw(person(f"{version.pk}@example.com"), version.pk, NOW)
    assert PriceVersion.objects.count() == 2


def test_a_service_tier_without_prices_of_its_own_follows_the_standard_price_set_by_hand() -> None:
    price_acts.set_price(None, GPT_4, prices("20"), None, "", NOW)
    price_acts.set_price(None, GPT_4._replace(service_tier="flex"), prices("10"), NOW + HOUR, "", NOW)
    found = [input_price(GPT_4._replace(service_tier=tier), NOW + 2 * HOUR) for tier in ("flex", "priority", "default")]
    assert found == [10, 20, 20]


SET = st.tuples(st.just("set"), st.integers(0, 40), st.one_of(st.none(), st.integers(-3, 30)), st.integers(1, 99))
WITHDRAW = st.tuples(st.just("withdraw"), st.integers(0, 40), st.integers(0, 9))
LIST_STARTS = st.lists(st.integers(-20, 60), unique=True, max_size=3).map(sorted)


@given(acts=st.lists(st.one_of(SET, WITHDRAW), max_size=10), list_starts=LIST_STARTS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_done_one_version_at_most_applies_at_a_moment_and_the_past_stays_as_it_was(
    acts: list[tuple[object, ...]], list_starts: list[int]
) -> None:
    """Hours from NOW; a plain dictionary of starts says what must come out."""
    PriceVersion.objects.all().delete()
    ends: list[int | None] = [*list_starts[1:], None]
    for start, end in zip(list_starts, ends, strict=False):
        seeded(GPT_4, str(1000 + start), NOW + start * HOUR, None if end is None else NOW + end * HOUR)
    expected: dict[datetime, int] = {}
    clock = NOW
    for kind, passed, *rest in acts:
        clock += timedelta(minutes=passed)  # type: ignore[arg-type]
        past = _history(clock)
        if kind == "set":
            _set(expected, clock, *rest)  # type: ignore[arg-type]
        else:
            _withdraw(expected, clock, *rest)  # type: ignore[arg-type]
        now = _history(clock + 70 * HOUR)
        assert past.items() <= (now | _history(clock, also=past)).items()
        assert now == {at: _expected_at(expected, list_starts, at) for at in now}
        _assert_versions_of_one_source_never_overlap()


def _history(until: datetime, also: Iterable[datetime] = ()) -> dict[datetime, Decimal | None]:
    """The input price around each version's start."""
    book, shifts = catalog.price_versions(), (timedelta(0), timedelta(microseconds=-1), timedelta(minutes=7))
    starts = PriceVersion.objects.values_list("valid_from", flat=True)
    moments = {NOW, until, *also, *(at + shift for at in starts for shift in shifts)}
    found = {at: book.find(*GPT_4, at) for at in moments if at <= until}
    return {at: each[1].usd_per_million("input", 1) if each else None for at, each in found.items()}


def _set(expected: dict[datetime, int], clock: datetime, hours: int | None, usd: int) -> None:
    at = None if hours is None else NOW + hours * HOUR
    start = max(at or clock, clock + KNOWN_AFTER)
    try:
        price_acts.set_price(None, GPT_4, prices(str(usd)), at, "", clock)
    except InThePast:
        assert at is not None
        assert at < clock
    except StartsAlready:
        assert start in expected
    else:
        expected[start] = usd


def _withdraw(expected: dict[datetime, int], clock: datetime, which: int) -> None:
    versions = list(PriceVersion.objects.order_by("valid_from"))
    if not versions:
        return
    version = versions[which % len(versions)]
    try:
        price_acts.withdraw(None, version.pk, clock)  # type: ignore[arg-type]
    except InForce:
        assert not price_acts.can_withdraw(version, clock)
    else:
        del expected[version.valid_from]


def _expected_at(by_hand: dict[datetime, int], list_starts: list[int], at: datetime) -> int | None:
    begun = [start for start in by_hand if start <= at]
    if begun:
        return by_hand[max(begun)]
    listed = [start for start in list_starts if NOW + start * HOUR <= at]
    return 1000 + max(listed) if listed else None


def _assert_versions_of_one_source_never_overlap() -> None:
    versions = list(PriceVersion.objects.order_by("valid_from"))
    for by_hand in (True, False):
        chain = [version for version in versions if version.is_by_hand == by_hand]
        for earlier, later in pairwise(chain):
            assert earlier.valid_to is not None
            assert earlier.valid_to <= later.valid_from
