"""The headroom page: gauges, the last hour, keys, refusals; and the teams of the instance."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.utils import timezone

from accounts.models import Membership
from tests import rows
from tests.people import forget_static_files, person, signed_in
from usage import frames, headroom, ledger
from usage.dashboard.headroom import lines
from usage.dashboard.headroom.lines import Layer
from usage.proxy import limits
from usage.reports import minutes, refused
from usage.reports.span import scope_of

Role = Membership.Role
NOW = datetime(2026, 11, 20, 12, 30, 20, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _plain_static_files(settings):
    forget_static_files(settings)


@pytest.fixture
def limiter():
    """The gateway's own, with a clock that stands still."""
    made = limits.Limiter(lambda: 10**15)
    headroom.register(made, NOW - timedelta(minutes=20))
    yield made
    headroom.register(None)


@pytest.fixture
def ada(db):
    team = rows.team("Ada's team")
    owner = person("ada@example.com", team)
    key, _ = rows.key(team, created_by=owner, tokens_per_minute=10_000)
    with time_machine.travel(NOW, tick=False):
        yield {"team": team, "owner": owner, "key": key, "client": signed_in(owner), "page": f"/t/{team.pk}/headroom/"}


def text_of(answer) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def refuse(key, at, **refusal):
    told = {"scope": "team", "limit_name": "tokens", "limit": 90_000, "used": 89_000, "asked": 4_000, "left": 1_000}
    told |= {"retry_after_ms": 2_000, "never_fits": False, **refusal}
    entry = rows.entry(key, at, outcome="refused", status=429, tokens=frames.NO_TOKENS, refusal=told, provider="")
    entry.latency_us = 400
    ledger.record([entry], rows.PRICES)
    return f"req_{entry.id.hex()}"


# Gauges -------------------------------------------------------------------------------------------------------------


def test_gauges_show_what_the_limiter_holds_and_say_when_it_refuses(ada, limiter) -> None:
    team_scope = limiter.scope("team", ada["team"].pk, 60, 90_000, 10)
    key_scope = limiter.scope("key", ada["key"].pk, None, 10_000, None, of_team=ada["team"].pk)
    limiter.reserve((team_scope, key_scope), 8_000, 10**15)
    limiter.reserve((team_scope, key_scope), 1_500, 10**15)
    told = text_of(ada["client"].get(ada["page"]))
    for said in (
        "9,500 of 90,000 · 80,500 left",
        "9,500 of it reserved by calls in flight",
        "2 of 10 · 8 left",
        "3.3%",
    ):
        assert said in told, said
    # The key's own limit is nearly used up.
    assert "0 + 9,500 of 10,000 95%" in told
    page = ada["client"].get(ada["page"]).content.decode()
    assert re.search(r'<td class="limit red">.*?10,000', page, re.DOTALL)


def test_without_a_limiter_in_this_process_what_is_used_is_unknown_and_not_zero(ada) -> None:
    told = text_of(ada["client"].get(ada["page"]))
    assert "what is used right now is not known here" in told
    assert "of 90,000" in told
    assert "90,000 left" not in told


def test_a_tier_without_limits_says_so_and_shows_the_pace(limiter, db) -> None:
    team = rows.team("Grace's team", "Enterprise")
    team.tier.requests_per_minute = team.tier.tokens_per_minute = team.tier.concurrent_requests = None
    team.tier.save()
    scope = limiter.scope("team", team.pk, None, None, None)
    limiter.reserve((scope,), 700, 10**15)
    told = text_of(signed_in(person("grace@example.com", team)).get(f"/t/{team.pk}/headroom/"))
    assert "This tier sets no limit" in told
    assert "Requests per minute Never refused: this tier sets no limit 1 no limit" in told


def test_each_second_only_what_moves_is_sent(ada, limiter) -> None:
    rows.event(ada["key"], NOW)
    page = ada["client"].get(ada["page"]).content.decode()
    live = re.search(r'hx-get="([^"]*/headroom/live/[^"]*)"', page)[1].replace("&amp;", "&")
    calm = ada["client"].get(live).content.decode()
    assert 'id="gauge-tokens" hx-swap-oob="true"' in calm
    assert 'id="key-rows" hx-swap-oob="true"' in calm
    assert 'id="chart-tokens"' not in calm
    refuse(ada["key"], NOW)
    changed = ada["client"].get(live).content.decode()
    assert 'id="chart-tokens"' in changed
    assert 'id="refusals"' in changed


# The last hour ------------------------------------------------------------------------------------------------------


def test_a_minute_without_calls_is_zero_while_the_gateway_ran_and_unknown_before(ada, limiter) -> None:
    other = rows.key(rows.team("Grace's team", "Pro"))[0]
    rows.event(ada["key"], NOW - timedelta(minutes=3), latency_us=30_000_000)
    rows.event(other, NOW - timedelta(minutes=40))
    refuse(ada["key"], NOW)
    found = list(csv.DictReader(io.StringIO(ada["client"].get(f"{ada['page']}minutes.csv").content.decode())))
    assert len(found) == 60
    assert found[-1] == {
        "start": "2026-11-20T12:30+00:00",
        "requests": "0",
        "tokens": "0",
        "concurrent": "0.000",
        "refused": "1",
    }
    assert found[-4] | {"start": ""} == {
        "start": "",
        "requests": "1",
        "tokens": "120",
        "concurrent": "0.500",
        "refused": "0",
    }
    # Before this gateway began nobody knows, but for the minute in which another team called.
    known = [line["requests"] != "" for line in found]
    assert known == [*[False] * 19, True, *[False] * 19, *[True] * 21]


def test_the_drawing_steps_leaves_gaps_and_stacks_the_keys() -> None:
    starts = [NOW + timedelta(minutes=n) for n in range(4)]
    layers = [Layer("k1", "notebook", [1, 2, 0, 4]), Layer("ko", "other keys", [1, 0, 0, 1])]
    drawn = lines.draw(layers, [True, True, False, True], 10, {1: 3}, starts, ZoneInfo("Asia/Shanghai"))
    assert drawn.limit_y == "10.71%"
    assert drawn.top == pytest.approx(11.2)
    assert drawn.areas[0].path == "M0 100.00V91.07H1V82.14H2V100.00H1V100.00H0Z"
    assert drawn.running[1].path == "M3 64.29V55.36H4V64.29Z"
    assert drawn.line == "M0 82.14V82.14H1V82.14H2"
    assert [tick.label for tick in drawn.y_ticks] == ["0", "5", "10"]
    assert drawn.marks == [("37.50%", 3)]


def test_the_largest_team_and_an_idle_one_are_drawn_too() -> None:
    for highest in (0.0, 0.02, 1e12):
        drawn = lines.draw([Layer("k1", "", [highest] * 60)], [True] * 60, None, {}, [NOW] * 60, ZoneInfo("UTC"))
        assert 1 <= len(drawn.y_ticks) <= 5
        assert drawn.limit_y == ""


def test_keys_are_named_to_who_may_see_them_and_a_members_own_stand_first(ada) -> None:
    member = person("alan@example.com", ada["team"], Role.MEMBER)
    own_key, _ = rows.key(ada["team"], "alan's", created_by=member)
    for key in (ada["key"], own_key):
        rows.event(key, NOW)
        refuse(key, NOW)
    page = signed_in(member).get(ada["page"]).content.decode()
    assert "notebook" not in page
    assert "other keys" in page
    assert page.index("Your keys") < page.index("Last 60 minutes")
    assert "Refusals of your keys" in page
    viewer = signed_in(person("viewer@example.com", ada["team"], Role.VIEWER)).get(ada["page"]).content.decode()
    for hidden in ("notebook", "alan", "By key", "Recent refusals", "req_"):
        assert hidden not in viewer, hidden
    assert "Last 60 minutes" in viewer


def test_of_five_hundred_keys_the_busy_ones_are_shown_and_the_others_found_by_name(ada) -> None:
    from accounts.models import ApiKey

    ApiKey.objects.bulk_create(
        ApiKey(team=ada["team"], name=f"worker {n}", requests_per_minute=5 if n < 40 else None) for n in range(500)
    )
    busy = ApiKey.objects.get(name="worker 400")
    rows.event(busy, NOW)
    page = ada["client"].get(ada["page"]).content.decode()
    names = re.findall(r'<a class="name"[^>]*><bdi[^>]*>([^<]+)<', page)
    assert names[0] == "worker 400"
    assert len(names) == 25
    assert "17 more keys" in page
    assert "worker 499" not in page
    assert "worker 499" in ada["client"].get(ada["page"], {"find": "R 499"}).content.decode()
    assert "No key of that name." in ada["client"].get(ada["page"], {"find": "nobody's"}).content.decode()


@pytest.mark.parametrize("hostile", ["'", "\0", "<script>", "%", "9" * 500, "req_", "\u202e"])
def test_hostile_addresses_break_nothing(ada, hostile) -> None:
    for query in ({"find": hostile}, {"before": hostile}, {"seen": hostile}):
        for address in ("", "live/", "minutes.csv"):
            answer = ada["client"].get(ada["page"] + address, query)
            assert answer.status_code == 200
            assert "<script>" not in answer.content.decode()


# Refusals -----------------------------------------------------------------------------------------------------------


def test_refusals_of_one_key_in_one_second_are_one_row_that_opens(ada) -> None:
    second = NOW.replace(microsecond=0)
    ids = [refuse(ada["key"], second + timedelta(milliseconds=n)) for n in range(17)]
    other = refuse(ada["key"], second - timedelta(seconds=1), limit_name="requests", asked=1, left=0)
    page = ada["client"].get(ada["page"])
    told = text_of(page)
    assert "17 times" in told
    assert "Team, tokens/min 4,000 1,000 +2.00 s · 12:30:22" in told
    assert all(f"/calls/{id_}/" in page.content.decode() for id_ in [*ids, other])


def test_pages_of_refusals_give_each_once_and_end(ada) -> None:
    keys = [rows.key(ada["team"], f"key {n}")[0] for n in range(3)]
    entries = []
    for n in range(150):
        at = NOW - timedelta(milliseconds=400 * n)
        told = {"scope": "team", "limit_name": "tokens", "asked": 1, "left": 0, "retry_after_ms": 5}
        entries.append(
            rows.entry(keys[n % 3], at, outcome="refused", status=429, tokens=frames.NO_TOKENS, refusal=told)
        )
    ledger.record(entries, rows.PRICES)
    scope, seen, older_than, pages = scope_of(ada["team"]), [], None, 0
    while pages == 0 or older_than is not None:
        page = refused.page(scope, None, NOW, older_than)
        seen += [call.id.bytes for group in page.groups for call in group.calls]
        older_than, pages = page.older_than, pages + 1
    assert sorted(seen) == sorted(entry.id for entry in entries)
    assert len(seen) == 150
    assert pages > 5


def test_what_was_refused_a_day_ago_is_no_longer_recent(ada) -> None:
    old = refuse(ada["key"], NOW - timedelta(hours=25))
    page = ada["client"].get(ada["page"]).content.decode()
    assert old not in page
    assert "Nothing was refused in the last 24 hours." in page


def test_the_limiter_knows_which_keys_filled_the_window() -> None:
    limiter = limits.Limiter(lambda: 0)
    team = limiter.scope("team", 1, 60, 1_000, 10)
    keys = [limiter.scope("key", n, None, None, None, of_team=1) for n in (7, 8, 9, 10)]
    for key, tokens in zip(keys, (100, 500, 200, 50), strict=True):
        limiter.reserve((team, key), tokens, 0).settle(tokens, 0)
    held = limiter.reserve((team, keys[0]), 140, 0)
    with pytest.raises(limits.NoHeadroom) as refusal:
        limiter.reserve((team, keys[0]), 600, 0)
    assert refusal.value.filled == (((8, 500), (7, 240), (9, 200)), 990)
    held.settle(0, 0)
    with pytest.raises(limits.NoHeadroom) as again:
        limiter.reserve((team, keys[0]), 600, 500_000_000)
    assert again.value.filled is refusal.value.filled, "looked up once a second"
    with pytest.raises(limits.NoHeadroom) as later:
        limiter.reserve((team, keys[0]), 1_000, 1_000_000_000)
    assert later.value.filled == (((8, 500), (9, 200), (7, 100)), 850)


# Advice and the instance --------------------------------------------------------------------------------------------


def test_advice_is_given_only_where_todays_answers_are_far_below_what_is_held(ada) -> None:
    ledger.record([rows.entry(ada["key"], NOW - timedelta(seconds=n)) for n in range(19)], rows.PRICES)
    assert "Held and used" not in text_of(ada["client"].get(ada["page"]))
    rows.event(ada["key"], NOW)
    assert "holds 4,096 tokens for its answer while it runs. Today's answers used 20 on average" in text_of(
        ada["client"].get(ada["page"])
    ).replace("&#x27;", "'")
    ada["team"].reserve_output_tokens = 70
    ada["team"].save()
    assert "Held and used" not in text_of(ada["client"].get(ada["page"]))


def test_the_instance_lists_the_teams_nearest_to_a_limit_first(ada, limiter) -> None:
    near, idle = rows.team("Grace's team", "Pro"), rows.team("Zoe's team")
    scope = limiter.scope("team", near.pk, 300, 450_000, 40)
    limiter.reserve((scope,), 400_000, 10**15)
    limiter.scope("team", idle.pk, 60, 90_000, 10)
    rows.event(ada["key"], NOW)
    client = signed_in(person("root@example.com", is_staff=True))
    for address in ("/instance/headroom/", "/instance/headroom/live/"):
        page = client.get(address).content.decode()
        names = re.findall(r'<a class="name"[^>]*><bdi[^>]*>([^<]+)<', page)
        assert [name.replace("&#x27;", "'") for name in names] == ["Grace's team", "Ada's team", "Zoe's team"]
    assert "Ada" not in text_of(client.get("/instance/headroom/", {"find": "grace"})).partition("Last 60 minutes")[2]


def test_pages_ask_a_fixed_number_of_questions(ada, limiter, django_assert_num_queries) -> None:
    refuse(ada["key"], NOW, filled=[[ada["key"].pk, 100]], filled_total=100)
    page = ada["client"].get(ada["page"]).content.decode()
    live = re.search(r'hx-get="([^"]*/headroom/live/[^"]*)"', page)[1].replace("&amp;", "&")
    # Session, user, standing, teams; minutes, known minutes, names, marks, refusals, names in them, sum, pulse, keys,
    # advice.
    with django_assert_num_queries(14):
        ada["client"].get(ada["page"])
    # Session, user, standing, teams; pulse, minutes, known minutes, keys.
    with django_assert_num_queries(8):
        ada["client"].get(live)
    client = signed_in(person("root@example.com", is_staff=True))
    client.get("/instance/headroom/")
    # Session, user, teams of the switch; teams, their hour.
    with django_assert_num_queries(5):
        client.get("/instance/headroom/live/")


def test_the_minutes_of_a_key_add_up_to_the_teams(ada) -> None:
    keys = [rows.key(ada["team"], f"key {n}")[0] for n in range(6)]
    entries = [rows.entry(keys[n % 6], NOW - timedelta(seconds=31 * n), latency_us=n * 10_000) for n in range(90)]
    ledger.record(entries, rows.PRICES)
    found = minutes.last_hour(scope_of(ada["team"]), NOW, None)
    for name in ("calls", "tokens", "busy_us", "refused"):
        assert getattr(found.total, name) == [
            sum(column) for column in zip(*(getattr(use, name) for use in found.keys), strict=True)
        ]
    assert found.total.call_sum == 90
    assert UUID(bytes=entries[0].id).version == 7
    assert timezone.now() == NOW
