"""The explorer's page: one address a view, each role sees its own, and chart, table and file tell the same."""

import csv
import html
import io
import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plotly import graph_objects

from accounts.models import Membership
from tests import rows
from tests.people import forget_static_files, person, signed_in
from usage.dashboard.explorer import address
from usage.dashboard.explorer.address import Chart, Days, Preset, Sort, View
from usage.frames import Tokens
from usage.models import SavedView
from usage.reports.explorer.question import OF_MODELS, Compare, Dimension, Grain, Metric

NOW = datetime(2026, 11, 19, 14, 32, tzinfo=UTC)
Role = Membership.Role
# However many keys, models and calls. Why it changed is a part of its own, asked for once the numbers are there.
PAGE_QUERIES, WHY_QUERIES = 15, 7
HOSTILE = ("<script>alert(1)</script>", "'; DROP--\u202e", "%00", "a" * 5000, "9" * 40, "")
CHOICES = ("metric", "group", "then", "grain", "range", "from", "to", "top", "compare", "chart", "why", "sort", "find")


# The address: pure ----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_any_text_is_an_address_and_leads_to_one_that_means_the_same(text: str) -> None:
    view = address.parse(text).view
    again = address.parse(address.build(view))
    assert (again.view, again.ignored) == (view, ())


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
IDS = st.integers(1, 10**17).map(str)
SPANS = st.sampled_from(Preset) | st.builds(
    lambda first, days: Days(first, first + timedelta(days=days)),
    st.dates(date(2020, 1, 1), date(2030, 1, 1)),
    st.integers(0, 1000),
)


@st.composite
def views(draw: st.DrawFn) -> View:
    metric, span = draw(st.sampled_from(Metric)), draw(SPANS)
    group = draw(st.none() | st.sampled_from(Dimension))
    subgroups = [None, *(each for each in Dimension if each is not group)] if group else [None]
    filters = {Dimension.MODEL: draw(st.lists(NAMES, max_size=3)), Dimension.KEY: draw(st.lists(IDS, max_size=3))}
    view = View(
        metric=metric,
        group=group,
        subgroup=draw(st.sampled_from(subgroups)),
        span=span,
        grain=address.fitting_grain(draw(st.sampled_from(Grain)), span, metric),
        top=draw(st.integers(1, 20)),
        cumulative=metric.adds_up and draw(st.booleans()),
        compare=draw(st.sampled_from(Compare)),
        chart=draw(st.sampled_from(Chart)) if metric.adds_up else Chart.BARS,
        why=draw(st.booleans()),
        sort=draw(st.sampled_from(Sort)),
    )
    for dimension, values in filters.items():
        view = view.filtered(dimension, values)
    return view.leaving_out(Dimension.TAG, draw(NAMES))


@settings(max_examples=60, deadline=None)
@given(views())
def test_every_view_has_an_address_that_leads_back_to_it(view: View) -> None:
    assert address.parse(address.build(view)).view == view


def test_the_usual_view_has_the_bare_address_and_defaults_are_left_out() -> None:
    assert address.build(View()) == ""
    assert address.build(address.parse("metric=cost&group=model&then=none&grain=day&range=30d&top=9&why=1").view) == ""
    assert address.build(address.parse("top=3&metric=tokens").view) == "metric=tokens&top=3"


def test_what_an_address_cannot_mean_is_named_and_left_out() -> None:
    asked = address.parse("metric=love&group=key&then=key&from=2026-02-30&to=2026-03-01&top=0&key=zero&model=ok")
    assert asked.view == View(group=Dimension.KEY, filters=((Dimension.MODEL, ("ok",)),))
    assert asked.ignored == ("metric=love", "then=key", "from=2026-02-30", "to=2026-03-01", "key=zero")


def test_who_may_not_see_keys_cannot_ask_for_them() -> None:
    asked = address.parse("group=key&then=tag&member=3&provider=OpenAI", offered=OF_MODELS)
    assert asked.view == View(filters=((Dimension.PROVIDER, ("OpenAI",)),))
    assert asked.ignored == ("group=key", "then=tag", "member=3")


def test_a_span_is_drawn_in_the_grain_that_fits_it_unless_somebody_chose_one() -> None:
    def grain(text: str) -> Grain:
        return address.parse(text).view.grain

    assert [grain(f"range={each}") for each in ("24h", "7d", "90d", "12m")] == ["hour", "day", "day", "month"]
    assert grain("from=2026-01-01&to=2026-06-01") == Grain.WEEK
    assert grain("range=24h&metric=latency_p95") == Grain.DAY
    assert address.parse("range=7d&grain=hour").view.over(Preset.MONTH).grain is Grain.HOUR
    assert address.parse("range=24h").view.over(Preset.MONTH).grain is Grain.DAY


# The page -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def _thursday_afternoon(time_machine, settings, db):
    time_machine.move_to(NOW, tick=False)
    forget_static_files(settings)


@pytest.fixture
def ada(_thursday_afternoon):
    return rows.team("Ada's team", time_zone="Europe/London")


@pytest.fixture
def owner(ada):
    return person("ada@example.com", ada)


@pytest.fixture
def keys(ada, owner):
    """Two of Ada's, with calls this month and the month before."""
    notebook, batch = rows.key(ada, "notebook", created_by=owner, tag="lab")[0], rows.key(ada, "batch")[0]
    rows.event(notebook, NOW)
    rows.event(notebook, NOW - timedelta(days=3), "gpt-4o", tokens=Tokens(1000, 200, 0, 0, 300, 0, 0))
    rows.event(batch, NOW - timedelta(days=3))
    rows.event(batch, NOW - timedelta(days=38), tokens=Tokens(200, 0, 0, 0, 40, 0, 0))
    return notebook, batch


@pytest.fixture
def client(keys, owner):
    return signed_in(owner)


def text_of(page: bytes) -> str:
    """What stands on the page, without the figure's JSON."""
    without = re.sub(r"<script.*?</script>", " ", page.decode(), flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", without)))


def figure_of(page: bytes) -> Any:
    found = re.search(r'<script id="explorer-data" type="application/json">(.*?)</script>', page.decode(), re.DOTALL)
    assert found, text_of(page)
    figure = json.loads(found[1])
    # Raises for what Plotly would not understand.
    graph_objects.Figure(figure)
    return figure


def lines_of(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


def test_the_number_the_chart_and_the_table_tell_the_same(client, ada) -> None:
    page = client.get(f"/t/{ada.pk}/explorer/").content
    seen, figure = text_of(page), figure_of(page)
    assert "Cost, last 30 days $0.0142" in seen  # 2 x 0.0042 + 0.00575
    assert "$0.0084" in seen
    assert [trace["name"] for trace in figure["data"] if not trace["meta"].get("before")] == ["gpt-4", "gpt-4o"]
    assert sum(sum(y for y in trace["y"] if y) for trace in figure["data"][:2]) == pytest.approx(0.01415)
    assert len(figure["layout"]["meta"]["buckets"]) == 30
    assert figure["layout"]["meta"]["buckets"][-1] == "Thu 19 Nov 2026"
    assert figure["layout"]["meta"]["running"] is True


def test_a_bucket_without_calls_is_a_gap_and_not_a_zero(client, ada) -> None:
    trace = figure_of(client.get(f"/t/{ada.pk}/explorer/?metric=error_rate&group=none&compare=none").content)["data"][0]
    assert (trace["y"][-1], trace["y"][-2], trace["connectgaps"]) == (0.0, None, False)


@pytest.mark.parametrize(
    ("query", "types"),
    [
        ("", {"bar", "scatter"}),
        ("?chart=area", {"scatter"}),
        ("?metric=latency_p95", {"scatter"}),
        ("?cumulative=on&grain=week", {"bar", "scatter"}),
        ("?range=7d&grain=hour&compare=none", {"bar"}),
    ],
)
def test_every_kind_of_chart_is_one_that_plotly_knows(client, ada, query, types) -> None:
    drawn = figure_of(client.get(f"/t/{ada.pk}/explorer/{query}").content)
    assert {trace["type"] for trace in drawn["data"]} <= types


def test_the_file_holds_what_is_shown_to_the_nano_dollar(client, ada) -> None:
    answer = client.get(f"/t/{ada.pk}/explorer/table.csv?group=key&then=model&range=7d")
    assert answer["content-disposition"] == 'attachment; filename="cost-key-model-2026-11-13-2026-11-19.csv"'
    lines = [line for line in lines_of(answer) if line["cost_usd"]]
    assert sorted((line["start"][:10], line["key"], line["model"], line["cost_usd"]) for line in lines) == [
        ("2026-11-16", "batch", "gpt-4", "0.004200000"),
        ("2026-11-16", "notebook", "gpt-4o", "0.005750000"),
        ("2026-11-19", "notebook", "gpt-4", "0.004200000"),
    ]


def test_the_file_holds_every_group_where_the_chart_has_other(client, ada, keys) -> None:
    for number in range(25):
        rows.event(keys[0], NOW, f"model-{number:02}", tokens=Tokens(100 + number, 0, 0, 0, 0, 0, 0))
    address_ = f"/t/{ada.pk}/explorer/?metric=tokens&top=3&range=24h&compare=none&grain=day"
    page = client.get(address_).content
    traces = figure_of(page)["data"]
    assert [trace["name"] for trace in traces] == ["model-24", "model-23", "model-22", "other"]
    assert "top 3 of 26; all in the CSV" in text_of(page)
    lines = lines_of(client.get(address_.replace("explorer/?", "explorer/table.csv?")))
    assert len({line["model"] for line in lines}) == 26
    drawn = sum(value or 0 for trace in traces for value in trace["y"])
    assert sum(int(line["tokens"]) for line in lines if line["tokens"]) == drawn


def test_the_file_holds_percentiles_in_milliseconds_and_what_nobody_measured_is_empty(client, ada) -> None:
    answer = client.get(f"/t/{ada.pk}/explorer/table.csv?metric=latency_p95&group=key&range=7d")
    known = [(line["key"], float(line["latency_p95_ms"])) for line in lines_of(answer) if line["latency_p95_ms"]]
    assert {name for name, _ in known} == {"batch", "notebook"}
    assert all(600 < value < 1000 for _, value in known)
    assert len(lines_of(answer)) == 14


def test_a_cell_that_a_spreadsheet_would_run_is_text(client, ada, keys) -> None:
    rows.event(keys[0], NOW, '=HYPERLINK("x")')
    models = {line["model"] for line in lines_of(client.get(f"/t/{ada.pk}/explorer/table.csv?range=7d"))}
    assert '\'=HYPERLINK("x")' in models


def test_percentiles_by_key_and_model_are_explained_and_the_mean_is_offered(client, ada) -> None:
    page = client.get(f"/t/{ada.pk}/explorer/?metric=latency_p95&group=key&then=model").content
    assert "Percentiles are kept by key and by model, not by both at once." in text_of(page)
    mean = re.search(r'href="([^"]*metric=latency_mean[^"]*)"', page.decode())
    assert mean
    assert "Latency, mean, last 30 days 812 ms" in text_of(client.get(html.unescape(mean[1])).content)
    assert client.get(f"/t/{ada.pk}/explorer/table.csv?metric=latency_p95&group=key&then=model").status_code == 409


def test_hours_that_are_not_kept_are_shown_by_day_and_said_so(client, ada) -> None:
    seen = text_of(client.get(f"/t/{ada.pk}/explorer/?grain=hour&range=90d").content)
    assert "Hours are shown for spans of up to 14 days. Shown by day." in seen


def test_calls_without_a_price_are_said_beside_the_total(client, ada, keys) -> None:
    rows.event(keys[0], NOW, "homemade")
    assert "1 call has no price: its cost is not in the total." in text_of(client.get(f"/t/{ada.pk}/explorer/").content)


def test_what_was_counted_and_not_reported_is_hatched_over_the_top_of_its_bar(client, ada, keys) -> None:
    rows.event(keys[0], NOW, origin="counted")
    page = client.get(f"/t/{ada.pk}/explorer/").content
    hatched = next(trace for trace in figure_of(page)["data"] if trace["meta"].get("estimated"))
    assert (hatched["base"][-1], hatched["y"][-1], hatched["y"][-2]) == (0.0042, 0.0042, 0.0)
    assert "22.9% estimated" in text_of(page)
    assert "estimated" not in text_of(client.get(f"/t/{ada.pk}/explorer/?chart=area").content)


def test_a_row_leads_inside_itself_to_the_same_without_others_and_to_the_rest(client, ada, keys) -> None:
    page = client.get(f"/t/{ada.pk}/explorer/").content.decode()
    assert f'href="/t/{ada.pk}/explorer/?group=key&amp;model=gpt-4"' in page
    assert f'href="/t/{ada.pk}/explorer/?model=gpt-4"' in page
    rest = client.get(f"/t/{ada.pk}/explorer/?not-model=gpt-4").content
    assert "Cost, last 30 days $0.00575" in text_of(rest)
    assert "Model not gpt-4" in text_of(rest)


def test_a_chip_names_its_key_and_goes_by_itself(client, ada, keys) -> None:
    notebook, batch = keys
    page = client.get(f"/t/{ada.pk}/explorer/?key={notebook.pk}&key={batch.pk}&model=gpt-4").content
    seen = text_of(page)
    assert "Key notebook" in seen
    assert "Key batch" in seen
    assert f'href="/t/{ada.pk}/explorer/?model=gpt-4&amp;key={batch.pk}"' in page.decode()


def test_the_form_leads_to_the_short_address_without_script_and_tells_it_to_htmx(client, ada) -> None:
    sent = "?metric=tokens&group=model&then=none&grain=day&compare=before&top=9"
    assert client.get(f"/t/{ada.pk}/explorer/{sent}&go=1")["location"] == f"/t/{ada.pk}/explorer/?metric=tokens"
    part = client.get(f"/t/{ada.pk}/explorer/{sent}", headers={"hx-request": "true"})
    assert part["hx-push-url"] == f"/t/{ada.pk}/explorer/?metric=tokens"


def test_why_it_changed_adds_up_in_words(client, ada) -> None:
    seen = text_of(client.get(f"/t/{ada.pk}/explorer/why/").content)
    assert "Before 22 Sep – 21 Oct 2026 $0.0084" in seen or "$0.0084" in seen
    for cause in ("Volume", "Model mix", "Prompt length", "Output length", "Cache rate", "Price"):
        assert cause in seen
    assert "Together +$0.00575" in seen


def test_the_table_by_bucket_holds_the_chart_in_figures(client, ada) -> None:
    seen = text_of(client.get(f"/t/{ada.pk}/explorer/table/?range=7d").content)
    assert "Mon 16 Nov 2026 $0.00995" in seen
    assert "Thu 19 Nov 2026 so far $0.0042" in seen


def test_filter_values_are_searched_and_those_chosen_stay(client, ada, keys) -> None:
    for number in range(120):
        rows.event(rows.key(ada, f"key {number:03}")[0], NOW)
    page = client.get(f"/t/{ada.pk}/explorer/choose/key/?key={keys[0].pk}").content
    assert page.count(b'name="key"') == 100
    assert "and 22 more: search for them" in text_of(page)
    found = client.get(f"/t/{ada.pk}/explorer/choose/key/?key={keys[0].pk}&find=key%20077").content
    assert [name for name in ("notebook", "key 077", "key 078") if name in text_of(found)] == ["notebook", "key 077"]
    assert f'value="{keys[0].pk}" checked' in found.decode()
    assert client.get(f"/t/{ada.pk}/explorer/choose/nonsense/").status_code == 404


def test_an_empty_team_sees_its_first_call_and_an_empty_span_the_way_back(ada, owner) -> None:
    client = signed_in(owner)
    assert "No calls yet" in text_of(client.get(f"/t/{ada.pk}/explorer/").content)
    rows.event(rows.key(ada)[0], NOW)
    seen = text_of(client.get(f"/t/{ada.pk}/explorer/?from=2026-01-01&to=2026-01-05&model=gpt-4").content)
    assert "Nothing in this range" in seen
    assert "Without filters Last 30 days Last 12 months" in seen


def test_a_member_sees_own_keys_by_name_and_a_viewer_none(ada, keys) -> None:
    member = signed_in(person("member@example.com", ada, Role.MEMBER))
    seen = text_of(member.get(f"/t/{ada.pk}/explorer/?group=key").content)
    assert "$0.0142" in seen
    assert "other keys" in seen
    assert "notebook" not in seen
    viewer = signed_in(person("viewer@example.com", ada, Role.VIEWER))
    page = viewer.get(f"/t/{ada.pk}/explorer/?group=key&key={keys[0].pk}").content
    assert f"left out: group=key, key={keys[0].pk}" in text_of(page)
    assert b'value="key"' not in page
    assert "notebook" not in text_of(page) + text_of(viewer.get(f"/t/{ada.pk}/explorer/why/").content)
    assert viewer.get(f"/t/{ada.pk}/explorer/choose/key/").status_code == 404
    assert "notebook" not in viewer.get(f"/t/{ada.pk}/explorer/table.csv?group=key").content.decode()


def test_the_instance_is_divided_by_team(ada, keys) -> None:
    grace = rows.team("Grace's team", "Pro")
    rows.event(rows.key(grace)[0], NOW)
    administrator = signed_in(person("root@example.com", is_staff=True))
    seen = text_of(administrator.get("/instance/explorer/?group=team").content)
    assert "$0.0184" in seen
    assert "Grace's team" in seen
    assert "Teams are compared" not in seen


def test_no_hostile_value_breaks_a_page_or_gets_out_of_its_quotes(client, ada) -> None:
    names = (*CHOICES, *(prefix + dimension for prefix in ("", "not-") for dimension in Dimension))
    for value in HOSTILE:
        query = "&".join(f"{name}={quote(value)}" for name in names)
        for part in ("", "why/", "table/", "table.csv", "choose/key/", "views/new/"):
            answer = client.get(f"/t/{ada.pk}/explorer/{part}?{query}")
            assert answer.status_code == 200, (part, value)
            assert b"<script>alert" not in answer.content


def test_hostile_names_stay_text_also_in_the_figure(client, ada, keys) -> None:
    rows.event(keys[0], NOW, "</script><img src=x>")
    page = client.get(f"/t/{ada.pk}/explorer/").content
    assert b"<img src=x>" not in page
    assert "</script><img src=x>" in [trace["name"] for trace in figure_of(page)["data"]]
    assert b" style=" not in page


def test_the_page_costs_the_same_queries_however_much_there_is(client, ada, keys, django_assert_num_queries) -> None:
    here = f"/t/{ada.pk}/explorer/?group=key&then=model&key={keys[0].pk}&key={keys[1].pk}"
    client.get(here)
    with django_assert_num_queries(PAGE_QUERIES):
        client.get(here)
    with django_assert_num_queries(WHY_QUERIES):
        client.get(here.replace("explorer/?", "explorer/why/?"))
    for number in range(8):
        rows.event(rows.key(ada, f"key {number}")[0], NOW - timedelta(days=number), f"model-{number}")
    client.get(here)
    with django_assert_num_queries(PAGE_QUERIES):
        client.get(here)


# Saved views ----------------------------------------------------------------------------------------------------------


def test_a_view_is_saved_opened_renamed_replaced_and_deleted(client, ada) -> None:
    here = f"/t/{ada.pk}/explorer/"
    client.post(f"{here}views/new/?metric=tokens&group=key&then=none&junk=1", {"name": "Month by key"})
    saved = SavedView.objects.get()
    assert (saved.name, saved.query, saved.is_shared) == ("Month by key", "metric=tokens&group=key", False)
    assert "Month by key" in text_of(client.get(f"{here}?metric=tokens&group=key").content)
    client.post(f"{here}views/{saved.pk}/?metric=requests", {"name": "Requests", "is_shared": "on", "replaces": "on"})
    saved.refresh_from_db()
    assert (saved.name, saved.query, saved.is_shared) == ("Requests", "metric=requests", True)
    assert "Requests" in text_of(client.get(f"{here}views/").content)
    client.post(f"{here}views/{saved.pk}/delete/")
    assert not SavedView.objects.exists()


def test_the_same_form_twice_saves_one_view_and_another_under_its_name_is_an_error(client, ada) -> None:
    for _ in range(2):
        assert client.post(f"/t/{ada.pk}/explorer/views/new/?metric=tokens", {"name": "Mine"}).status_code == 302
    again = client.post(f"/t/{ada.pk}/explorer/views/new/?metric=requests", {"name": "Mine"})
    assert "You have a view of this name." in text_of(again.content)
    assert SavedView.objects.count() == 1
    long = client.post(f"/t/{ada.pk}/explorer/views/new/?metric=requests", {"name": "x" * 201})
    assert "200" in text_of(long.content)
    too_many = "&".join(f"model={'m' * 150}{number}" for number in range(20))
    full = client.post(f"/t/{ada.pk}/explorer/views/new/?{too_many}", {"name": "Too many"})
    assert "too many filters" in text_of(full.content)


def test_a_shared_view_is_seen_by_the_team_and_changed_by_its_maker_alone(client, ada, keys, owner) -> None:
    colleague = person("member@example.com", ada, Role.MEMBER)
    viewer = person("viewer@example.com", ada, Role.VIEWER)
    shared = SavedView.objects.create(team=ada, created_by=colleague, name="Shared", query="group=key", is_shared=True)
    own = SavedView.objects.create(team=ada, created_by=colleague, name="Private")
    here = f"/t/{ada.pk}/explorer/views"
    seen = text_of(signed_in(viewer).get(f"{here}/").content)
    assert "shared by Member" in seen
    assert "Private" not in seen
    assert signed_in(viewer).get(f"{here}/{shared.pk}/").status_code == 404
    assert signed_in(viewer).post(f"{here}/{shared.pk}/delete/").status_code == 404
    assert client.get(f"{here}/{own.pk}/").status_code == 404
    # An administrator of the team clears up.
    assert client.post(f"{here}/{shared.pk}/delete/").status_code == 302
    signed_in(viewer).post(f"{here}/new/", {"name": "A viewer's", "is_shared": "on"})
    assert SavedView.objects.get(created_by=viewer).is_shared is False


def test_a_view_of_the_instance_is_of_no_team(ada, keys) -> None:
    root = person("root@example.com", is_staff=True)
    client = signed_in(root)
    for _ in range(2):
        client.post("/instance/explorer/views/new/?group=team", {"name": "Teams"})
    saved = SavedView.objects.get()
    assert saved.team is None
    assert "Teams" in text_of(client.get("/instance/explorer/views/").content)
    assert client.get(f"/t/{ada.pk}/explorer/views/{saved.pk}/").status_code == 404
    done = client.post(f"/instance/explorer/views/{saved.pk}/delete/", headers={"hx-request": "true"})
    assert (done.status_code, done["hx-redirect"]) == (204, "/instance/explorer/")
