"""The call log: any filter, searched back in windows, page by page; the export; the receipt of one call."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import connection
from django.http import QueryDict
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from accounts.models import Membership
from tests import rows
from tests.people import forget_static_files, person, signed_in
from usage import frames, ledger
from usage.dashboard.calls.asked import CallForm
from usage.models import UsageEvent
from usage.reports import call_filter, call_search
from usage.reports.call_filter import Between, CallFilter
from usage.reports.patience import TookTooLongError, at_most
from usage.reports.span import scope_of

Role = Membership.Role
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _plain_static_files(settings):
    forget_static_files(settings)


@pytest.fixture
def ada():
    team = rows.team("Ada's team", time_zone="Asia/Shanghai")
    owner = person("ada@example.com", team)
    key, _ = rows.key(team, created_by=owner)
    return {"team": team, "owner": owner, "key": key, "client": signed_in(owner), "calls": f"/t/{team.pk}/calls/"}


def shown(answer) -> list[str]:
    """The calls of a page, in its order."""
    return re.findall(r'id="(req_[0-9a-f]{32})"', answer.content.decode())


# Filters ------------------------------------------------------------------------------------------------------------


def a_history(team, member) -> list[UsageEvent]:
    """Sixty calls over two years, of every kind; the older, the rarer."""
    keys = [rows.key(team, "own", created_by=member)[0], rows.key(team, "another")[0]]
    kinds = [
        {"outcome": "ok", "status": 200},
        {"outcome": "refused", "status": 429, "tokens": frames.NO_TOKENS, "provider": "", "origin": "none"},
        {"outcome": "upstream_error", "status": 503, "tokens": frames.NO_TOKENS, "error_code": "upstream_503"},
        {"outcome": "client_abort", "status": 499, "origin": "partial"},
        {"outcome": "interrupted", "status": None, "latency_us": None},
    ]
    entries = []
    for n in range(60):
        at = NOW - timedelta(minutes=2 ** (n / 3.1), seconds=7 * n)
        kind = {"latency_us": 1_000 * (n % 7 + 1), **kinds[(n * n) % 7 % 5]}
        kind.setdefault("tokens", frames.Tokens(100 * (n % 5), 0, 0, 0, n, 0, 0))
        entries.append(
            rows.entry(
                keys[n % 2],
                at,
                ("gpt-4", "gpt-4o", "unpriced")[n % 3],
                endpoint=("chat.completions", "embeddings")[n % 4 == 0],
                streamed=n % 2 == 0,
                ttft_us=500 * n if n % 2 == 0 else None,
                end_user=f"user {n % 4}",
                client_request_id=f"mine-{n}",
                upstream_request_id=f"theirs-{n}",
                **kind,
            )
        )
    assert ledger.record(entries, rows.PRICES) == 60
    return list(UsageEvent.objects.filter(team=team).select_related("key").order_by("-id"))


def fits(event: UsageEvent, wanted: CallFilter) -> bool:
    """The filter, once more, in plain Python."""
    counts = [getattr(event, f"{name}_tokens") for name in ("input", "cached", "output", "reasoning")]
    tokens = None if all(count is None for count in counts) else sum(count or 0 for count in counts)
    ranges = [
        (event.cost_nano_usd, wanted.cost_nano_usd),
        (event.latency_us, wanted.latency_us),
        (event.ttft_us, wanted.ttft_us),
        (tokens, wanted.tokens),
    ]
    several = [
        (event.key_id, wanted.key_ids),
        (event.served_model, wanted.models),
        (event.outcome, wanted.outcomes),
        (event.status, wanted.statuses),
        (event.endpoint, wanted.endpoints),
        (event.team_id, wanted.team_ids),
        (event.key.created_by_id, wanted.member_ids),
    ]
    ids = (event.client_request_id, event.upstream_request_id, event.request_id, event.id.hex)
    return (
        (wanted.since is None or event.started_at >= wanted.since)
        and (wanted.until is None or event.started_at < wanted.until)
        and all(not values or value in values for value, values in several)
        and (wanted.streamed is None or event.streamed == wanted.streamed)
        and (not wanted.end_user or event.end_user == wanted.end_user)
        and (not wanted.some_id or wanted.some_id in ids)
        and all(between(value, limits) for value, limits in ranges)
    )


def between(value: int | None, limits: Between) -> bool:
    if not limits:
        return True
    if value is None:
        return False
    return (limits.least is None or value >= limits.least) and (limits.most is None or value <= limits.most)


def some_of(*values):
    return st.one_of(st.just(()), st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True).map(tuple))


def a_range(most: int):
    ends = st.one_of(st.none(), st.integers(0, most))
    return st.one_of(st.just(Between()), st.builds(Between, ends, ends))


@st.composite
def filters(draw, key_ids, member_id):
    ago = st.one_of(st.none(), st.integers(0, 10**6).map(lambda minutes: NOW - timedelta(minutes=minutes)))
    return CallFilter(
        since=draw(ago),
        until=draw(ago),
        key_ids=draw(some_of(*key_ids)),
        models=draw(some_of("gpt-4", "gpt-4o", "unpriced", "nobody's")),
        outcomes=draw(some_of("ok", "refused", "upstream_error", "client_abort", "interrupted")),
        statuses=draw(some_of(200, 429, 503, 404)),
        endpoints=draw(some_of("chat.completions", "embeddings")),
        streamed=draw(st.sampled_from([None, None, True, False])),
        cost_nano_usd=draw(a_range(20_000_000)),
        latency_us=draw(a_range(8_000)),
        ttft_us=draw(a_range(30_000)),
        tokens=draw(a_range(500)),
        end_user=draw(st.sampled_from(["", "", "user 1", "user 9"])),
        some_id=draw(st.sampled_from(["", "", "", "mine-7", "theirs-8", "req_nothing"])),
        member_ids=draw(some_of(member_id)),
    )


def test_any_filters_find_what_plain_python_finds_each_row_once_however_it_is_paged(ada) -> None:
    events = a_history(ada["team"], ada["owner"])
    scope = scope_of(ada["team"])
    key_ids = sorted({event.key_id for event in events})

    # Not shrunk: each look asks the database.
    @settings(
        max_examples=50,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        wanted=filters(key_ids, ada["owner"].pk), page=st.sampled_from([9, 23, 70]), most_s=st.sampled_from([0.0, 10.0])
    )
    def check(wanted: CallFilter, page: int, most_s: float) -> None:
        found, older_than, looks = [], None, 0
        while True:
            part = call_search.search(scope, None, wanted, page, older_than, most_s=most_s)
            found += [call.id for call in part.calls]
            older_than, looks = part.older_than, looks + 1
            assert len(part.calls) <= page
            assert looks < 30, "it does not end"
            if older_than is None:
                break
        assert found == [event.id for event in events if fits(event, wanted)]

    check()


def test_a_search_without_time_left_says_how_far_it_has_looked_and_goes_on_from_there(ada) -> None:
    rare = rows.event(ada["key"], NOW - timedelta(days=40), end_user="once")
    rows.event(ada["key"], NOW)
    scope, wanted = scope_of(ada["team"]), CallFilter(end_user="once")
    first = call_search.search(scope, None, wanted, 50, most_s=0)
    assert (first.calls, first.looked_back_to) == ([], NOW - timedelta(hours=1))
    looked_back_to = [first.looked_back_to]
    found = first
    while not found.calls:
        found = call_search.search(scope, None, wanted, 50, found.older_than, most_s=0)
        looked_back_to.append(found.looked_back_to)
    assert [call.request_id for call in found.calls] == [rare]
    # An hour, then a day, a week, a month and a quarter.
    assert len(looked_back_to) == 5


def test_windows_grow_as_long_as_the_database_is_quick(ada) -> None:
    rows.event(ada["key"], NOW - timedelta(days=400), end_user="once")
    rows.event(ada["key"], NOW)
    seconds = iter(range(100))
    slow = call_search.search(
        scope_of(ada["team"]), None, CallFilter(end_user="nobody"), 50, clock_s=lambda: next(seconds), most_s=200
    )
    # Each window takes a second, so that the day after the hour is expected to take 24.
    assert slow.looked_back_to is None
    tight = call_search.search(
        scope_of(ada["team"]), None, CallFilter(end_user="nobody"), 50, clock_s=lambda: next(seconds), most_s=20
    )
    assert tight.looked_back_to == NOW - timedelta(hours=1)


COUNTING = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT count(*) FROM n"


def test_a_query_that_takes_too_long_is_broken_off_and_the_next_one_is_not(ada) -> None:
    with connection.cursor() as cursor:
        with pytest.raises(TookTooLongError), at_most(0.05):
            cursor.execute(COUNTING)
        with at_most(0.05):
            cursor.execute("SELECT 1")
        # Longer than the patience that is over.
        cursor.execute(COUNTING.replace("1000000000", "400000"))
        assert cursor.fetchone() == (400_000,)


def test_a_window_that_takes_too_long_leaves_what_the_ones_before_it_found(ada, monkeypatch) -> None:
    newest = rows.event(ada["key"], NOW, end_user="twice")
    rows.event(ada["key"], NOW - timedelta(hours=5), end_user="twice")
    rows.event(ada["key"], NOW - timedelta(days=400), end_user="once")
    scope, wanted = scope_of(ada["team"]), CallFilter(end_user="twice")
    patience = []

    @contextmanager
    def gone(seconds: float) -> Iterator[None]:
        patience.append(seconds)
        raise TookTooLongError
        yield

    monkeypatch.setattr(call_search, "at_most", gone)
    found = call_search.search(scope, None, wanted, 50, clock_s=lambda: 7.0, most_s=0.06)
    assert [call.request_id for call in found.calls] == [newest]
    assert (found.looked_back_to, patience) == (NOW - timedelta(hours=1), [0.06])


def test_whoever_looks_further_sees_a_shorter_window_where_a_long_one_takes_too_long(ada, monkeypatch) -> None:
    for days in (0, 30, 200):
        rows.event(ada["key"], NOW - timedelta(days=days))
    older_than = call_filter.first_id(NOW - timedelta(days=40))
    patience = []

    @contextmanager
    def slow_at_first(seconds: float) -> Iterator[None]:
        patience.append(seconds)
        if len(patience) < 3:
            raise TookTooLongError
        yield

    monkeypatch.setattr(call_search, "at_most", slow_at_first)
    wanted = CallFilter(end_user="nobody")
    found = call_search.search(scope_of(ada["team"]), None, wanted, 50, older_than, most_s=0)
    # A quarter and a month took too long; the week did not.
    assert found.looked_back_to == NOW - timedelta(days=47)
    assert patience == [call_search.FIRST_MOST_S] * 3


def test_what_went_wrong_is_found_by_an_index_of_its_own(ada) -> None:
    rows.event(ada["key"], NOW)
    asked = call_filter.apply(CallFilter(outcomes=("refused",)), UsageEvent.objects.filter(team=ada["team"]))
    anywhere = call_filter.apply(CallFilter(outcomes=("refused", "interrupted")), UsageEvent.objects.all())
    if connection.vendor == "sqlite":  # PostgreSQL reads a table of one row as it is.
        assert "event_not_ok " in asked.order_by("-id").values("id").explain()
        assert "event_not_ok_anywhere" in anywhere.order_by("-id").values("id").explain()


# The page -----------------------------------------------------------------------------------------------------------


def test_filters_stand_in_the_address_and_each_can_be_taken_away(ada) -> None:
    refused, fine = rows.refusal(ada["key"], NOW), rows.event(ada["key"], NOW, "gpt-4o")
    everything = ada["client"].get(ada["calls"])
    assert set(shown(everything)) == {refused, fine}
    answer = ada["client"].get(ada["calls"], {"outcome": ["refused", "interrupted"], "model": "gpt-4"})
    assert shown(answer) == [refused]
    text = answer.content.decode()
    assert f'href="{ada["calls"]}?model=gpt-4&amp;outcome=interrupted"' in text
    assert f'href="{ada["calls"]}?outcome=refused&amp;outcome=interrupted"' in text
    assert re.search(r'value="refused" checked', text)
    assert f'href="{ada["calls"]}export.csv?model=gpt-4&amp;outcome=refused&amp;outcome=interrupted"' in text


@pytest.mark.parametrize(
    ("query", "finds"),
    [
        ({"since": "2026-11-20T20:00:00", "until": "2026-11-20T20:00:01"}, True),  # Shanghai's noon is eight hours on.
        ({"since": "2026-11-20T12:00:00", "until": "2026-11-20T12:00:01"}, False),
        ({"cost_from": "0.0042", "cost_to": "0.0042"}, True),
        ({"cost_from": "0.004200001"}, False),
        ({"latency_from": "812", "latency_to": "812.345"}, True),
        ({"latency_to": "812"}, False),
        ({"tokens_from": "120", "tokens_to": "120", "ttft_from": "5"}, False),
        ({"tokens_from": "120", "status": "200", "endpoint": "", "streamed": "no"}, True),
        ({"user": "nobody"}, False),
        ({"range": "1h"}, False),
    ],
)
def test_each_filter_of_the_address_means_what_it_says(ada, query, finds) -> None:
    call = rows.event(ada["key"], NOW)
    assert shown(ada["client"].get(ada["calls"], query)) == ([call] if finds else [])


def test_a_call_is_found_by_any_of_its_three_ids(ada) -> None:
    call = rows.event(ada["key"], NOW, client_request_id="order 17", upstream_request_id="chatcmpl-9")
    rows.event(ada["key"], NOW)
    for asked in (
        call,
        call.removeprefix("req_"),
        str(UUID(hex=call.removeprefix("req_"))),
        "order 17",
        " chatcmpl-9 ",
    ):
        assert shown(ada["client"].get(ada["calls"], {"id": asked})) == [call], asked


HOSTILE = [
    "'",
    "\0",
    "-1",
    "9" * 400,
    "<b>",
    "\u202egnp",
    "1e999",
    "NaN",
    "💥",
    "%",
    "0001-01-01",
    "9999-12-31T23:59:59",
    "٣",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_makes_no_sense_is_left_out_and_nothing_breaks(ada, hostile) -> None:
    rows.event(ada["key"], NOW)
    names = [*CallForm(QueryDict(), on_instance=True, sees_members=True).fields, "nonsense"]
    answer = ada["client"].get(ada["calls"], dict.fromkeys(names, hostile))
    assert answer.status_code == 200
    assert "<b>" not in answer.content.decode().replace("<b>1</b>", "")
    assert ada["client"].get(f"{ada['calls']}export.csv", dict.fromkeys(names, hostile)).status_code == 200
    assert ada["client"].get(ada["calls"], {"before": hostile}).status_code == 404
    assert ada["client"].get(f"{ada['calls']}live/", {"newest": hostile}).status_code == 404


def test_an_error_stands_beside_its_field_and_the_other_filters_hold(ada) -> None:
    refused = rows.refusal(ada["key"], NOW)
    rows.event(ada["key"], NOW)
    answer = ada["client"].get(ada["calls"], {"outcome": "refused", "cost_from": "much", "status": "4"})
    assert shown(answer) == [refused]
    text = answer.content.decode()
    assert 'id="id_cost_from_error">Enter a number.' in text
    assert 'id="id_status_error">Ensure this value is greater than or equal to 100.' in text
    assert 'value="much"' in text


def test_pages_go_back_by_id_and_end(ada) -> None:
    entries = [rows.entry(ada["key"], NOW - timedelta(seconds=n)) for n in range(120)]
    ledger.record(entries, rows.PRICES)
    address, seen, pages = ada["calls"], [], 0
    while address:
        text = ada["client"].get(address).content.decode()
        seen += re.findall(r'id="(req_[0-9a-f]{32})"', text)
        found = re.search(r'id="older" rel="next" href="([^"]+)"', text)
        address, pages = found and found[1].replace("&amp;", "&"), pages + 1
    assert seen == [f"req_{entry.id.hex()}" for entry in entries]
    assert pages == 3
    assert "These are all." in text


def test_new_calls_are_announced_on_the_newest_page_without_filters(ada) -> None:
    newest = rows.event(ada["key"], NOW)
    page = ada["client"].get(ada["calls"]).content.decode()
    assert f"calls/live/?newest={newest}" in page
    assert "calls/live/" not in ada["client"].get(ada["calls"], {"outcome": "ok"}).content.decode()
    live = f"{ada['calls']}live/?newest={newest}"
    assert "new call" not in ada["client"].get(live).content.decode()
    for seconds in range(1, 4):
        rows.event(ada["key"], NOW + timedelta(seconds=seconds))
    assert "3 new calls" in ada["client"].get(live).content.decode()


def test_a_member_sees_their_own_calls_and_may_not_ask_for_others(ada) -> None:
    member = person("alan@example.com", ada["team"], Role.MEMBER)
    own_key, _ = rows.key(ada["team"], "alan's", created_by=member)
    own, others = rows.event(own_key, NOW), rows.event(ada["key"], NOW)
    client = signed_in(member)
    text = client.get(ada["calls"]).content.decode()
    assert own in text
    assert others not in text
    assert "Your calls" in text
    assert 'name="member"' not in text
    assert "notebook" not in text
    for query in ({"key": ada["key"].pk}, {"member": ada["owner"].pk, "id": others}, {"id": others}):
        assert shown(client.get(ada["calls"], query)) == []
    exported = b"".join(client.get(f"{ada['calls']}export.csv")).decode()
    assert own in exported
    assert others not in exported
    assert client.get(f"{ada['calls']}{others}/").status_code == 404
    assert client.get(f"{ada['calls']}{others}/receipt.json").status_code == 404
    owner = shown(ada["client"].get(ada["calls"], {"member": member.pk}))
    assert owner == [own]


def test_administrators_filter_the_instance_by_team(ada) -> None:
    grace = rows.team("Grace's team", "Pro")
    theirs = rows.event(rows.key(grace)[0], NOW)
    rows.event(ada["key"], NOW)
    client = signed_in(person("root@example.com", is_staff=True))
    assert len(shown(client.get("/instance/calls/"))) == 2
    assert shown(client.get("/instance/calls/", {"team": grace.pk})) == [theirs]
    assert shown(client.get("/instance/calls/", {"team": "0"})) == []


def test_the_export_holds_what_the_page_shows_and_no_formula(ada) -> None:
    rows.event(ada["key"], NOW, end_user="=1+1", streamed=True)
    rows.event(ada["key"], NOW - timedelta(days=3), end_user="fine")
    answer = ada["client"].get(f"{ada['calls']}export.csv", {"streamed": "yes"})
    lines = list(csv.DictReader(io.StringIO(b"".join(answer).decode())))
    assert [(line["end_user"], line["cost_usd"]) for line in lines] == [("'=1+1", "0.0042")]
    assert answer["Content-Disposition"].startswith('attachment; filename="calls-team-')


def test_a_page_asks_a_fixed_number_of_questions(ada, django_assert_num_queries) -> None:
    rows.event(ada["key"], timezone.now())
    ada["client"].get(ada["calls"])
    # Session, user, standing, teams; keys, models, members of the menus; the calls.
    with django_assert_num_queries(8):
        ada["client"].get(ada["calls"])
    # And where to begin, where to end, and one window: all there is is in the first.
    with django_assert_num_queries(10):
        ada["client"].get(ada["calls"], {"outcome": "refused"})
    with django_assert_num_queries(5):
        ada["client"].get(f"{ada['calls']}live/?newest=req_{UUID(int=1).hex}")


# The receipt --------------------------------------------------------------------------------------------------------


def test_a_receipt_multiplies_tokens_by_their_price(ada) -> None:
    from usage.models import Price, PriceVersion

    version = PriceVersion.objects.create(price_book="openai", model="gpt-4", valid_from=rows.EPOCH, source="list")
    for token_class, usd in rows.GPT_4.items():
        Price.objects.create(version=version, token_class=token_class, usd_per_million=Decimal(usd))
    call = rows.event(ada["key"], NOW, sdk_retry_count=2, metadata={"job": "reindex"}, upstream_request_id="theirs")
    UsageEvent.objects.update(price_version=version)
    text = ada["client"].get(f"{ada['calls']}{call}/").content.decode()
    for said in ("$0.0042", "× $30.00", "3,000,000", "retry 2 of the SDK", "job=reindex", "theirs", "half to even"):
        assert said in text, said
    assert f"key={ada['key'].pk}&amp;since=2026-11-20T19%3A59%3A00&amp;until=2026-11-20T20%3A01%3A00" in text
    assert "/instance/prices/" not in text
    root = signed_in(person("root@example.com", is_staff=True))
    assert "prices/history/?book=openai&amp;model=gpt-4" in root.get(f"{ada['calls']}{call}/").content.decode()
    receipt = json.loads(ada["client"].get(f"{ada['calls']}{call}/receipt.json").content)
    assert (receipt["request_id"], receipt["cost_usd"], receipt["price_version"]["source"]) == (call, "0.0042", "list")
    assert [
        (line["token_class"], line["tokens"], line["usd_per_million"], line["cost_usd"]) for line in receipt["lines"]
    ] == [
        ("input", 100, "30", "0.003"),
        ("output", 20, "60", "0.0012"),
    ]


def test_a_receipt_says_why_a_cost_is_unknown_and_what_went_wrong(ada) -> None:
    unpriced = rows.event(ada["key"], NOW, "unpriced")
    text = ada["client"].get(f"{ada['calls']}{unpriced}/").content.decode()
    assert "No price was known for this model" in text
    failed = rows.event(ada["key"], NOW, outcome="upstream_error", status=504, error_code="upstream_timeout")
    text = ada["client"].get(f"{ada['calls']}{failed}/").content.decode()
    assert "The provider did not answer in time." in text


def test_a_refusal_tells_who_filled_the_window_and_names_keys_only_to_who_may_see_them(ada) -> None:
    member = person("alan@example.com", ada["team"], Role.MEMBER)
    own_key, _ = rows.key(ada["team"], "alan's", created_by=member)
    refusal = {
        "scope": "team", "limit_name": "tokens", "limit": 90_000, "used": 89_000, "asked": 4_000, "left": 1_000,
        "retry_after_ms": 2_000, "never_fits": False,
        "filled": [[ada["key"].pk, 60_000], [own_key.pk, 20_000]], "filled_total": 89_000,
    }  # fmt: skip
    call = rows.event(
        own_key, NOW, outcome="refused", status=429, tokens=frames.NO_TOKENS, refusal=refusal, provider=""
    )
    told = ada["client"].get(f"{ada['calls']}{call}/").content.decode()
    for said in ("notebook", "67.4%", "alan&#x27;s", "22.5%", "other keys", "10.1%", "20:00:02.000"):
        assert said in told, said
    seen = signed_in(member).get(f"{ada['calls']}{call}/").content.decode()
    assert "notebook" not in seen
    assert "77.5%" in seen
    assert "filled" not in json.loads(ada["client"].get(f"{ada['calls']}{call}/receipt.json").content)["refusal"]


def test_receipts_have_a_fixed_number_of_questions(ada, django_assert_num_queries) -> None:
    call = rows.event(ada["key"], timezone.now())
    ada["client"].get(f"{ada['calls']}{call}/")
    # Session, user, standing, teams; the call, its prices, its attempts.
    with django_assert_num_queries(7):
        ada["client"].get(f"{ada['calls']}{call}/")
