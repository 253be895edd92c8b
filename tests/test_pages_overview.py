"""The overview: its numbers are those of the buckets, it costs a fixed number of queries, and it moves by itself."""

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from tests import rows
from tests.people import forget_static_files, person, signed_in
from usage import headroom
from usage.frames import NO_TOKENS, Tokens
from usage.headroom import Gauge

NOW = datetime(2026, 11, 19, 14, 32, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _thursday_afternoon(time_machine, settings):
    time_machine.move_to(NOW, tick=False)
    forget_static_files(settings)


@pytest.fixture
def ada():
    return rows.team("Ada's team", time_zone="Europe/London")


@pytest.fixture
def key(ada):
    return rows.key(ada)[0]


@pytest.fixture
def client(ada):
    return signed_in(person("ada@example.com", ada))


def text_of(html: bytes) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html.decode()))


def test_spend_requests_tokens_and_errors_are_the_sums_of_the_calls(client, ada, key) -> None:
    rows.event(key, NOW - timedelta(minutes=5))
    rows.event(key, NOW - timedelta(hours=1), "gpt-4o", tokens=Tokens(1000, 200, 0, 0, 300, 0, 0))
    rows.event(key, NOW - timedelta(hours=2), status=500, outcome="upstream_error", tokens=NO_TOKENS)
    rows.refusal(key, NOW - timedelta(hours=3))
    rows.event(key, NOW - timedelta(days=10))
    seen = text_of(client.get(f"/t/{ada.pk}/overview/").content)
    assert "Spend today $0.00995" in seen  # 0.0042 + 0.00575
    assert "November $0.0142" in seen
    assert "Requests today 4" in seen
    assert "Tokens today 1,620" in seen
    assert "Error rate 25.0% 1 failed · 1 refused" in seen


def test_today_is_compared_with_the_same_weekday_up_to_the_same_time(client, ada, key) -> None:
    rows.event(key, NOW - timedelta(minutes=5))
    rows.event(key, NOW - timedelta(days=7, hours=1), tokens=Tokens(200, 0, 0, 0, 40, 0, 0))
    rows.event(key, NOW - timedelta(days=7) + timedelta(hours=3))
    seen = text_of(client.get(f"/t/{ada.pk}/overview/").content)
    assert "−50.0% on last Thursday by 14:32" in seen


def test_this_month_is_compared_with_the_month_before_up_to_the_same_day_and_time(client, ada, key) -> None:
    rows.event(key, NOW)
    rows.event(key, datetime(2026, 10, 3, 12, tzinfo=UTC))
    rows.event(key, datetime(2026, 10, 19, 9, tzinfo=UTC))
    rows.event(key, datetime(2026, 10, 19, 20, tzinfo=UTC))
    rows.event(key, datetime(2026, 10, 25, 12, tzinfo=UTC))
    assert "−50.0% on $0.0084 a month ago" in text_of(client.get(f"/t/{ada.pk}/overview/").content)


def test_what_was_not_recorded_is_said_to_be_missing_and_not_zero(client, ada, key) -> None:
    rows.event(key, NOW, "homemade")
    seen = text_of(client.get(f"/t/{ada.pk}/overview/").content)
    assert "Nothing recorded a week ago to compare with" in seen
    assert "1 call without a price" in seen
    assert "unknown: this model has no price" in seen
    assert "unknown: No streamed calls today" in seen


@pytest.mark.parametrize(("span", "bars"), [("24h", 24), ("7d", 7), ("30d", 30), ("90d", 90), ("nonsense", 30)])
def test_the_chart_holds_a_bar_for_each_hour_or_day_of_the_range(client, ada, key, span, bars) -> None:
    rows.event(key, NOW)
    rows.event(key, NOW - timedelta(hours=1), "gpt-4o")
    figure = client.get(f"/t/{ada.pk}/overview/figure.json?range={span}").json()
    assert [trace["name"] for trace in figure["data"]] == ["gpt-4o", "gpt-4"]  # the dearest on top, so drawn last
    assert all(len(trace["x"]) == len(trace["y"]) == bars for trace in figure["data"])
    assert sum(sum(trace["y"]) for trace in figure["data"]) == pytest.approx(0.0042 + 0.00045)
    assert figure["data"][1]["y"][-1] == pytest.approx(0.0042)


def test_the_chart_can_show_tokens(client, ada, key) -> None:
    rows.event(key, NOW)
    figure = client.get(f"/t/{ada.pk}/overview/figure.json?metric=tokens").json()
    assert figure["data"][0]["y"][-1] == 120
    assert figure["layout"]["meta"]["money"] is False


def test_hours_follow_the_teams_clock_when_it_is_half_an_hour_off() -> None:
    team = rows.team("Ada in Delhi", time_zone="Asia/Kolkata")
    rows.event(rows.key(team)[0], NOW)
    figure = signed_in(person("delhi@example.com", team)).get(f"/t/{team.pk}/overview/figure.json?range=24h").json()
    assert figure["data"][0]["x"][-1] == "2026-11-19T20:00:00"


def test_a_call_near_midnight_counts_for_the_teams_own_day() -> None:
    team = rows.team("Ada in Auckland", time_zone="Pacific/Auckland")
    rows.event(
        rows.key(team)[0], datetime(2026, 11, 19, 10, 30, tzinfo=UTC)
    )  # the 19th, 23:30 there; now it is the 20th
    seen = text_of(signed_in(person("kiwi@example.com", team)).get(f"/t/{team.pk}/overview/").content)
    assert "Spend today $0 " in seen
    assert "November $0.0042" in seen


def test_the_csv_holds_every_bar_in_full(client, ada, key) -> None:
    rows.event(key, NOW)
    rows.event(key, NOW, '=HYPERLINK("x")')
    table = list(csv.DictReader(io.StringIO(client.get(f"/t/{ada.pk}/overview/models.csv?range=7d").content.decode())))
    last = [row for row in table if row["start"].startswith("2026-11-19")]
    assert [(row["model"], row["cost_usd"], row["tokens"]) for row in last] == [
        ("gpt-4", "0.004200000", "120"),
        ('\'=HYPERLINK("x")', "0.000000000", "120"),
    ]
    assert len(table) == 14


def test_a_model_keeps_its_colour_when_others_come_and_when_another_is_dearer(client, ada, key) -> None:
    rows.event(key, NOW - timedelta(days=3), "gpt-4o")
    rows.event(key, NOW)
    colours = [trace["meta"]["colour"] for trace in client.get(f"/t/{ada.pk}/overview/figure.json").json()["data"]]
    assert colours == ["m1", "m2"]


def test_more_than_nine_models_are_drawn_as_nine_and_other(client, ada, key) -> None:
    for number in range(12):
        rows.event(key, NOW, f"model-{number:02}", tokens=Tokens(100 + number, 0, 0, 0, 0, 0, 0))
    figure = client.get(f"/t/{ada.pk}/overview/figure.json?metric=tokens").json()
    assert figure["data"][0]["name"] == "other"
    assert (figure["data"][0]["y"][-1], figure["data"][0]["meta"]["colour"]) == (100 + 101 + 102, "mo")
    assert len(figure["data"]) == 10


def test_the_page_costs_the_same_queries_however_much_there_is(client, ada, key, django_assert_num_queries) -> None:
    rows.event(key, NOW)
    # Colours and the sandbox notice are remembered; a new model asks for its colour once.
    client.get(f"/t/{ada.pk}/overview/")
    with django_assert_num_queries(15):
        client.get(f"/t/{ada.pk}/overview/")
    for number in range(8):
        other_key = rows.key(ada, f"key {number}")[0]
        rows.event(other_key, NOW - timedelta(days=number), f"model-{number}")
    client.get(f"/t/{ada.pk}/overview/")
    with django_assert_num_queries(15):
        client.get(f"/t/{ada.pk}/overview/")


def test_an_unchanged_page_costs_little_to_ask_and_gets_its_headroom_only(
    client, ada, key, django_assert_max_num_queries
) -> None:
    rows.event(key, NOW)
    pulse = pulse_of(client.get(f"/t/{ada.pk}/overview/").content)
    with django_assert_max_num_queries(6):
        quiet = client.get(f"/t/{ada.pk}/overview/live/?seen={pulse}")
    assert b'id="headroom"' in quiet.content
    assert b'id="today"' not in quiet.content
    assert "hx-trigger" not in quiet


def test_a_call_that_lands_moves_the_numbers_the_table_and_the_chart(client, ada, key) -> None:
    rows.event(key, NOW)
    pulse = pulse_of(client.get(f"/t/{ada.pk}/overview/").content)
    call = rows.event(key, NOW - timedelta(minutes=20))  # a long call that began before the last one
    answer = client.get(f"/t/{ada.pk}/overview/live/?seen={pulse}")
    assert answer["hx-trigger"] == "usage-changed"
    assert "Spend today $0.0084" in text_of(answer.content)
    assert call in answer.content.decode()
    assert pulse_of(answer.content) != pulse


def test_a_new_team_sees_how_to_make_its_first_call_and_comes_alive_when_it_lands(client, ada, key) -> None:
    empty = client.get(f"/t/{ada.pk}/overview/", headers={"host": "localhost:8123"})
    seen = text_of(empty.content)
    assert "No calls yet" in seen
    assert "http://localhost:8123/v1" in seen
    assert "Spend today" not in seen
    pulse = pulse_of(empty.content)
    quiet = client.get(f"/t/{ada.pk}/overview/live/?seen={pulse}&empty=1")
    assert b"empty=1" in quiet.content
    rows.event(key, NOW)
    alive = client.get(f"/t/{ada.pk}/overview/live/?seen={pulse}&empty=1")
    assert alive["hx-retarget"] == "#main"
    assert "Spend today $0.0042" in text_of(alive.content)


def test_headroom_is_unknown_without_a_limiter_and_exact_with_one(client, ada, key) -> None:
    class Limiter:
        def team_gauges(self, team_id: int) -> list[Gauge]:
            return [Gauge("team", "tokens", 90_000, 72_000, 9_000, 18_000, 48_000, 11.0)]

        def key_gauges(self, key_id: int) -> list[Gauge]:
            return []

    rows.event(key, NOW)
    assert "Unknown here" in text_of(client.get(f"/t/{ada.pk}/overview/").content)
    headroom.register(Limiter())
    try:
        seen = text_of(client.get(f"/t/{ada.pk}/overview/").content)
    finally:
        headroom.register(None)
    assert "80%" in seen
    assert "63,000 + 9,000 of 90,000 18,000 left Refused in about 11 s at this pace" in seen


def test_the_instance_adds_up_its_teams(ada, key) -> None:
    rows.event(key, NOW)
    rows.event(rows.key(rows.team("Grace's team", "Pro"))[0], NOW)
    administrator = signed_in(person("root@example.com", is_staff=True))
    for span in ("24h", "30d"):
        seen = text_of(administrator.get(f"/instance/overview/?range={span}").content)
        assert "Spend today $0.0084" in seen
        assert "Grace&#x27;s team" in seen
    figure = administrator.get("/instance/overview/figure.json?range=24h").json()
    assert figure["data"][0]["y"][-1] == pytest.approx(0.0084)


def test_names_with_markup_and_right_to_left_marks_are_shown_as_text(ada) -> None:
    ada.name = "<script>alert(1)</script>\u202e" + "x" * 170
    ada.save()
    key, _ = rows.key(ada, "<b>\u202ekey</b>")
    rows.event(key, NOW, "<img src=x>")
    html = signed_in(person("owner@example.com", ada)).get(f"/t/{ada.pk}/overview/").content.decode()
    assert "<script>alert" not in html
    assert "<img src=x>" not in html
    assert "<b>\u202ekey" not in html


def test_the_policy_of_the_page_allows_no_inline_script_or_style(client, ada, key) -> None:
    rows.event(key, NOW)
    answer = client.get(f"/t/{ada.pk}/overview/")
    assert "script-src 'self'; " in answer["content-security-policy"] + "; "
    html = answer.content.decode()
    assert " style=" not in html
    assert "<style" not in html
    assert not re.search(r"\son\w+=", html)
    assert not re.search(r"<script(?![^>]*\ssrc=)", html)


def pulse_of(html: bytes) -> str:
    found = re.search(r"seen=([^&\"]+)", html.decode())
    assert found
    return found[1]


def test_the_figure_is_plain_json_without_plotlys_default_template(client, ada, key) -> None:
    rows.event(key, NOW)
    body = client.get(f"/t/{ada.pk}/overview/figure.json").content
    assert len(body) < 4000
    assert "template" not in json.loads(body)["layout"]


def test_the_side_bar_warns_of_the_nearest_limit_from_three_quarters_on() -> None:
    team = rows.team()
    gauges = {"limit": 60, "reserved": 0, "ms_to_full": 0, "s_to_refusal": None}

    class Near:
        used = 44

        def team_gauges(self, team_id: int) -> list[headroom.Gauge]:
            return [headroom.Gauge("team", "requests", used=self.used, remaining=60 - self.used, **gauges)]

        def key_gauges(self, key_id: int) -> list[headroom.Gauge]:
            return []

    client, limiter = signed_in(person("ada@example.com", team)), Near()
    headroom.register(limiter)
    try:
        assert b'class="near"' not in client.get(f"/t/{team.pk}/overview/").content
        limiter.used = 48
        assert b'<span class="near">80%' in client.get(f"/t/{team.pk}/overview/").content
    finally:
        headroom.register(None)
