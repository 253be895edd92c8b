"""Mixed calls with whatever version of the official SDK this environment has; run as a script, imports nothing of ours.

`python python_calls.py BASE_URL KEY ROUNDS` checks every answer as a user of the SDK would see it, and prints one JSON
report: which calls were made (by the id each carried in X-Client-Request-Id), and the x-request-id of every answer.
The models that misbehave do so by the script that tests/test_sdks.py gives to the provider.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import openai
from pydantic import BaseModel

MAJOR = int(openai.__version__.split(".")[0])
MODELS = ["gpt-4", "gpt-4-32k", "gpt-4-turbo", "gpt-3.5-turbo", "gpt-4o", "gpt-4o-mini", "gpt-5.4-mini", "gpt-6-sol"]
TEXTS = [
    "How many bytes are in a kibibyte?",
    "请用一句话解释什么是大语言模型,并说明它的费用是怎样计算的。",
    "👩‍👩‍👧‍👦 naïve café — Zürich, 東京, Αθήνα 🚀🧾",
    'Grace asked: "how much did\tit cost?"\nAda said: \\$0.02.',
    "مرحبا، كم تكلفة هذه المكالمة؟",
]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {"name": name, "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
    }
    for name in ("get_weather", "get_time")
]
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
SDK_RETRIED = {1: "o1", 2: "o3", 3: "o4-mini"}
PATIENCE_S = 0.4


class Invoice(BaseModel):
    number: int
    customer: str


class Run:
    def __init__(self, base_url: str, key: str) -> None:
        self.answers: list[str] = []
        self.turned_away: list[str] = []
        self.calls: Counter[str] = Counter()
        self._made = 0
        http = openai.DefaultAsyncHttpxClient(event_hooks={"response": [self._note]}, trust_env=False)
        self.client = openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0, http_client=http)

    async def _note(self, response: Any) -> None:
        self.answers.append(response.headers["x-request-id"])

    def named(self, kind: str) -> dict[str, str]:
        """Each call carries an id of its own, so that one whose answer never came can be found again."""
        self._made += 1
        self.calls[kind] += 1
        return {"X-Client-Request-Id": f"openai-{MAJOR}-{kind}-{self._made}"}

    async def chat(self, kind: str, model: str, text: str, **more: Any) -> Any:
        messages: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
        more = {"messages": messages, **more}
        return await self.client.chat.completions.create(model=model, extra_headers=self.named(kind), **more)


# Calls that go well --------------------------------------------------------------------------------------------------


async def plain(run: Run, model: str, text: str) -> None:
    answer = await run.chat("plain", model, text)
    assert answer.model == model, answer
    assert answer.choices[0].message.content, answer
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


async def streamed(run: Run, model: str, text: str) -> None:
    chunks = [chunk async for chunk in await run.chat("streamed", model, text, stream=True)]
    assert all("usage" not in chunk.model_fields_set for chunk in chunks), "usage was not asked for"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


async def streamed_with_usage(run: Run, model: str, text: str) -> None:
    options = {"include_usage": True}
    stream = await run.chat("streamed-with-usage", model, text, stream=True, stream_options=options)
    *content, last = [chunk async for chunk in stream]
    assert last.choices == []
    assert last.usage.prompt_tokens > 0
    assert all(chunk.usage is None and "usage" in chunk.model_fields_set for chunk in content)
    assert content[-1].choices[0].finish_reason == "stop"


async def parallel_tools(run: Run, _model: str, text: str) -> None:
    answer = await run.chat("tools", "gpt-4.1", text, tools=TOOLS, parallel_tool_calls=True)
    calls = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls"
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    assert json.loads(calls[0].function.arguments) == {"city": "北京 🌧"}


async def parallel_tools_streamed(run: Run, _model: str, text: str) -> None:
    found: dict[int, dict[str, str]] = {}
    async for chunk in await run.chat("tools-streamed", "gpt-4.1", text, tools=TOOLS, stream=True):
        for part in chunk.choices[0].delta.tool_calls or []:
            call = found.setdefault(part.index, {"id": part.id, "name": part.function.name, "arguments": ""})
            call["arguments"] += part.function.arguments or ""
    assert sorted(found) == [0, 1]
    assert [json.loads(call["arguments"])["city"] for call in found.values()] == ["北京 🌧", "Zürich"]
    assert all(call["id"] for call in found.values())


async def several_choices(run: Run, model: str, text: str) -> None:
    answer = await run.chat("n", model, text, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]


async def several_choices_streamed(run: Run, model: str, text: str) -> None:
    finished = set()
    async for chunk in await run.chat("n-streamed", model, text, n=2, stream=True):
        finished |= {choice.index for choice in chunk.choices if choice.finish_reason}
    assert finished == {0, 1}


async def structured(run: Run, _model: str, text: str) -> None:
    answer = await run.client.chat.completions.parse(
        model="gpt-4o",
        messages=[{"role": "user", "content": text}],
        response_format=Invoice,
        extra_headers=run.named("structured"),
    )
    assert isinstance(answer.choices[0].message.parsed, Invoice)


async def image(run: Run, _model: str, text: str) -> None:
    parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}]
    answer = await run.chat("image", "gpt-4o", text, messages=[{"role": "user", "content": parts}])
    assert answer.choices[0].message.content


async def embeddings(run: Run, _model: str, text: str) -> None:
    answer = await run.client.embeddings.create(
        model="text-embedding-3-small", input=[text, "the second"], extra_headers=run.named("embeddings")
    )
    assert [item.index for item in answer.data] == [0, 1]
    assert len(answer.data[0].embedding) == 1536
    assert answer.usage.prompt_tokens > 0


async def agent_loop(run: Run, model: str, text: str) -> None:
    """The tool calls go back with their results, as every agent sends them."""
    call = {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": '{"city":"北京"}'}}
    messages = [
        {"role": "user", "content": text},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "12:00"},
    ]
    answer = await run.chat("agent", model, text, messages=messages, tools=TOOLS)
    assert answer.choices[0].message.content


async def unknown_fields(run: Run, model: str, text: str) -> None:
    answer = await run.chat(
        "unknown-fields",
        model,
        text,
        metadata={"cost_centre": "研发"},
        user="ada",
        extra_body={"tomorrows_field": [1, {"a": None}]},
    )
    assert answer.choices[0].message.content


# Calls that go wrong -------------------------------------------------------------------------------------------------


async def provider_errors(run: Run, _model: str, text: str) -> None:
    """401 means that our own key was refused by the provider: never the caller's 401."""
    for model, expected, status in (
        ("gpt-4.1-mini", openai.BadRequestError, 400),
        ("gpt-4.1-nano", openai.RateLimitError, 429),
        ("o3-mini", openai.InternalServerError, 500),
        ("gpt-5-nano", openai.InternalServerError, 502),
    ):
        for more in ({}, {"stream": True}):
            error = await raised(expected, run.chat(f"upstream-{status}", model, text, **more))
            assert error.status_code == status, error
            assert set(error.body) == {"message", "type", "param", "code"}, error.body


async def broken_streams(run: Run, _model: str, text: str) -> None:
    for kind, model in (("truncate", "gpt-5"), ("disconnect", "gpt-5-mini"), ("malformed", "gpt-5.4-nano")):
        error = await raised(openai.APIError, read_all(await run.chat(f"broken-{kind}", model, text, stream=True)))
        assert error.message, error


async def turned_away(run: Run, _model: str, text: str) -> None:
    """Refused by the gateway itself, so the provider never hears of it."""
    seen = len(run.answers)
    error = await raised(openai.NotFoundError, run.chat("away", "no-such-model", text))
    assert error.code == "model_not_found", error
    await raised(openai.BadRequestError, run.chat("away", "gpt-4", "a word " * 9_000))
    run.turned_away += run.answers[seen:]
    del run.answers[seen:]
    run.calls.pop("away")


async def hang_up_mid_stream(run: Run, _model: str, text: str) -> None:
    """The provider sends four chunks and then stalls; the caller reads them and goes."""
    stream = await run.chat("hang-up-mid-stream", "gpt-5.1", text, stream=True)
    for _ in range(4):
        await anext(stream)
    await stream.close()


async def hang_up_before_answer(run: Run, _model: str, text: str) -> None:
    await raised(openai.APITimeoutError, run.chat("hang-up-early", "gpt-5.2", text, timeout=PATIENCE_S))


async def retried_by_the_sdk(run: Run) -> None:
    """Two 503 with `retry-after-ms`, then an answer: three calls for us, one for the SDK's user."""
    model = SDK_RETRIED[MAJOR]
    answer = await run.client.with_options(max_retries=2).chat.completions.create(
        model=model, messages=[{"role": "user", "content": "once more"}], extra_headers=run.named("retried")
    )
    assert answer.model == model
    run.calls["retried"] += 2


async def raised(expected: type[openai.APIError], call: Awaitable[Any]) -> Any:
    try:
        await call
    except expected as error:
        return error
    raise AssertionError(f"{expected.__name__} was not raised")


async def read_all(stream: Any) -> None:
    async for _ in stream:
        pass


# A round holds each kind once, or more than once ----------------------------------------------------------------------

Kind = Callable[[Run, str, str], Awaitable[None]]
GOOD: list[Kind] = [plain, streamed, streamed_with_usage] * 3
GOOD += [parallel_tools, parallel_tools_streamed, several_choices, several_choices_streamed]
GOOD += [structured, image, embeddings, agent_loop, unknown_fields]
BAD: list[Kind] = [provider_errors, broken_streams, hang_up_mid_stream, hang_up_before_answer]


async def main(base_url: str, key: str, rounds: int) -> None:
    run = Run(base_url, key)
    await turned_away(run, "", "")
    await retried_by_the_sdk(run)
    at_once = asyncio.Semaphore(8)

    async def one(kind: Kind, number: int) -> None:
        async with at_once:
            await kind(run, MODELS[number % len(MODELS)], f"{TEXTS[number % len(TEXTS)]} ({number})")

    kinds = [kind for at in range(rounds) for kind in (GOOD + BAD if at % 4 == 0 else GOOD)]
    await asyncio.gather(*(one(kind, number) for number, kind in enumerate(kinds)))
    await run.client.close()
    report = {"version": openai.__version__, "calls": run.calls, "answers": run.answers, "turned_away": run.turned_away}
    print(json.dumps(report))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
