"""One call of Ada's, from her bearer token to the chart, the export, the REST answers and the receipt.

Grace runs the platform. Ada's team is on Basic. Mallory has a key that Grace revoked. The product really runs, and the
provider behind it is `llmock`, told what to say.
"""

import json
import re
import time
from decimal import Decimal

import openai
import pytest

from tests.product import Running, SignedIn, eventually, found
from tests.upstreams import LLMock

ANSWER = "一次调用,一张账单。🧾 One call, one receipt."
# GPT-4's list price: 30 USD a million tokens in, 60 out.
IN_NANO_USD, OUT_NANO_USD = 30_000, 60_000


@pytest.fixture(scope="module")
def grace(product: Running) -> SignedIn:
    return SignedIn(product)


def client(product: Running, key: str, **options: int) -> openai.OpenAI:
    return openai.OpenAI(base_url=product.base_url, api_key=key, **options)  # type: ignore[arg-type]


def test_one_call_of_adas_becomes_a_bar_a_row_and_a_receipt(
    product: Running, upstream: LLMock, grace: SignedIn
) -> None:
    # Grace makes a team for Ada, and its first key.
    team = grace.make_team("Ada's team", "Basic")
    key = grace.make_key(team, "notebook")
    assert key.startswith("sk-mega-")

    # Ada changes base_url and the key, nothing else, and calls.
    upstream.script({"type": "reply", "text": ANSWER, "times": 1, "match": {"model": "gpt-4"}})
    with client(product, key) as ada:
        raw = ada.chat.completions.with_raw_response.create(
            model="gpt-4",
            messages=[{"role": "user", "content": "What does a call cost? " * 20}],
            metadata={"for": "finance"},
        )
    completion = raw.parse()
    assert completion.choices[0].message.content == ANSWER
    assert completion.usage is not None
    prompt_tokens, completion_tokens = completion.usage.prompt_tokens, completion.usage.completion_tokens
    nano_usd = prompt_tokens * IN_NANO_USD + completion_tokens * OUT_NANO_USD

    # The answer names itself, and says how much of Basic is left.
    request_id = raw.headers["x-request-id"]
    assert raw.headers["x-ratelimit-limit-requests"] == "60"
    assert raw.headers["x-ratelimit-remaining-requests"] == "59"
    assert raw.headers["x-ratelimit-limit-tokens"] == "90000"

    # A second later it is a row that finance can export, ...
    [event] = [event for event in product.recorded({request_id}) if event["request_id"] == request_id]
    assert (event["team"], event["key"], event["outcome"]) == ("Ada's team", "notebook", "ok")
    assert (event["prompt_tokens"], event["completion_tokens"]) == (str(prompt_tokens), str(completion_tokens))
    assert (event["cost_nano_usd"], event["origin"]) == (str(nano_usd), "provider")
    assert json.loads(event["metadata"]) == {"for": "finance"}

    # ... an answer of the Usage and Costs API, which OpenAI's own tools read, ...
    asked = {"start_time": int(time.time()) - 86_400, "project_ids": event["team_id"]}
    usage = only_result(product.rest("/v1/organization/usage/completions", group_by="model", **asked))
    assert (usage["model"], usage["num_model_requests"]) == ("gpt-4", 1)
    assert (usage["input_tokens"], usage["output_tokens"]) == (prompt_tokens, completion_tokens)
    cost = only_result(product.rest("/v1/organization/costs", **asked))
    assert cost["amount"] == {"value": pytest.approx(nano_usd / 1e9, abs=1e-12), "currency": "usd"}

    # ... a bar of the chart and a line of the table beside it, ...
    figure = json.loads(grace.get(f"{team}/overview/figure.json?range=7d&metric=cost"))
    [bar] = figure["data"]
    assert (bar["name"], sum(bar["y"])) == ("gpt-4", pytest.approx(nano_usd / 1e9, abs=1e-12))
    lines = [line for line in grace.csv(f"{team}/overview/models.csv?range=7d") if line["tokens"] != "0"]
    [line] = lines
    assert (line["model"], line["tokens"]) == ("gpt-4", str(prompt_tokens + completion_tokens))
    assert Decimal(line["cost_usd"]) * 10**9 == nano_usd
    overview = grace.get(f"{team}/overview/")
    assert request_id in overview

    # ... and a receipt that shows how the cost was computed.
    receipt = text_of(grace.get(f"{team}/calls/{request_id}/"))
    for part in (request_id, f"${nano_usd / 1e9:.9f}".rstrip("0"), "30.00", "60.00", "notebook", "finance"):
        assert part in receipt
    assert f"{prompt_tokens * IN_NANO_USD:,}" in receipt
    assert f"{completion_tokens * OUT_NANO_USD:,}" in receipt


def test_a_revoked_key_stops_within_two_seconds_and_mallory_learns_nothing(product: Running, grace: SignedIn) -> None:
    team = grace.make_team("Mallory's team", "Basic")
    key = grace.make_key(team, "leaked")
    with client(product, key, max_retries=0) as mallory:
        assert mallory.models.retrieve("gpt-4").id == "gpt-4"
        page = found(r'href="(/t/\d+/keys/\d+/)"', grace.get(f"{team}/keys/"))
        grace.submit(f"{page}revoke/", {})
        revoked_at = time.monotonic()
        assert eventually(lambda: is_refused(mallory), bool, patience_s=5)
        assert time.monotonic() - revoked_at < 2.5  # two seconds, and the last call itself
        with pytest.raises(openai.AuthenticationError) as refused:
            mallory.models.list()
    assert refused.value.code == "invalid_api_key"
    assert key not in str(refused.value)


def test_basic_refuses_the_sixty_first_call_and_the_sdk_waits_as_told(product: Running, grace: SignedIn) -> None:
    """The refusal says how many milliseconds to wait; the SDK waits so long, and the same call then succeeds."""
    key = grace.make_key(grace.make_team("Ada's other team", "Basic"), "burst")
    with client(product, key, max_retries=0) as ada:
        answered, refusal = ask_until_refused(ada)
        assert 60 <= answered < 80  # a slow machine earns a few more in the meantime
        headers = refusal.response.headers
        assert (refusal.code, refusal.type) == ("rate_limit_exceeded", "requests")
        assert headers["x-ratelimit-limit-requests"] == "60"
        assert headers["x-ratelimit-remaining-requests"] == "0"
        wait_s = int(headers["retry-after-ms"]) / 1_000
        assert 0 < wait_s <= 1  # Basic earns a request each second
        assert headers["retry-after"] == "1"

        since = time.monotonic()
        answer = ask(ada.with_options(max_retries=2))
        waited_s = time.monotonic() - since
    assert answer.status_code == 200
    events = {event["request_id"]: event for event in product.recorded({answer.headers["x-request-id"]})}
    retried = events[answer.headers["x-request-id"]]
    assert int(retried["sdk_retry_count"]) <= 1
    assert waited_s < 1 + wait_s + 2
    assert events[headers["x-request-id"]]["outcome"] == "refused"


def ask(client: openai.OpenAI) -> openai._legacy_response.LegacyAPIResponse[openai.types.chat.ChatCompletion]:
    return client.chat.completions.with_raw_response.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "?"}]
    )


def ask_until_refused(client: openai.OpenAI) -> tuple[int, openai.RateLimitError]:
    for answered in range(120):
        try:
            ask(client)
        except openai.RateLimitError as refusal:
            return answered, refusal
    raise AssertionError("120 calls, and none was refused")


def is_refused(client: openai.OpenAI) -> bool:
    try:
        client.models.list()
    except openai.AuthenticationError:
        return True
    return False


def only_result(page: dict[str, list[dict[str, list[dict[str, object]]]]]) -> dict[str, object]:
    [result] = [result for bucket in page["data"] for result in bucket["results"]]
    return result


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
