"""The larger run: the official SDKs over the running product, and every number against the provider's own.

The providers are `llmock` and `@copilotkit/aimock`, which nobody here wrote. What the SDKs do is in tests/sdk/.
"""

import json
import subprocess
import warnings
from collections import Counter
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any, NamedTuple

import genai_prices
import pytest

from bench.product import ROOT
from tests.journal import Recorder, Used
from tests.product import Running, SignedIn, eventually, running
from tests.sdk import environments
from tests.upstreams import aimock, has_node, llmock

with warnings.catch_warnings():
    # It reads its tables through a function that Python 3.11 calls deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import bpe_openai

ROUNDS = 16
HUNG_UP = ("gpt-5.1", "gpt-5.2")
BROKEN = ("gpt-5", "gpt-5-mini", "gpt-5.4-nano")
BOTH_TOOLS = [
    {"name": "get_weather", "arguments": {"city": "北京 🌧"}},
    {"name": "get_time", "arguments": {"city": "Zürich"}},
]


def on(model: str, **behavior: Any) -> dict[str, Any]:
    return {**behavior, "match": {"model": model}}


# What llmock does to which model; tests/sdk/python_calls.py knows what to expect of each.
LLMOCK_SCRIPT = [
    {"type": "reply", "tool_calls": BOTH_TOOLS, "match": {"model": "gpt-4.1", "tools": True}},
    on("gpt-4.1-mini", type="fail", status=400),
    on("gpt-4.1-nano", type="fail", status=429, retry_after=3),
    on("o3-mini", type="fail", status=500),
    on("gpt-5-nano", type="fail", status=401),
    *(on(model, type="fail", status=503, retry_after=0.05, times=2) for model in ("o1", "o3", "o4-mini")),
    on("gpt-5", type="stream_fault", kind="truncate", after_chunks=3),
    on("gpt-5-mini", type="stream_fault", kind="disconnect", after_chunks=3),
    on("gpt-5.4-nano", type="stream_fault", kind="malformed", after_chunks=3),
    on("gpt-5.1", type="stream_fault", kind="stall", after_chunks=4, stall_seconds=60),
    on("gpt-5.2", type="delay", seconds=60),
]


class Report(NamedTuple):
    """What one SDK's script says of itself: calls by kind, and the x-request-id of every answer it got."""

    version: str
    calls: Counter[str]
    answers: list[str]
    turned_away: list[str]


@pytest.mark.timeout(180)
def test_a_thousand_mixed_calls_of_the_python_sdks_add_up_to_what_the_provider_says(tmp_path: Path) -> None:
    with (
        llmock(tmp_path / "llmock.log") as provider,
        Recorder(provider.port) as recorder,
        running(tmp_path, recorder.port) as product,
    ):
        provider.script(*LLMOCK_SCRIPT)
        reports = called_by_python_sdks(product)
        events = every_call_is_recorded_once(product, reports)

        assert [report.version.split(".")[0] for report in reports] == ["1", "2", "3"]
        assert len(events) >= 1_000
        said = [used for used in recorder.used() if used.model not in (*HUNG_UP, *BROKEN)]
        assert len(said) >= 800
        the_ledger_says_what_the_provider_said(events, said)
        every_fault_is_an_outcome_of_its_own(events, reports)
        what_was_delivered_before_a_hang_up_is_charged(events, recorder)
        every_cost_is_that_of_genai_prices(events)
        page_and_rest_say_the_same_as_the_ledger(product, events)
        # The provider's own journal: it heard of every call once. Calls whose answer it still holds back are not in it.
        journal = Counter(request["model"] for request in provider.journal()["requests"])
        assert journal == calls_by_model(event for event in events if event["served_model"] != "gpt-5.2")


@pytest.mark.timeout(120)
@pytest.mark.skipif(not has_node(), reason="no Node, or its packages are not installed")
def test_the_calls_of_the_node_sdk_add_up_to_the_providers_own_journal(tmp_path: Path) -> None:
    fixtures = json.loads((ROOT / "tests" / "sdk" / "aimock_fixtures.json").read_text())
    with aimock(tmp_path / "aimock.log", fixtures) as provider, running(tmp_path, provider.port) as product:
        report = finished(started(["node", str(ROOT / "tests" / "sdk" / "node_calls.mjs"), *arguments(product, 20)]))
        events = every_call_is_recorded_once(product, [report])

        assert len(events) >= 200
        journal = [entry for entry in provider.journal() if entry["path"] != "/v1/models"]
        assert len(journal) == len(events)
        said = [used for entry in journal if (used := used_by(entry)) and used.model not in HUNG_UP]
        the_ledger_says_what_the_provider_said(events, said)
        every_cost_is_that_of_genai_prices(events)
        page_and_rest_say_the_same_as_the_ledger(product, events)
        assert outcomes(events)["client_abort"] == report.calls["hang-up"]
        assert outcomes(events)["upstream_error"] == sum(
            report.calls[f"upstream-{status}"] for status in (400, 429, 503)
        )


# The calls ------------------------------------------------------------------------------------------------------------


def called_by_python_sdks(product: Running) -> list[Report]:
    environments.prepare()
    script = str(ROOT / "tests" / "sdk" / "python_calls.py")
    running_ = [
        started([str(environments.python_of(major)), script, *arguments(product, ROUNDS)])
        for major in environments.MAJORS
    ]
    return [finished(process) for process in running_]


def arguments(product: Running, rounds: int) -> list[str]:
    return [product.base_url, product.key, str(rounds)]


def started(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> Report:
    try:
        out, errors = process.communicate(timeout=100)
    finally:
        process.kill()
    assert process.returncode == 0, errors[-6_000:]
    report = json.loads(out)
    return Report(report["version"], Counter(report["calls"]), report["answers"], report["turned_away"])


# What must be true of them --------------------------------------------------------------------------------------------


def every_call_is_recorded_once(product: Running, reports: list[Report]) -> list[dict[str, str]]:
    """Calls whose caller left before the answer have no x-request-id; they are found by the id the caller gave them."""
    made = sum(report.calls.total() for report in reports)
    answered = {request_id for report in reports for request_id in report.answers}
    refused = {request_id for report in reports for request_id in report.turned_away}
    product.recorded(answered)
    events = eventually(lambda: sent_on(product.events(), refused), lambda seen: len(seen) >= made)
    ids = [event["request_id"] for event in events]
    assert len(ids) == len(set(ids))
    assert answered <= set(ids)
    without_answer = [event for event in events if event["request_id"] not in answered]
    assert {event["outcome"] for event in without_answer} <= {"client_abort"}
    assert len(ids) == made
    kinds = Counter(event["client_request_id"].split("-", 2)[2].rpartition("-")[0] for event in events)
    assert kinds == sum((report.calls for report in reports), Counter())
    return events


def sent_on(events: list[dict[str, str]], refused: set[str]) -> list[dict[str, str]]:
    return [event for event in events if event["request_id"] not in refused]


def the_ledger_says_what_the_provider_said(events: list[dict[str, str]], said: list[Used]) -> None:
    """Call by call: the same models with the same tokens, each as often."""
    recorded = Counter(used_of(event) for event in events if event["origin"] == "provider")
    assert recorded == Counter(said)
    assert {event["outcome"] for event in events if event["origin"] == "provider"} == {"ok"}


def every_fault_is_an_outcome_of_its_own(events: list[dict[str, str]], reports: list[Report]) -> None:
    calls = sum((report.calls for report in reports), Counter())
    broken = sum(calls[f"broken-{kind}"] for kind in ("truncate", "disconnect", "malformed"))
    hung_up = calls["hang-up-mid-stream"] + calls["hang-up-early"]
    failed = sum(calls[f"upstream-{status}"] for status in (400, 429, 500, 502)) + 2 * len(reports)
    assert outcomes(events) == {
        "ok": len(events) - broken - hung_up - failed,
        "client_abort": hung_up,
        "upstream_error": broken + failed,
    }
    counted = {"client_abort": "partial", "upstream_error": "counted"}
    for event in events:
        if event["served_model"] in (*HUNG_UP, *BROKEN):
            assert event["origin"] == counted[event["outcome"]], event
            assert int(event["prompt_tokens"]) > 0, event
        elif event["outcome"] == "upstream_error":
            assert (event["origin"], tokens(event), event["cost_nano_usd"] or "0") == ("none", (0, 0), "0"), event


def what_was_delivered_before_a_hang_up_is_charged(events: list[dict[str, str]], recorder: Recorder) -> None:
    """The provider reported no usage for these. Its four chunks are counted with another tokenizer than the gateway's;
    the prompt cannot be compared with anything, because only OpenAI knows what a message's frame costs."""
    encoding = bpe_openai.get_encoding("o200k_base")
    charged = Counter(int(event["completion_tokens"]) for event in events if event["served_model"] == "gpt-5.1")
    assert charged == Counter(len(encoding.encode(text)) for text in recorder.texts("gpt-5.1"))
    assert {event["completion_tokens"] for event in events if event["served_model"] == "gpt-5.2"} == {"0"}


def every_cost_is_that_of_genai_prices(events: list[dict[str, str]]) -> None:
    """To the nano-dollar; rounded once for each class, as the receipt says."""
    for event in events:
        if event["outcome"] != "upstream_error":
            assert int(event["cost_nano_usd"]) == list_price_nano_usd(used_of(event)), event


def page_and_rest_say_the_same_as_the_ledger(product: Running, events: list[dict[str, str]]) -> None:
    by_model: dict[str, Counter[str]] = {}
    for event in events:
        prompt_tokens, completion_tokens = tokens(event)
        sums = by_model.setdefault(event["served_model"], Counter())
        sums.update(input=prompt_tokens, output=completion_tokens, calls=1, cost=int(event["cost_nano_usd"] or 0))

    rest = product.usage_by_model("completions") | product.usage_by_model("embeddings")
    expected = {model: (sums["input"], sums["output"], sums["calls"]) for model, sums in by_model.items()}
    assert {model: tuple(sums.values()) for model, sums in rest.items()} == expected
    total_nano_usd = sum(sums["cost"] for sums in by_model.values())
    assert product.cost_nano_usd() == total_nano_usd

    page = SignedIn(product)
    assert "Overview" in page.get("/")
    overview = page.at
    shown: dict[str, Counter[str]] = {}
    for row in page.csv(f"{overview}models.csv?range=7d"):
        nano_usd = int(Decimal(row["cost_usd"]) * 10**9)
        shown.setdefault(row["model"], Counter()).update(tokens=int(row["tokens"]), cost=nano_usd)
    expected_on_page = {
        model: (sums["input"] + sums["output"], sums["cost"]) for model, sums in by_model.items() if sums["input"]
    }
    assert {
        model: (sums["tokens"], sums["cost"]) for model, sums in shown.items() if sums["tokens"]
    } == expected_on_page
    for metric, total in (
        ("tokens", sum(pair[0] for pair in expected_on_page.values())),
        ("cost", total_nano_usd / 1e9),
    ):
        figure = json.loads(page.get(f"{overview}figure.json?range=7d&metric={metric}"))
        assert sum(sum(bar["y"]) for bar in figure["data"]) == pytest.approx(total, rel=1e-12)


# Small words ----------------------------------------------------------------------------------------------------------


def tokens(event: dict[str, str]) -> tuple[int, int]:
    """An empty cell is unknown; nothing was charged for it."""
    return int(event["prompt_tokens"] or 0), int(event["completion_tokens"] or 0)


def used_of(event: dict[str, str]) -> Used:
    return Used(event["served_model"], *tokens(event))


def used_by(entry: dict[str, Any]) -> Used | None:
    """An entry of aimock's journal holds the fixture it answered with, and that the usage; an embedding has none."""
    fixture = entry["response"]["fixture"]
    if entry["path"] == "/v1/embeddings":
        return Used(entry["body"]["model"], 0, 0)
    usage = fixture["response"].get("usage") if fixture and entry["response"]["status"] == 200 else None
    return Used(entry["body"]["model"], usage["prompt_tokens"], usage.get("completion_tokens", 0)) if usage else None


def outcomes(events: list[dict[str, str]]) -> Counter[str]:
    return Counter(event["outcome"] for event in events)


def calls_by_model(events: Any) -> Counter[str]:
    return Counter(event["served_model"] for event in events)


def list_price_nano_usd(used: Used) -> int:
    usage = genai_prices.Usage(input_tokens=used.prompt_tokens, output_tokens=used.completion_tokens)
    price = genai_prices.calc_price(usage, used.model, provider_id="openai")
    parts = (price.input_price, price.output_price)
    return sum(int((part * 10**9).quantize(Decimal(1), ROUND_HALF_EVEN)) for part in parts)
