"""The export of events: every call once, unknown left empty, nothing that a spreadsheet would run."""

import asyncio
import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient, Client

from tests import rows
from usage import ledger
from usage.frames import NO_TOKENS, Tokens
from usage.models import UsageEvent
from usage.reports import events, exact

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
EVENTS = "/api/usage/events"
pytestmark = pytest.mark.django_db


def at(moment: datetime) -> int:
    return int(moment.timestamp())


@pytest.fixture
def export(client: Client):
    _, secret = rows.admin_key()

    def get(query: dict[str, object] | None = None, status: int = 200):
        response = client.get(EVENTS, query, headers={"authorization": f"Bearer {secret}"})
        assert response.status_code == status
        return response

    return get


def table(response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(response.getvalue().decode(), newline="")))


def test_a_call_is_a_row_with_all_that_is_known(export):
    ada = rows.team("Ada's team")
    key, _ = rows.key(ada)
    request_id = rows.event(
        key,
        NOON + timedelta(milliseconds=1),
        "gpt-4o",
        tokens=Tokens(100, 40, 0, 0, 20, 5, 0),
        streamed=True,
        ttft_us=98_700,
        finish_reason="stop",
        metadata={"job": "night, run"},
        end_user="用户",
        sdk_retry_count=1,
    )
    response = export({"format": "csv", "start_time": at(NOON), "end_time": at(NOON) + 1})
    assert response["content-type"] == "text/csv; charset=utf-8"
    assert response["content-disposition"].startswith('attachment; filename="usage-')
    (row,) = table(response)
    assert next(iter(row)) == "request_id"
    assert tuple(row) == events.COLUMNS
    expected = {
        "request_id": request_id,
        "started_at": "2026-11-20T12:00:00.001000Z",
        "team_id": ada.public_id,
        "team": "Ada's team",
        "key_id": key.public_id,
        "key": "notebook",
        "end_user": "用户",
        "endpoint": "chat",
        "requested_model": "gpt-4o",
        "streamed": "true",
        "status": "200",
        "outcome": "ok",
        "origin": "provider",
        "input_tokens": "100",
        "cached_tokens": "40",
        "prompt_tokens": "140",
        "completion_tokens": "25",
        "cost_nano_usd": "550000",
        "cost_usd": "0.00055",
        "price_version": "2",
        "latency_ms": "812.345",
        "ttft_ms": "98.7",
        "sdk_retry_count": "1",
        "finish_reason": "stop",
        "metadata": '{"job":"night, run"}',
    }
    assert {name: row[name] for name in expected} == expected


def test_unknown_is_an_empty_cell_and_zero_is_zero(export):
    key, _ = rows.key(rows.team())
    rows.event(key, NOON, tokens=NO_TOKENS, outcome="interrupted", status=None, latency_us=None, origin="none")
    rows.event(key, NOON + timedelta(seconds=1), "homemade")
    unknown, unpriced = table(export({"format": "csv"}))
    empty = ("status", "input_tokens", "prompt_tokens", "cost_nano_usd", "cost_usd", "latency_ms", "ttft_ms", "key_id")
    assert [unknown[name] for name in empty] == [""] * 7 + [key.public_id]
    assert (unpriced["cached_tokens"], unpriced["cost_nano_usd"], unpriced["cost_usd"]) == ("0", "", "")


def test_start_is_inclusive_and_end_exclusive(export):
    key, _ = rows.key(rows.team())
    ids = [rows.event(key, NOON + timedelta(seconds=seconds)) for seconds in (-1, 0, 59, 60)]
    found = table(export({"format": "csv", "start_time": at(NOON), "end_time": at(NOON) + 60}))
    assert [row["request_id"] for row in found] == ids[1:3]
    assert len(table(export({"format": "csv", "start_time": "", "end_time": ""}))) == 4


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_a_spreadsheet_would_run_is_made_text(export, start):
    formula = f'{start}HYPERLINK("http://evil.example","x")'
    key, _ = rows.key(rows.team(formula), formula)
    rows.event(key, NOON, formula, end_user=formula, finish_reason=formula, metadata={"a": formula})
    (row,) = table(export({"format": "csv"}))
    for name in ("team", "key", "requested_model", "served_model", "upstream_model", "end_user", "finish_reason"):
        assert row[name] == f"'{formula}"
    assert json.loads(row["metadata"]) == {"a": formula}


def test_names_with_line_breaks_quotes_and_right_to_left_marks_stay_in_their_cell(export):
    name = 'a\r\nb","\x1b[31m\u202egnp'
    rows.event(rows.key(rows.team(name), name)[0], NOON)
    (row,) = table(export({"format": "csv"}))
    assert (row["team"], row["key"]) == (name, name)


def test_filters_narrow_and_wrong_ones_are_named(export):
    ada, grace = rows.team("Ada's team"), rows.team("Grace's team", "Pro")
    ada_key, grace_key = rows.key(ada)[0], rows.key(grace)[0]
    first, refused = rows.event(ada_key, NOON), rows.refusal(ada_key, NOON + timedelta(seconds=1))
    other = rows.event(grace_key, NOON + timedelta(seconds=2), "gpt-4o")

    def ids(**query: object) -> list[str]:
        return [row["request_id"] for row in table(export({"format": "csv", **query}))]

    assert ids() == [first, refused, other]
    assert ids(project_ids=ada.public_id) == [first, refused]
    assert ids(api_key_ids=grace_key.public_id) == [other]
    assert ids(models="gpt-4", outcome="ok") == [first]
    assert ids(outcome="ok,refused", after=first) == [refused, other]
    wrong = {"outcome": "fine", "format": "xml", "after": "req_x", "start_time": "-1", "limit": "0", "project_ids": "1"}
    for param, value in wrong.items():
        assert export({param: value}, 400).json()["error"]["param"] == param


def test_chunks_meet_without_gap_or_overlap_and_names_are_asked_for_once(django_assert_num_queries):
    key, _ = rows.key(rows.team())
    entries = [rows.entry(key, NOON + timedelta(milliseconds=n // 3)) for n in range(25)]
    ledger.record(entries, rows.PRICES)
    wanted = events.Wanted(at(NOON), at(NOON) + 60)
    with django_assert_num_queries(5):  # three chunks, the name of the team, the name of the key
        found = [record["request_id"] for chunk in events.chunks(wanted, 10) for record in chunk]
    assert found == sorted(f"req_{entry.id.hex()}" for entry in entries)


def test_events_outlive_their_team_and_key(export):
    team = rows.team()
    rows.event(rows.key(team)[0], NOON)
    team.delete()
    (row,) = table(export({"format": "csv"}))
    assert (row["team_id"], row["team"], row["key"]) == (f"proj_{UsageEvent.objects.get().team_id}", "", "")


def test_ndjson_and_json_pages_tell_the_same(export):
    key, _ = rows.key(rows.team())
    ids = [rows.event(key, NOON + timedelta(seconds=n), metadata={"n": str(n)}) for n in range(5)]
    lines = [json.loads(line) for line in export({"format": "ndjson"}).getvalue().splitlines()]
    assert [line["request_id"] for line in lines] == ids
    assert (lines[0]["streamed"], lines[0]["ttft_ms"], lines[0]["metadata"]) == (False, None, {"n": "0"})
    pages, after = [], None
    while True:
        page = export({"limit": 2, **({"after": after} if after else {})}).json()
        pages += page["data"]
        after = page["last_id"]
        if not page["has_more"]:
            break
    assert pages == lines
    assert export({"after": after}).json() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


@pytest.mark.django_db(transaction=True)
def test_under_asgi_the_export_streams_too():
    key, _ = rows.key(rows.team())
    ledger.record([rows.entry(key, NOON + timedelta(milliseconds=n)) for n in range(10)], rows.PRICES)
    _, secret = rows.admin_key()

    async def read() -> bytes:
        response = await AsyncClient().get(f"{EVENTS}?format=csv", headers={"authorization": f"Bearer {secret}"})
        assert response.is_async
        everything = b"".join([part async for part in response.streaming_content])
        await sync_to_async(connections.close_all)()
        return everything

    assert asyncio.run(read()).count(b"\r\n") == 11


def test_a_head_request_reads_no_events(client, django_assert_num_queries):
    _, secret = rows.admin_key()
    with django_assert_num_queries(2):  # the key and its last use
        response = client.head(EVENTS, {"format": "csv"}, headers={"authorization": f"Bearer {secret}"})
    assert (response.status_code, response["content-type"]) == (200, "text/csv; charset=utf-8")


@pytest.mark.parametrize("nano_usd", [0, 1, -1, 10**9, 123_456_789_012_345_678, 1_500_000_000, -2_000_000_010])
def test_money_is_written_with_every_digit_and_no_more(nano_usd):
    text = exact.usd(nano_usd)
    assert Decimal(text) * 10**9 == nano_usd
    assert "E" not in text
    assert not text.endswith(".")
    assert "." not in text or not text.endswith("0")
