"""The running gateway before a provider that misbehaves: the caller is told the truth, and so is the ledger."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateways import HI, Answer, Gateway, eventually, gateway_in
from tests.misbehaving import SECRET, USAGE

CANARY = "canary-7f3a-prompt-canary"
RATE_HEADERS = {f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway_in(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def recorded(gateway: Gateway, answer: Answer, **expected: Any) -> dict[str, Any]:
    event = gateway.event(answer.id)
    assert {name: event[name] for name in expected} == expected
    return event


# Well ---------------------------------------------------------------------------------------------------------------


def test_a_whole_answer_goes_through_and_is_recorded(gateway: Gateway) -> None:
    answer = gateway.chat(
        "well",
        metadata={"job": "7"},
        user="ada",
        headers={"x_client_request_id": "mine", "x_stainless_retry_count": "2"},
    )
    assert (answer.status, answer.json["usage"], answer.json["model"]) == (200, USAGE, "gpt-4-0613")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["openai-processing-ms"].isdigit()
    assert "set-cookie" not in answer.headers
    event = recorded(
        gateway,
        answer,
        status=200,
        outcome="ok",
        origin="provider",
        input_tokens=9,
        output_tokens=3,
        end_user="ada",
        upstream_request_id="req_upstream",
        client_request_id="mine",
        sdk_retry_count=2,
        upstream_model="gpt-4-0613",
    )
    assert json.loads(event["metadata"]) == {"job": "7"}
    (asked,) = [one for one in gateway.upstream.asked_of("well") if one.body.get("user") == "ada"]
    assert asked.headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("asked", [True, False])
def test_a_stream_goes_through_and_tells_usage_only_when_asked(gateway: Gateway, asked: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if asked else {}
    answer = gateway.chat("well", stream=True, **options)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.events[-1] == "[DONE]"
    assert any("usage" in event for event in answer.events[:-1]) is asked
    event = recorded(
        gateway,
        answer,
        outcome="ok",
        origin="provider",
        input_tokens=9,
        output_tokens=3,
        finish_reason="stop",
        streamed=1,
    )
    assert event["ttft_us"] <= event["latency_us"]


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/chat/completions", "/v1/chat/completions/", "/chat/completions/"]
)
def test_the_path_may_lack_v1_and_have_a_slash(gateway: Gateway, path: str) -> None:
    assert gateway.call(path=path, body={"model": "well", "messages": HI}).status == 200


# Misbehaving ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "status", "error_code"),
    [
        ("unreachable", 502, "upstream_unreachable"),
        ("resets-at-once", 502, "upstream_broke_off"),
        ("truncated", 502, "upstream_broke_off"),
        ("error-in-200", 502, "upstream_garbled"),
        ("html-200", 502, "upstream_garbled"),
        ("html-error", 503, "upstream_503"),
        ("fails", 500, "upstream_500"),
        ("refuses-key", 502, "upstream_401"),
        ("unprocessable", 400, "upstream_422"),
        ("rate-limited", 429, "upstream_429"),
        ("bomb", 502, "upstream_too_large"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_no_failure_looks_like_an_answer(
    gateway: Gateway, model: str, status: int, error_code: str, streamed: bool
) -> None:
    if streamed and model in ("truncated", "error-in-200", "bomb"):
        status, error_code = 502, "upstream_garbled"
    answer = gateway.chat(model, stream=streamed)
    assert answer.status == status
    assert answer.error["message"]
    assert answer.error["code"] is None or isinstance(answer.error["code"], str)
    assert SECRET.encode() not in answer.body
    recorded(
        gateway, answer, status=status, outcome="upstream_error", error_code=error_code, origin="none", cost_nano_usd=0
    )


def test_the_providers_own_limit_and_words_reach_the_caller(gateway: Gateway) -> None:
    limited = gateway.chat("rate-limited")
    assert (limited.headers["retry-after"], limited.error["message"], limited.error["type"]) == (
        "7",
        "slow down",
        "tokens",
    )
    wrong = gateway.chat("unprocessable")
    assert (wrong.error["message"], wrong.error["param"], wrong.error["code"]) == ("seed must be even", "seed", "422")


@pytest.mark.parametrize("model", ["resets-after-two", "stops-short", "error-frame"])
def test_a_stream_that_breaks_ends_in_one_error_frame_and_no_done(gateway: Gateway, model: str) -> None:
    answer = gateway.chat(model, stream=True)
    assert answer.status == 200
    *words, error = answer.events
    assert len(words) >= 1
    assert list(error) == ["error"]
    assert b"[DONE]" not in answer.body
    recorded(gateway, answer, status=200, outcome="upstream_error", origin="counted")


def test_a_stream_that_says_nothing_at_all_is_an_error_before_it_begins(gateway: Gateway) -> None:
    answer = gateway.chat("empty-stream", stream=True)
    assert (answer.status, answer.error["code"]) == (502, "upstream_broke_off")


@pytest.mark.parametrize("model", ["gzipped", "identity"])
def test_an_encoding_that_nobody_asked_for_is_undone(gateway: Gateway, model: str) -> None:
    answer = gateway.chat(model)
    assert (answer.status, answer.json["usage"]) == (200, USAGE)
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(("model", "streamed"), [("negative-usage", False), ("no-usage", False), ("no-usage", True)])
def test_without_a_usable_usage_we_count(gateway: Gateway, model: str, streamed: bool) -> None:
    answer = gateway.chat(model, stream=streamed, stream_options={"include_usage": True} if streamed else None)
    event = recorded(gateway, answer, outcome="ok", origin="counted", input_tokens=8)
    assert event["output_tokens"] in (3, 4)
    if streamed:
        told = answer.events[-2]["usage"]
        assert (told["prompt_tokens"], told["completion_tokens"]) == (event["input_tokens"], event["output_tokens"])


def test_what_a_provider_writes_always_fits_the_record(gateway: Gateway) -> None:
    answer = gateway.chat("odd-texts")
    assert answer.status == 200
    event = gateway.event(answer.id)
    assert len(event["upstream_request_id"]) <= 200
    for column in ("finish_reason", "service_tier", "upstream_model", "upstream_request_id"):
        assert "\0" not in event[column]


# Fallbacks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
def test_a_fallback_answers_and_every_try_is_recorded(gateway: Gateway, streamed: bool) -> None:
    answer = gateway.chat("fails", stream=streamed, fallback_models=["rate-limited", "well"])
    assert answer.status == 200
    recorded(gateway, answer, outcome="ok", requested_model="fails", served_model="well", input_tokens=9)
    tries = gateway.attempts(answer.id)
    assert [(one["model"], one["status"], one["output_tokens"]) for one in tries] == [
        ("fails", 500, 0),
        ("rate-limited", 429, 0),
        ("well", 200, 3),
    ]
    assert len(tries[0]["upstream_request_id"]) <= 200
    assert not any("fallback" in name for asked in gateway.upstream.received for name in asked.body)


@pytest.mark.parametrize(
    ("model", "switch", "status"),
    [
        ("fails", "fallback_on_error", 500),
        ("rate-limited", "fallback_on_rate_limit", 429),
        ("unreachable", "fallback_on_error", 502),
    ],
)
def test_a_fallback_can_be_switched_off(gateway: Gateway, model: str, switch: str, status: int) -> None:
    assert gateway.chat(model, fallback_models=["well"], **{switch: False}).status == status
    assert gateway.chat(model, fallback_models=["well"]).status == 200


def test_the_callers_own_mistake_is_nothing_to_fall_back_from(gateway: Gateway) -> None:
    answer = gateway.chat("unprocessable", fallback_models=["well"])
    assert answer.status == 400
    gateway.event(answer.id)
    assert gateway.attempts(answer.id) == []


# Hang-ups -------------------------------------------------------------------------------------------------------------


def _hang_up(gateway: Gateway, model: str, key: str, after: bytes, **fields: Any) -> None:
    body = json.dumps({"model": model, "messages": HI, **fields}).encode()
    lines = ("host: localhost", f"authorization: Bearer {gateway.keys[key]}", f"content-length: {len(body)}", "", "")
    head = "\r\n".join(["POST /v1/chat/completions HTTP/1.1", *lines])
    with gateway.socket() as peer:
        peer.sendall(head.encode() + body)
        got = b""
        while after not in got:
            got += peer.recv(65_536)
        if not after:
            eventually(lambda: gateway.upstream.asked_of(model))
            # The gateway looks for a hang-up only after a moment.
            time.sleep(0.1)


def test_a_hang_up_in_a_stream_stops_the_provider_and_charges_what_was_delivered(gateway: Gateway) -> None:
    _hang_up(gateway, "endless", "grace", b" two", stream=True)
    (event,) = eventually(lambda: gateway.events_of("endless"))
    assert (event["outcome"], event["origin"], event["status"]) == ("client_abort", "partial", 499)
    assert (event["input_tokens"], event["output_tokens"]) == (8, 2)
    eventually(lambda: "endless" in gateway.upstream.stopped)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_hang_up_before_the_first_byte_charges_the_prompt(gateway: Gateway, streamed: bool) -> None:
    model = "endless-before-first-byte"
    before = len(gateway.events_of(model))
    _hang_up(gateway, model, "grace", b"", stream=streamed)
    event = eventually(lambda: gateway.events_of(model)[before:])[0]
    assert (event["outcome"], event["origin"], event["input_tokens"], event["output_tokens"]) == (
        "client_abort",
        "partial",
        8,
        0,
    )


@pytest.mark.parametrize("streamed", [False, True])
def test_a_team_that_drains_gets_the_exact_usage(gateway: Gateway, streamed: bool) -> None:
    before = len(gateway.events_of("drained"))
    _hang_up(gateway, "drained", "drains", b"", stream=streamed)
    event = eventually(lambda: gateway.events_of("drained")[before:])[0]
    assert (event["outcome"], event["origin"], event["input_tokens"], event["output_tokens"]) == (
        "client_abort",
        "provider",
        9,
        3,
    )


# Limits and debug -----------------------------------------------------------------------------------------------------


def test_the_rate_headers_are_on_every_answer_and_a_refusal_is_a_record(gateway: Gateway) -> None:
    assert gateway.chat("well", key="ada").headers.keys() >= RATE_HEADERS
    assert gateway.chat("well", key="ada", stream=True).headers.keys() >= RATE_HEADERS
    assert gateway.chat("nobody", key="ada").status == 404
    assert gateway.call(body=b"{", key="ada").headers.keys() >= RATE_HEADERS
    refused = next(
        answer
        for answer in (gateway.chat("well", key="narrow", headers={"x_debug": "true"}) for _ in range(5))
        if answer.status == 429
    )
    assert int(refused.headers["retry-after-ms"]) > 0
    assert refused.error["type"] == "requests"
    assert refused.error["debug"]["limit"] == 2
    event = recorded(gateway, refused, status=429, outcome="refused", error_code="rate_limit_exceeded")
    assert json.loads(event["refusal"])["scope"] == "key"
    never = gateway.chat("well", key="ada", n=128, max_tokens=4096)
    assert (never.status, never.headers["x-should-retry"]) == (429, "false")


def test_debug_tells_much_but_no_secret(gateway: Gateway) -> None:
    for model in ("refuses-key", "unreachable", "fails", "error-in-200", "nobody"):
        answer = gateway.chat(model, messages=[{"role": "user", "content": CANARY}], headers={"x_debug": "true"})
        assert answer.error["debug"]["request_id"] == answer.id
        assert SECRET.encode() not in answer.body
        assert CANARY.encode() not in answer.body
        assert "debug" not in gateway.chat(model).error


def test_a_prompt_longer_than_the_context_is_not_sent_on(gateway: Gateway) -> None:
    answer = gateway.chat("slow", messages=[{"role": "user", "content": "word " * 9_000}])
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "context_length_exceeded", "messages")
    assert "maximum context length is 8192 tokens" in answer.error["message"]
    assert gateway.upstream.asked_of("slow") == []


def test_no_prompt_is_written_anywhere(gateway: Gateway) -> None:
    said = [{"role": "user", "content": CANARY}]
    answers = [
        gateway.chat(model, messages=said, stream=streamed)
        for model in ("well", "fails", "stops-short", "html-200")
        for streamed in (False, True)
    ]
    answers.append(gateway.call(body=b'{"messages":"' + CANARY.encode()))
    for answer in answers[:-1]:
        gateway.event(answer.id)
    for path in (gateway.log_path, *gateway.data_dir.rglob("*")):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path


# Keys -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["mallory", "past", "sk-mega-" + "x" * 44, "sk-nobody"])
def test_a_key_that_is_revoked_expired_or_nobodys_is_refused(gateway: Gateway, key: str) -> None:
    answer = gateway.chat(key=key)
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
    assert gateway.keys.get(key, key) not in answer.error["message"]


def test_changes_reach_the_running_gateway_within_two_seconds(gateway: Gateway) -> None:
    fresh = "sk-a-key-of-the-administrators-own-choice"
    gateway.change(f"ApiKey.objects.create_with_secret({fresh!r}, team=Team.objects.get(name='Drains'), name='fresh')")
    assert gateway.chat(key=fresh).status == 200
    gateway.change("""
tier = Tier(name="Small", requests_per_minute=7, tokens_per_minute=90000); tier.save()
team = Team.objects.get(name="Drains"); team.tier = tier; team.save()
""")
    eventually(lambda: gateway.chat(key=fresh).headers.get("x-ratelimit-limit-requests") == "7", patience_s=2)
    gateway.change("ApiKey.objects.get(name='fresh').revoke(timezone.now())")
    eventually(lambda: gateway.call("GET", "/v1/models", key=fresh).status == 401, patience_s=2)


def test_a_model_without_a_price_is_refused_when_an_administrator_wants_no_unknown_costs(gateway: Gateway) -> None:
    assert gateway.chat().status == 200
    gateway.change("InstanceSettings(pk=1, allow_unpriced_models=False).save()")
    try:
        eventually(lambda: gateway.chat().status == 400, patience_s=2)
        refused = gateway.chat().error
        assert (refused["type"], refused["param"], refused["code"]) == (
            "invalid_request_error", "model", "model_unpriced",
        )  # fmt: skip
        assert "`well`" in refused["message"]
    finally:
        gateway.change("InstanceSettings(pk=1).save()")
    eventually(lambda: gateway.chat().status == 200, patience_s=2)
