"""The built-in upstream, asked by the official SDK: in this process, and over a socket where connections break."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx2
import openai
import pytest
import toktok
from django.conf import settings
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from usage.sandbox.app import application
from usage.sandbox.schemas import Filler

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CLOCK = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}


def ask(**fields: Any) -> Any:
    """One chat completion, by the SDK, without a socket."""
    return call("chat.completions.create", **{"model": "gpt-4o", "messages": said("Why is the sky blue?"), **fields})


def call(method: str, /, **fields: Any) -> Any:
    async def run() -> Any:
        client: Any = AsyncOpenAI(
            base_url="http://sandbox/v1",
            api_key="unused",
            max_retries=0,
            http_client=httpx2.AsyncClient(transport=httpx2.ASGITransport(app=application)),
        )
        async with client:
            step = client
            for name in method.split("."):
                step = getattr(step, name)
            result = await step(**fields)
            return [chunk async for chunk in result] if fields.get("stream") else result

    return asyncio.run(run())


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


# Text ----------------------------------------------------------------------------------------------------------------


def test_the_same_question_gets_the_same_answer_and_it_says_it_is_the_sandbox() -> None:
    first, second = ask(), ask()
    assert first.choices[0].message.content == second.choices[0].message.content
    assert "sandbox" in first.choices[0].message.content
    assert first.choices[0].finish_reason == "stop"
    assert first.id != second.id


def test_another_question_gets_another_answer() -> None:
    assert ask().choices[0].message.content != ask(messages=said("Why is grass green?")).choices[0].message.content


def test_a_chinese_question_gets_a_chinese_answer() -> None:
    assert "沙盒" in ask(messages=said("天空为什么是蓝色的?")).choices[0].message.content


def test_usage_is_counted_with_the_models_own_tokenizer() -> None:
    for model, encoding in (("gpt-4", "cl100k_base"), ("gpt-4o", "o200k_base")):
        answer = ask(model=model, messages=said("天空为什么是蓝色的?"))
        text = answer.choices[0].message.content
        assert answer.usage.completion_tokens == toktok.batch_count([text], encoding)[0]
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_reasoning_model_reports_reasoning_unless_told_not_to() -> None:
    assert ask(model="gpt-5.4").usage.completion_tokens_details.reasoning_tokens > 0
    assert ask(model="gpt-5.4", reasoning_effort="none").usage.completion_tokens_details.reasoning_tokens == 0


def test_half_of_a_long_prompt_counts_as_cached() -> None:
    used = ask(messages=said("sky " * 2000)).usage
    assert 0 < used.prompt_tokens_details.cached_tokens <= used.prompt_tokens // 2


def test_max_tokens_cuts_the_answer_with_finish_reason_length() -> None:
    for limit in ({"max_tokens": 5}, {"max_completion_tokens": 5}):
        answer = ask(**limit)
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage.completion_tokens <= 5


def test_stop_cuts_the_answer_before_the_word() -> None:
    for stop in ("sandbox", ["nowhere", "sandbox"]):
        answer = ask(stop=stop)
        assert answer.choices[0].message.content == "This is the MegaDash "
        assert answer.choices[0].finish_reason == "stop"


def test_n_choices_differ_and_are_all_counted() -> None:
    answer = ask(n=3)
    texts = [choice.message.content for choice in answer.choices]
    assert len(set(texts)) == 3
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.usage.completion_tokens == sum(toktok.batch_count(texts, "o200k_base"))


def test_images_are_accepted_and_counted() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    plain = ask(messages=[{"role": "user", "content": [{"type": "text", "text": "What is it?"}]}])
    seen = ask(messages=[{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}])
    assert seen.usage.prompt_tokens == plain.usage.prompt_tokens + 85


# Tools and structure -------------------------------------------------------------------------------------------------


def names_called(answer: Any) -> list[str]:
    return [tool_call.function.name for tool_call in answer.choices[0].message.tool_calls or ()]


def test_every_tool_that_is_mentioned_is_called_in_parallel() -> None:
    answer = ask(tools=[WEATHER, CLOCK], messages=said("Use get_weather and get_time for Paris."))
    assert names_called(answer) == ["get_weather", "get_time"]
    assert json.loads(answer.choices[0].message.tool_calls[0].function.arguments) == {"city": "Paris"}
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.content is None


@pytest.mark.parametrize(
    ("fields", "called"),
    [
        ({}, ["get_weather", "get_time"]),
        ({"parallel_tool_calls": False}, ["get_weather"]),
        ({"tool_choice": "none"}, []),
        ({"tool_choice": "required", "messages": said("Hello")}, ["get_weather"]),
        ({"tool_choice": {"type": "function", "function": {"name": "get_time"}}}, ["get_time"]),
    ],
)
def test_tool_choice_is_obeyed(fields: dict[str, Any], called: list[str]) -> None:
    asked = {"tools": [WEATHER, CLOCK], "messages": said("get_weather, get_time"), **fields}
    assert names_called(ask(**asked)) == called


def test_after_a_tool_has_answered_comes_text() -> None:
    first = ask(tools=[WEATHER], messages=said("get_weather")).choices[0].message
    result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "12 degrees"}
    answer = ask(tools=[WEATHER], messages=[*said("get_weather"), first.model_dump(exclude_none=True), result])
    assert answer.choices[0].message.tool_calls is None
    assert answer.choices[0].message.content


class Person(BaseModel):
    name: str
    age: int
    nickname: str | None
    children: list[Person]


def test_structured_output_fits_its_schema_even_when_it_is_recursive() -> None:
    answer = call("chat.completions.parse", model="gpt-4o", messages=said("Ada"), response_format=Person)
    assert answer.choices[0].message.parsed.age == 7


def test_json_mode_answers_in_json() -> None:
    answer = ask(response_format={"type": "json_object"})
    assert json.loads(answer.choices[0].message.content)["sandbox"] is True


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": 3}, 3),
        ({"enum": ["a", "b"]}, "a"),
        ({"type": ["null", "integer"]}, 7),
        ({"type": "integer", "minimum": 10, "multipleOf": 4}, 12),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.25),
        ({"type": "integer", "maximum": 3}, 3),
        ({"type": "integer", "maximum": 6, "multipleOf": 4}, 4),
        ({"type": "boolean"}, True),
        ({"type": "string", "format": "date"}, "2026-11-23"),
        ({"type": "string", "maxLength": 4}, "sand"),
        ({"type": "string", "minLength": 20}, "sandbox value......."),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"type": "array", "prefixItems": [{"const": 1}], "items": {"const": 2}, "minItems": 3}, [1, 2, 2]),
        ({"type": "array", "maxItems": 0, "items": {}}, []),
        ({"anyOf": [{"type": "null"}, {"const": 5}]}, 5),
        ({"oneOf": [{"type": "null"}]}, None),
        ({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]}, {"a": 1, "b": 2}),
        ({"$ref": "#/$defs/x~1y", "$defs": {"x/y": {"const": 9}}}, 9),
        ({"$ref": "#/$defs/missing"}, "sandbox value"),
        ({"$ref": "#"}, "sandbox value"),
        ({"type": "object", "properties": {"a": True}}, {"a": None}),
    ],
)
def test_schemas_are_filled_with_values_that_fit(schema: dict[str, Any], value: object) -> None:
    assert Filler(schema, []).fill() == value


# Streams -------------------------------------------------------------------------------------------------------------


def test_a_stream_says_the_same_as_the_whole_answer() -> None:
    whole = ask()
    chunks = ask(stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert "usage" not in chunks[0].model_fields_set


def test_a_stream_reports_usage_in_a_chunk_of_its_own_when_asked() -> None:
    whole = ask()
    chunks = ask(stream=True, stream_options={"include_usage": True})
    assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)
    assert all(chunk.usage is None and "usage" in chunk.model_fields_set for chunk in chunks[:-1])


def test_streamed_tool_calls_add_up_to_the_whole_ones() -> None:
    asked = {"tools": [WEATHER, CLOCK], "messages": said("Use get_weather and get_time for Paris.")}
    whole = ask(**asked).choices[0].message.tool_calls
    arguments: dict[int, str] = {}
    for chunk in ask(stream=True, **asked):
        for fragment in chunk.choices[0].delta.tool_calls or ():
            arguments[fragment.index] = arguments.get(fragment.index, "") + fragment.function.arguments
            assert (fragment.id is None) == (fragment.function.name is None)
    assert list(arguments.values()) == [tool_call.function.arguments for tool_call in whole]


def test_streamed_choices_take_turns() -> None:
    indexes = [chunk.choices[0].index for chunk in ask(stream=True, n=2)]
    assert indexes[:4] == [0, 1, 0, 1]


# Embeddings, models, errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "vectors"), [("sky", 1), (["sky", "sea"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2)])
def test_embeddings_are_unit_vectors_for_every_form_of_input(given: Any, vectors: int) -> None:
    answer = call("embeddings.create", model="text-embedding-3-small", input=given)
    assert len(answer.data) == vectors
    for item in answer.data:
        assert len(item.embedding) == 1536
        assert sum(number * number for number in item.embedding) == pytest.approx(1, abs=1e-5)
    assert answer.usage.prompt_tokens > 0


def test_embeddings_are_the_same_as_floats_and_as_base64_and_have_the_dimensions_asked_for() -> None:
    asked = {"model": "text-embedding-3-large", "input": "sky", "dimensions": 64}
    as_base64 = call("embeddings.create", **asked)
    as_floats = call("embeddings.create", **asked, encoding_format="float")
    assert as_base64.data[0].embedding == pytest.approx(as_floats.data[0].embedding)
    assert len(as_floats.data[0].embedding) == 64


def test_models_are_listed_and_found_by_name() -> None:
    names = {model.id for model in call("models.list").data}
    assert {"gpt-4", "gpt-3.5-turbo", "sandbox-cut"} <= names
    assert call("models.retrieve", model="gpt-4").created == 1687824000


@pytest.mark.parametrize(
    ("method", "fields", "status", "message"),
    [
        ("models.retrieve", {"model": "gpt-0"}, 404, "does not exist"),
        ("chat.completions.create", {"model": "gpt-4", "messages": []}, 400, "empty array"),
        ("chat.completions.create", {"model": "gpt-4", "messages": "hello"}, 400, "Expected `array`"),
        ("chat.completions.create", {"model": "gpt-4", "messages": said("x"), "n": 0}, 400, "'n'"),
        ("chat.completions.create", {"model": "gpt-4", "messages": said("x"), "max_tokens": 0}, 400, "max_tokens"),
        ("chat.completions.create", {"model": "sandbox-error-500", "messages": said("x")}, 500, "on purpose"),
        ("embeddings.create", {"model": "e", "input": []}, 400, "empty array"),
        ("embeddings.create", {"model": "e", "input": "x", "dimensions": 0}, 400, "dimensions"),
        ("files.list", {}, 404, "Invalid URL"),
        ("post", {"path": "/chat/completions", "cast_to": object, "content": b"{"}, 400, "could not parse"),
    ],
)
def test_errors_have_openais_form(method: str, fields: dict[str, Any], status: int, message: str) -> None:
    with pytest.raises(openai.APIStatusError, match=message) as raised:
        call(method, **fields)
    assert raised.value.status_code == status
    assert raised.value.response.json()["error"].keys() == {"message", "type", "param", "code"}
    assert raised.value.response.headers["x-request-id"].startswith("req_")


# Over a socket -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "manage.py", "sandbox", "--port", str(port)]
    with subprocess.Popen(
        command, cwd=settings.BASE_DIR, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the sandbox did not start"
            time.sleep(0.05)


@pytest.fixture
def client(base_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=base_url, api_key="unused", max_retries=0) as client:
        yield client


def test_a_cut_stream_ends_in_a_broken_connection_without_a_finish_reason(client: OpenAI) -> None:
    reasons = []
    with pytest.raises(openai.APIConnectionError):  # noqa: PT012 - it breaks while it is read
        for chunk in client.chat.completions.create(model="sandbox-cut", messages=said("hi"), stream=True):
            reasons.append(chunk.choices[0].finish_reason)
    assert len(reasons) > 1
    assert set(reasons) == {None}


def test_a_cut_answer_is_shorter_than_it_promised(client: OpenAI) -> None:
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model="sandbox-cut", messages=said("hi"))


def test_the_slow_model_takes_its_time_before_and_between_chunks(client: OpenAI) -> None:
    started_at = time.monotonic()
    with client.chat.completions.create(model="sandbox-slow", messages=said("hi"), stream=True) as stream:
        next(stream)
        first_byte_s = time.monotonic() - started_at
        next(stream)
        next(stream)
    assert first_byte_s >= 3
    assert time.monotonic() - started_at >= first_byte_s + 0.35


def test_the_sandbox_lives_on_after_callers_that_hang_up(client: OpenAI) -> None:
    for _ in range(5):
        with client.chat.completions.create(model="gpt-4", messages=said("hi"), stream=True) as stream:
            next(stream)
    assert client.chat.completions.create(model="gpt-4", messages=said("hi")).choices[0].finish_reason == "stop"
