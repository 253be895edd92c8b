"""OpenAI's Usage and Costs API, asked by OpenAI's own SDK, against sums made by hand and by SQL."""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import openai
import pytest
from django.db import connection
from django.test import Client

from tests import rows
from usage.frames import NO_TOKENS, Tokens

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DAY = datetime(2026, 11, 20, tzinfo=UTC)
USAGE = "/v1/organization/usage/completions"
COSTS = "/v1/organization/costs"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _today(time_machine):
    time_machine.move_to(NOON + timedelta(days=3), tick=True)


def at(moment: datetime) -> int:
    return int(moment.timestamp())


@pytest.fixture
def ask(client: Client):
    """GET with an admin key; the status and the body."""
    _, secret = rows.admin_key()

    def get(path: str, query: object = None, status: int = 200):
        response = client.get(path, query, headers={"authorization": f"Bearer {secret}"})
        assert response.status_code == status, response.content
        return json.loads(response.content, parse_float=Decimal)

    return get


@pytest.fixture
def calls():
    """Ada's two keys and Grace's one, over two days: chat, embeddings, a refusal, an unpriced model."""
    ada, grace = rows.team("Ada's team"), rows.team("Grace's team", "Pro")
    notebook, robot, grace_key = rows.key(ada)[0], rows.key(ada, "robot")[0], rows.key(grace, "site")[0]
    rows.embedding_model()
    rows.event(notebook, NOON)
    rows.event(notebook, NOON + timedelta(minutes=1, seconds=30), tokens=Tokens(7, 0, 0, 0, 3, 0, 0))
    rows.event(robot, NOON, "gpt-4o", tokens=Tokens(100, 40, 8, 5, 20, 6, 4), service_tier="flex")
    rows.event(
        grace_key, NOON + timedelta(days=1), "gpt-4o", tokens=Tokens(1, 0, 0, 0, 1, 0, 0), service_tier="default"
    )
    rows.event(grace_key, NOON, "text-embedding-3-small", endpoint="embeddings", tokens=Tokens(9, 0, 0, 0, 0, 0, 0))
    rows.event(grace_key, NOON, "homemade", tokens=Tokens(50, 0, 0, 0, 50, 0, 0))
    rows.refusal(notebook, NOON)
    return {"ada": ada, "grace": grace, "notebook": notebook, "robot": robot, "site": grace_key}


def test_a_day_without_calls_is_an_empty_bucket(ask):
    page = ask(USAGE, {"start_time": at(DAY), "end_time": at(DAY + timedelta(days=2))})
    assert page == {
        "object": "page",
        "data": [
            {"object": "bucket", "start_time": at(DAY), "end_time": at(DAY) + 86400, "results": []},
            {"object": "bucket", "start_time": at(DAY) + 86400, "end_time": at(DAY) + 2 * 86400, "results": []},
        ],
        "has_more": False,
        "next_page": None,
    }


def test_classes_add_up_to_openais_overlapping_counts(ask, calls):
    query = {"start_time": at(DAY), "end_time": at(DAY) + 86400, "models": "gpt-4o"}
    (result,) = ask(USAGE, query)["data"][0]["results"]
    assert (result["input_tokens"], result["output_tokens"], result["num_model_requests"]) == (153, 30, 1)
    parts = ("input_uncached_tokens", "input_cached_tokens", "input_cache_write_tokens")
    assert [result[name] for name in parts] == [105, 40, 8]
    assert (result["input_audio_tokens"], result["output_audio_tokens"]) == (5, 4)
    assert result["model"] is None
    assert result["project_id"] is None


def test_refused_calls_and_embeddings_are_not_completions(ask, calls):
    query = {"start_time": at(DAY), "end_time": at(DAY) + 86400, "group_by": "model"}
    counts = {r["model"]: r["num_model_requests"] for r in ask(USAGE, query)["data"][0]["results"]}
    assert counts == {"gpt-4": 2, "gpt-4o": 1, "homemade": 1}
    (embedding,) = ask("/v1/organization/usage/embeddings", query)["data"][0]["results"]
    assert (embedding["model"], embedding["input_tokens"], embedding["num_model_requests"]) == (
        "text-embedding-3-small",
        9,
        1,
    )
    assert "output_tokens" not in embedding


@pytest.mark.parametrize(
    "query",
    ["group_by[]=model&group_by[]=project_id", "group_by=model&group_by=project_id", "group_by=model,project_id"],
)
def test_arrays_come_in_three_encodings(ask, calls, query):
    page = ask(f"{USAGE}?start_time={at(DAY)}&limit=1&{query}")
    found = {(r["project_id"], r["model"]): r["input_tokens"] for r in page["data"][0]["results"]}
    ada, grace = calls["ada"].public_id, calls["grace"].public_id
    assert found == {(ada, "gpt-4"): 107, (ada, "gpt-4o"): 153, (grace, "homemade"): 50}


@pytest.mark.parametrize("width", ["1m", "1h", "1d"])
@pytest.mark.parametrize(
    "group_by", ["", "project_id", "api_key_id", "model", "project_id,api_key_id,model,user_id,batch"]
)
def test_every_width_and_grouping_adds_up_to_the_same_sums(ask, calls, width, group_by):
    query = {
        "start_time": at(NOON - timedelta(hours=1)),
        "end_time": at(NOON + timedelta(hours=1)),
        "bucket_width": width,
    }
    page = ask(USAGE, query | {"group_by": group_by, "limit": 1440 if width == "1m" else 24})
    results = [result for bucket in page["data"] for result in bucket["results"]]
    assert sum(r["input_tokens"] for r in results) == 107 + 153 + 50
    assert sum(r["output_tokens"] for r in results) == 23 + 30 + 50
    assert sum(r["num_model_requests"] for r in results) == 4
    assert all(
        r["input_tokens"] == sum(r[f"input_{part}_tokens"] for part in ("uncached", "cached", "cache_write"))
        for r in results
    )
    if "batch" in group_by:
        assert {(r["batch"], r["user_id"]) for r in results} == {(False, None)}


def test_minutes_are_told_apart(ask, calls):
    query = {"start_time": at(NOON), "end_time": at(NOON) + 120, "bucket_width": "1m", "models": "gpt-4"}
    buckets = ask(USAGE, query)["data"]
    assert [(b["start_time"] - at(NOON), b["results"][0]["input_tokens"]) for b in buckets] == [(0, 100), (60, 7)]


def test_filters_narrow(ask, calls):
    def counted(**query: object) -> int:
        page = ask(USAGE, {"start_time": at(DAY), "limit": 1, **query})
        return sum(r["num_model_requests"] for r in page["data"][0]["results"])

    assert counted() == 4
    assert counted(project_ids=calls["ada"].public_id) == 3
    assert counted(api_key_ids=f"{calls['robot'].public_id},{calls['site'].public_id}") == 2
    assert counted(models="gpt-4,gpt-4o", api_key_ids=calls["robot"].public_id) == 1
    assert counted(batch="false") == 4
    assert counted(batch="true") == 0
    assert counted(user_ids="user-1") == 0
    assert counted(project_ids="proj_999999999999999999") == 0


def test_service_tier_is_told_from_quarter_hours(ask, calls):
    for width in ("1d", "1h"):
        query = {"start_time": at(NOON), "end_time": at(NOON) + 3600, "bucket_width": width, "group_by": "service_tier"}
        results = ask(USAGE, query)["data"][0]["results"]
        assert {r["service_tier"]: r["num_model_requests"] for r in results} == {None: 3, "flex": 1}


def test_hours_that_are_no_longer_kept_are_refused_rather_than_zero(ask):
    body = ask(USAGE, {"start_time": at(NOON - timedelta(days=120)), "bucket_width": "1h"}, 400)
    assert body["error"]["param"] == "start_time"
    assert ask(USAGE, {"start_time": at(NOON - timedelta(days=120))})["has_more"]


def test_a_page_takes_the_same_number_of_queries_however_much_is_asked(ask, calls, django_assert_num_queries):
    with django_assert_num_queries(3):  # the key, its last use, the sums
        ask(USAGE, {"start_time": at(DAY), "limit": 1})
    with django_assert_num_queries(2):
        ask(USAGE, {"start_time": at(DAY), "limit": 31, "group_by": "model,project_id,api_key_id"})
    with django_assert_num_queries(2):
        ask(COSTS, {"start_time": at(DAY), "limit": 180, "group_by": "line_item,project_id,api_key_id"})


# Pages --------------------------------------------------------------------------------------------------------------


def test_pages_follow_each_other_without_gap_or_overlap_and_now_stands_still(ask, calls, time_machine):
    query = {"start_time": at(DAY), "limit": 2}
    first = ask(USAGE, query)
    assert first["has_more"]
    time_machine.move_to(NOON + timedelta(days=9))
    second = ask(USAGE, query | {"page": first["next_page"], "limit": 5})
    assert second["next_page"] is None
    starts = [bucket["start_time"] for page in (first, second) for bucket in page["data"]]
    assert starts == [at(DAY) + 86400 * day for day in range(4)]


def test_a_page_that_was_made_up_or_moved_to_another_question_is_refused(ask, calls):
    query = {"start_time": at(DAY), "limit": 1}
    token = ask(USAGE, query)["next_page"]
    for wrong in ("1", "page_", token[:-2], "x" + token, token.replace(":", "."), "page_" + "A" * 300):
        assert ask(USAGE, query | {"page": wrong}, 400)["error"]["param"] == "page"
    assert "another question" in ask(USAGE, query | {"page": token, "models": "gpt-4"}, 400)["error"]["message"]


def test_a_range_in_the_future_has_no_buckets(ask):
    assert ask(USAGE, {"start_time": at(NOON + timedelta(days=30))})["data"] == []


@pytest.mark.parametrize("path", [USAGE, COSTS, "/v1/organization/usage/embeddings"])
@pytest.mark.parametrize(
    ("param", "query"),
    [
        ("start_time", ""),
        ("start_time", "start_time="),
        *(
            ("start_time", f"start_time={value}")
            for value in ("-1", "NaN", "1.5", "1e9", "9223372036854775808", "true", "١", "%00")
        ),
        ("start_time", "start_time=1&start_time=2"),
        ("start_time", "start_time=" + "9" * 4301),
        ("end_time", "start_time=100&end_time=100"),
        ("end_time", "start_time=100&end_time=Infinity"),
        ("group_by", "start_time=1&group_by=colour"),
        ("group_by", "start_time=1&group_by[]=model;drop"),
        ("bucket_width", "start_time=1&bucket_width=1w"),
        ("limit", "start_time=1&limit=0"),
        ("limit", "start_time=1&limit=181"),
        ("limit", "start_time=1&limit=-5"),
        ("project_ids", "start_time=1&project_ids=7"),
        ("project_ids", "start_time=1&project_ids=proj_" + "9" * 30),
        ("api_key_ids", "start_time=1&api_key_ids[]=key_x"),
        ("models", "start_time=1&models=a%00b"),
        ("models", "start_time=1&models=" + ",".join(f"m{n}" for n in range(201))),
        ("batch", "start_time=1&batch=maybe"),
        ("page", "start_time=1&page=page_x"),
    ],
)
def test_what_cannot_be_understood_is_a_400_that_names_its_parameter(ask, path, param, query):
    error = ask(f"{path}?{query}", status=400)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


def test_what_is_not_metered_answers_an_empty_page(ask):
    for family in ("moderations", "images", "audio_speeches", "vector_stores", "web_search_calls"):
        assert ask(f"/v1/organization/usage/{family}", {"start_time": 1})["data"] == []
    assert ask("/v1/organization/usage/telepathy", status=404)["error"]["message"].startswith("Invalid URL (GET ")


# Costs --------------------------------------------------------------------------------------------------------------


def test_costs_are_numbers_that_print_exactly(client, calls):
    """0.1 + 0.2 is not 0.30000000000000004 here: the digits are those of the nano-USD."""
    _, secret = rows.admin_key()
    query = {"start_time": at(DAY), "limit": 1, "group_by": "line_item"}
    text = client.get(COSTS, query, headers={"authorization": f"Bearer {secret}"}).content.decode()
    assert '"value":0.00321' in text
    assert '"value":0.00000018' in text
    assert not re.search(r'"value":"|"value":[0-9.]*e', text, re.IGNORECASE)


def test_line_items_add_up_to_the_total_and_unknown_prices_are_null(ask, calls):
    items = ask(COSTS, {"start_time": at(DAY), "limit": 1, "group_by": "line_item"})["data"][0]["results"]
    found = {item["line_item"]: (item["amount"]["value"], item["quantity"], item["quantity_unit"]) for item in items}
    assert found["gpt-4, input_tokens"] == (Decimal("0.00321"), 107, "tokens")
    assert found["gpt-4, output_tokens"] == (Decimal("0.00138"), 23, "tokens")
    assert found["gpt-4o, input_cached_tokens"] == (Decimal("0.00005"), 40, "tokens")
    assert found["homemade, output_tokens"] == (None, 50, "tokens")
    (total,) = ask(COSTS, {"start_time": at(DAY), "limit": 1})["data"][0]["results"]
    assert total["amount"]["currency"] == "usd"
    assert total["amount"]["value"] == sum(value for value, _, _ in found.values() if value is not None)


def test_costs_group_and_filter(ask, calls):
    query = {"start_time": at(DAY), "limit": 1}
    by_key = ask(COSTS, query | {"group_by": "project_id,api_key_id"})["data"][0]["results"]
    assert {r["api_key_id"] for r in by_key} == {calls[name].public_id for name in ("notebook", "robot", "site")}
    ada = ask(COSTS, query | {"project_ids": calls["ada"].public_id, "group_by": "project_id"})["data"][0]["results"]
    assert [r["project_id"] for r in ada] == [calls["ada"].public_id]
    wanted = {"line_items[]": ["gpt-4, input_tokens", "gpt-4, output_tokens"]}
    (both,) = ask(COSTS, query | wanted)["data"][0]["results"]
    assert (both["amount"]["value"], both["line_item"]) == (Decimal("0.00459"), None)


def test_costs_take_days_only(ask):
    assert ask(COSTS, {"start_time": 1, "bucket_width": "1h"}, 400)["error"]["param"] == "bucket_width"


# OpenAI's SDK -------------------------------------------------------------------------------------------------------


@pytest.fixture
def sdk(live_server):
    _, secret = rows.admin_key()
    with openai.OpenAI(
        api_key="unused", admin_api_key=secret, base_url=f"{live_server.url}/v1", max_retries=0
    ) as client:
        yield client


@pytest.mark.django_db(transaction=True)
def test_the_official_sdk_reads_what_sql_sums(sdk, calls):
    usage = sdk.admin.organization.usage.completions(
        start_time=at(DAY),
        end_time=at(DAY + timedelta(days=2)),
        bucket_width="1h",
        group_by=["model", "api_key_id"],
        limit=48,
    )
    results = [result for bucket in usage.data for result in bucket.results]
    costs = sdk.admin.organization.usage.costs(start_time=at(DAY), limit=2, group_by=["line_item", "project_id"])
    spent = [result.amount.value for bucket in costs.data for result in bucket.results]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT SUM(input_tokens + cached_tokens + cache_write_tokens + audio_input_tokens), COUNT(*) "
            "FROM usage_usageevent WHERE outcome <> 'refused' AND served_model NOT LIKE '%%embedding%%'"
        )
        tokens, count = cursor.fetchone()
        cursor.execute("SELECT SUM(cost_nano_usd) FROM usage_usageevent")
        nano_usd = cursor.fetchone()[0]
    assert (sum(r.input_tokens for r in results), sum(r.num_model_requests for r in results)) == (tokens, count)
    assert {type(r).__name__ for r in results} == {"DataResultOrganizationUsageCompletionsResult"}
    assert sum(round(value * 10**9) for value in spent if value is not None) == nano_usd


@pytest.mark.django_db(transaction=True)
def test_the_official_sdk_walks_the_pages(sdk, calls):
    query = {"start_time": at(DAY), "end_time": at(DAY + timedelta(days=5)), "limit": 2}
    page, starts = sdk.admin.organization.usage.completions(**query), []
    while True:
        starts += [bucket.start_time for bucket in page.data]
        if not page.has_more:
            break
        page = sdk.admin.organization.usage.completions(**query, page=page.next_page)
    assert starts == [at(DAY) + 86400 * day for day in range(5)]


@pytest.mark.django_db(transaction=True)
def test_the_official_sdk_raises_its_own_errors(sdk, live_server, calls):
    with pytest.raises(openai.BadRequestError) as bad:
        sdk.admin.organization.usage.costs(start_time=-1)
    assert bad.value.param == "start_time"
    _, ordinary = rows.key(calls["ada"])
    with pytest.raises(openai.PermissionDeniedError, match=re.escape("Missing scopes: api.usage.read")):
        sdk.with_options(admin_api_key=ordinary).admin.organization.usage.costs(start_time=1)
    with pytest.raises(openai.AuthenticationError) as wrong:
        sdk.with_options(admin_api_key="sk-admin-nobody").admin.organization.usage.costs(start_time=1)
    assert wrong.value.code == "invalid_api_key"
    assert re.fullmatch("req_[0-9a-f]{32}", wrong.value.request_id)


def test_an_unknown_count_is_not_a_wrong_sum(ask):
    ada_key, _ = rows.key(rows.team())
    rows.event(ada_key, NOON, tokens=NO_TOKENS, outcome="interrupted", status=None, origin="none")
    (result,) = ask(USAGE, {"start_time": at(DAY), "limit": 1})["data"][0]["results"]
    assert (result["input_tokens"], result["num_model_requests"]) == (0, 1)
    (cost,) = ask(COSTS, {"start_time": at(DAY), "limit": 1})["data"][0]["results"]
    assert cost["amount"]["value"] is None
