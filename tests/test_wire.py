"""The OpenAI wire format: what is read of a request and of a reply, and what is refused."""

from __future__ import annotations

import json
import time
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usage.frames import Tokens
from usage.proxy import replies, wire
from usage.proxy.replies import NotAReply
from usage.proxy.wire import BadCall

with warnings.catch_warnings():
    # It opens its own files in a way that Python has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import bpe_openai

HI = [{"role": "user", "content": "hi"}]
ESSENTIALS = b'"model":"gpt-4","messages":[{"role":"user","content":"hi"}]'


def chat(**fields: Any) -> bytes:
    return json.dumps({"model": "gpt-4", "messages": HI, **fields}).encode()


def refused(body: bytes, read: Any = wire.read_chat) -> BadCall:
    with pytest.raises(BadCall) as caught:
        read(body)
    return caught.value


def forwarded(body: bytes, upstream_model: str = "gpt-4-0613") -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(wire.body_for(wire.read_chat(body), upstream_model))
    return sent


# Requests -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"messages": None}, "messages", "invalid_type"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": "hi"}, "messages", "invalid_type"),
        ({"messages": {"role": "user"}}, "messages", "invalid_type"),
        ({"messages": ["hi"]}, "messages[0]", "invalid_type"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{"role": 7, "content": "hi"}]}, "messages[0].role", "invalid_type"),
        ({"messages": [*HI, {"role": "user", "content": 7}]}, "messages[1].content", "invalid_type"),
        ({"model": 4}, "model", "invalid_type"),
        ({"model": ""}, None, None),
        ({"stream": "true"}, "stream", "invalid_type"),
        ({"stream": 1}, "stream", "invalid_type"),
        ({"stream_options": []}, "stream_options", "invalid_type"),
        ({"n": True}, "n", "invalid_type"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"n": 129}, "n", "integer_above_max_value"),
        ({"n": 2**63}, "n", "integer_above_max_value"),
        ({"max_tokens": "7"}, "max_tokens", "invalid_type"),
        ({"max_tokens": 1.5}, "max_tokens", "invalid_type"),
        ({"max_tokens": -1}, "max_tokens", "integer_below_min_value"),
        ({"max_completion_tokens": 2**63}, "max_completion_tokens", "integer_above_max_value"),
        ({"temperature": 2.1}, "temperature", None),
        ({"temperature": "hot"}, "temperature", None),
        ({"temperature": True}, "temperature", None),
        ({"top_p": -0.1}, "top_p", None),
        ({"user": 7}, "user", "invalid_type"),
        ({"metadata": {"a": 1}}, "metadata", "invalid_type"),
        ({"metadata": ["a"]}, "metadata", "invalid_type"),
        ({"metadata": {str(number): "x" for number in range(17)}}, "metadata", "invalid_type"),
        ({"metadata": {"a": "x" * 200_000}}, "metadata", "string_above_max_length"),
        ({"fallback_models": "gpt-4"}, "fallback_models", "invalid_type"),
        ({"fallback_models": ["gpt-4", 7]}, "fallback_models", "invalid_type"),
        ({"fallback_models": ["gpt-4"] * 9}, "fallback_models", "array_above_max_length"),
        ({"fallback_models": ["gpt-4"], "fallback_on_error": "yes"}, "fallback_on_error", "invalid_type"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str | None, code: str | None) -> None:
    error = refused(chat(**fields))
    assert (error.param, error.code) == (param, code)


def test_a_wrong_temperature_gets_the_vendors_own_words() -> None:
    error = refused(chat(temperature=3))
    assert (error.message, error.param, error.code) == ("Invalid request parameter", "temperature", None)


def test_a_missing_model_or_message_list_is_said_in_openais_words() -> None:
    assert refused(b"{}").message == "you must provide a model parameter"
    assert refused(b'{"model":"gpt-4"}').message == "Missing required parameter: 'messages'."


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"{" + ESSENTIALS + b"}{}",
        b"{" + ESSENTIALS + b"} x",
        b"{" + ESSENTIALS + b",}",
        b"{'model':'gpt-4'}",
        b"\xef\xbb\xbf{" + ESSENTIALS + b"}",
        ("{" + ESSENTIALS.decode() + "}").encode("utf-16"),
        ("{" + ESSENTIALS.decode() + "}").encode("utf-32"),
        b"{" + ESSENTIALS + b',"x":"\xff"}',
        b"{" + ESSENTIALS + b',"x":NaN}',
        b"{" + ESSENTIALS + b',"temperature":NaN}',
        b"{" + ESSENTIALS + b',"temperature":Infinity}',
        b"{" + ESSENTIALS + b',"temperature":1e999}',
        b"{" + ESSENTIALS + b',"x":"\\ud800"}',
        b'{"model":"gpt-4","messages":[{"role":"user","content":"\\ud800"}]}',
        b"{" + ESSENTIALS + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"model":"gpt-4","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"{" + ESSENTIALS + b',"max_tokens":' + b"9" * 4_301 + b"}",
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    assert refused(body).message == wire.PARSE_MESSAGE


def _million(item: bytes) -> bytes:
    return b",".join([item] * (10_000_000 // (len(item) + 1)))


@pytest.mark.parametrize(
    "body",
    [
        b"{" + ESSENTIALS + b"," + b",".join(b'"k%d":1' % number for number in range(800_000)) + b"}",
        b"{" + ESSENTIALS + b"," + _million(b'"k" :1') + b"}",
        b"{" + ESSENTIALS + b"," + _million(rb'"\\":1') + b"}",
        b'{"model":"gpt-4","messages":[' + _million(b"[]") + b"]}",
        b'{"model":"gpt-4","messages":[' + _million(b"1") + b"]}",
        b'{"model":"gpt-4","messages":[' + _million(b'{"role":""}') + b"]}",
        b"{" + ESSENTIALS + b',"metadata":[' + _million(b"1") + b"]}",
        b"{" + ESSENTIALS + b',"x":' + b"[" * 5_000_000 + b"]" * 5_000_000 + b"}",
        b"{" + ESSENTIALS + b"," + b",".join(b'"%x":1' % number for number in range(24_000)) + b',"n":"x"}',
    ],
    ids=[
        "keys",
        "keys-and-spaces",
        "keys-and-backslashes",
        "lists",
        "numbers",
        "messages",
        "metadata",
        "depth",
        "quarter-mb",
    ],
)
def test_a_body_made_to_hurt_is_refused_before_it_costs(body: bytes) -> None:
    began_s = time.process_time()
    refused(body)
    # The promise is 50 ms; the slack is for a machine whose cores are shared.
    assert time.process_time() - began_s < 0.15


def test_a_long_honest_prompt_is_no_attack() -> None:
    quoted = json.dumps({"rows": [{"a": 1, "b": "\\"}] * 30})
    call = wire.read_chat(chat(messages=[{"role": "user", "content": quoted}] * 3_000))
    assert len(call.texts) == 6_000


def test_of_a_repeated_field_the_last_counts_for_us_and_for_the_provider() -> None:
    body = (
        b'{"model":"gpt-4","mod\\u0065l":"gpt-4o","stream":true,"stream":false,"messages":[],' + ESSENTIALS[16:] + b"}"
    )
    call = wire.read_chat(body)
    assert (call.model, call.streamed) == ("gpt-4o", False)
    sent = wire.body_for(call, "upstream")
    assert sent.count(b'"model"') == sent.count(b'"stream"') == sent.count(b'"messages"') == 1


def test_unknown_fields_reach_the_provider_byte_for_byte() -> None:
    odd = b'{"x" : [1.0,1e3, -0, 123456789012345678901234567890, "\\u00e9\\/"],  "y":{"y":null}}'
    sent = wire.body_for(wire.read_chat(b"{" + ESSENTIALS + b',"future":' + odd + b"}"), "gpt-4")
    assert b'"future":' + odd in sent


def test_our_own_fields_are_not_forwarded_and_the_model_is_the_providers() -> None:
    body = chat(fallback_models=["gpt-4o"], fallback_on_error=False, fallback_on_rate_limit=True, seed=7)
    call = wire.read_chat(body)
    assert (call.fallback_models, call.fallback_on_error, call.fallback_on_rate_limit) == (["gpt-4o"], False, True)
    assert forwarded(body) == {"model": "gpt-4-0613", "messages": HI, "seed": 7}


@pytest.mark.parametrize(
    ("options", "sent", "wants"),
    [
        (None, {"include_usage": True}, False),
        ({"include_usage": False}, {"include_usage": True}, False),
        ({"include_usage": True}, {"include_usage": True}, True),
        ({"include_obfuscation": False}, {"include_obfuscation": False, "include_usage": True}, False),
    ],
)
def test_usage_is_always_asked_of_a_stream(options: Any, sent: Any, wants: bool) -> None:
    body = chat(stream=True, stream_options=options)
    assert wire.read_chat(body).wants_usage is wants
    assert forwarded(body)["stream_options"] == sent


def test_a_whole_answer_is_forwarded_without_stream_options() -> None:
    assert "stream_options" not in forwarded(chat())


def test_max_completion_tokens_goes_before_max_tokens() -> None:
    assert wire.read_chat(chat(max_tokens=7)).max_output_tokens == 7
    assert wire.read_chat(chat(max_tokens=7, max_completion_tokens=9)).max_output_tokens == 9
    assert wire.read_chat(chat(max_tokens=7, max_completion_tokens=None)).max_output_tokens == 7
    assert wire.read_chat(chat()).max_output_tokens is None


def test_tags_and_names_of_the_caller_are_cut_and_lose_their_nul() -> None:
    call = wire.read_chat(chat(user="a\0b" * 200, metadata={"k" * 99: "v" * 999, "a\0": "\0b"}, service_tier="x" * 99))
    assert len(call.end_user) <= wire.MOST_TEXT
    assert "\0" not in call.end_user
    assert call.metadata == {"k" * 64: "v" * 512, "a": "b"}
    assert call.service_tier == "x" * 20
    assert wire.read_chat(chat(user="ada", safety_identifier="grace")).end_user == "grace"


# Embeddings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (None, "missing_required_parameter"),
        ([], "invalid_type"),
        (7, "invalid_type"),
        ([None], "invalid_type"),
        ([True], "invalid_type"),
        ([1] * 300_002, "array_above_max_length"),
    ],
)
def test_a_wrong_embeddings_input_is_named(given: Any, code: str) -> None:
    error = refused(json.dumps({"model": "m", "input": given}).encode(), wire.read_embeddings)
    assert (error.param, error.code) == ("input", code)


@pytest.mark.parametrize(
    ("given", "tokens"), [("hi", 1), (["hi", "hi"], 2), ([1, 2, 3], 3), ([[1, 2], [3]], 3), (["hi", [1, 2]], 3)]
)
def test_embeddings_inputs_of_every_form_are_counted(given: Any, tokens: int) -> None:
    call = wire.read_embeddings(json.dumps({"model": "m", "input": given}).encode())
    assert wire.prompt_tokens(call, "cl100k_base") == tokens
    assert call.max_output_tokens == 0


# Counting -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "other"),
    [("o200k_base", bpe_openai.get_encoding("o200k_base")), ("cl100k_base", bpe_openai.get_encoding("cl100k_base"))],
)
@settings(deadline=None)
@given(text=st.text(max_size=300))
def test_an_independent_tokenizer_counts_the_same(encoding: str, other: Any, text: str) -> None:
    assert wire.count_text([text], encoding) == len(other.encode_ordinary(text))


@pytest.mark.parametrize(
    "text", ["", "天空为什么是蓝色的?" * 50, "😀👩‍👩‍👧‍👦" * 50, "<|endoftext|><|im_start|>", " " * 999, "\n \t" * 99]
)
def test_awkward_text_is_counted_as_the_independent_tokenizer_does(text: str) -> None:
    assert wire.count_text([text], "o200k_base") == len(bpe_openai.get_encoding("o200k_base").encode_ordinary(text))


def test_a_prompt_counts_its_texts_frames_images_and_tools() -> None:
    parts = [
        {"type": "text", "text": "hi"},
        {"type": "image_url", "image_url": {"url": "data:,", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:,"}},
    ]
    plain = wire.prompt_tokens(wire.read_chat(chat()), "o200k_base")
    assert plain == wire.TOKENS_A_REPLY + wire.TOKENS_A_MESSAGE + 2
    pictured = wire.prompt_tokens(wire.read_chat(chat(messages=[{"role": "user", "content": parts}])), "o200k_base")
    assert pictured == plain + wire.TOKENS_A_SMALL_IMAGE + wire.TOKENS_AN_IMAGE
    tools = [{"type": "function", "function": {"name": "get_weather"}}]
    assert wire.prompt_tokens(wire.read_chat(chat(tools=tools)), "o200k_base") > plain + 5


def test_a_message_of_a_form_nobody_knows_yet_is_counted_and_passed() -> None:
    message = {"role": "user", "content": [{"type": "hologram", "text": {"value": "hi"}}]}
    body = chat(messages=[message])
    assert wire.prompt_tokens(wire.read_chat(body), "o200k_base") > 10
    assert forwarded(body)["messages"] == [message]


# Usage --------------------------------------------------------------------------------------------------------------

counts = st.integers(0, 10**9)
small = st.integers(-5, 20)


@settings(deadline=None)
@given(prompt=counts, completion=counts, data=st.data())
def test_the_classes_of_a_usage_add_up_to_its_totals(prompt: int, completion: int, data: st.DataObject) -> None:
    cached = data.draw(st.integers(0, prompt))
    written = data.draw(st.integers(0, prompt - cached))
    audio = data.draw(st.integers(0, prompt - cached - written))
    reasoning = data.draw(st.integers(0, completion))
    spoken = data.draw(st.integers(0, completion - reasoning))
    tokens = replies.read_usage(
        {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written, "audio_tokens": audio},
            "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": spoken},
        }
    )
    assert tokens is not None
    assert (tokens.prompt, tokens.completion) == (prompt, completion)
    assert tokens[1:4] == (cached, written, audio)
    assert tokens[5:] == (reasoning, spoken)


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "prompt_tokens": st.integers(-5, 20) | st.none() | st.text() | st.booleans() | st.floats(),
            "completion_tokens": st.integers(-5, 20) | st.none() | st.text() | st.booleans() | st.floats(),
            "prompt_tokens_details": st.none() | st.text() | st.dictionaries(st.just("cached_tokens"), small),
            "completion_tokens_details": st.none()
            | st.lists(small)
            | st.dictionaries(st.just("reasoning_tokens"), small),
        },
    )
)
def test_whatever_a_provider_calls_usage_no_class_is_ever_negative(usage: dict[str, Any]) -> None:
    tokens = replies.read_usage(usage)
    if tokens is not None:
        assert all(count is not None and count >= 0 for count in tokens)
        assert tokens.prompt == usage["prompt_tokens"]


@pytest.mark.parametrize(
    "usage",
    [
        None,
        [],
        "many",
        {},
        {"prompt_tokens": -1, "completion_tokens": 2},
        {"prompt_tokens": "7", "completion_tokens": 2},
        {"prompt_tokens": True, "completion_tokens": 2},
        {"prompt_tokens": 7.0, "completion_tokens": 2},
        {"prompt_tokens": 10**12, "completion_tokens": 2},
        {"prompt_tokens": 7, "completion_tokens": None},
        {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 8}},
        {"prompt_tokens": 7, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 3}},
        {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": "none"},
    ],
)
def test_a_usage_that_cannot_be_right_is_none(usage: Any) -> None:
    assert replies.read_usage(usage) is None


def test_an_embeddings_usage_has_no_completion() -> None:
    assert replies.read_usage({"prompt_tokens": 7, "total_tokens": 7}) == Tokens(7, 0, 0, 0, 0, 0, 0)


# Replies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"choices":null}',
        b'{"choices":"x"}',
        b'{"error":{"message":"x"}}',
        b'{"choices":[],"error":"x"}',
        b'{"choices":[{"message":',
        b"[" * 100_000,
    ],
)
def test_a_200_without_an_answer_is_no_reply(body: bytes) -> None:
    with pytest.raises(NotAReply):
        replies.read_reply(body, "chat.completions")


def test_a_whole_reply_needs_no_repair_and_a_poor_one_gets_what_sdks_need() -> None:
    poor = (
        b'{"choices":[{"message":{"content":"hi","role":null,"tool_calls":null},"extra":1}],'
        b'"usage":{"prompt_tokens":1}}'
    )
    assert replies.needs_repair(replies.read_reply(poor, "chat.completions"))
    repaired = replies.repaired_reply(poor, "0123", 1_700_000_000, "gpt-4")
    assert not replies.needs_repair(replies.read_reply(repaired, "chat.completions"))
    assert json.loads(repaired) == {
        "id": "chatcmpl-0123",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4",
        "usage": {"prompt_tokens": 1},
        "choices": [
            {
                "index": 0,
                "finish_reason": None,
                "logprobs": None,
                "extra": 1,
                "message": {"role": "assistant", "content": "hi", "refusal": None},
            }
        ],
    }


def test_every_error_has_the_four_keys() -> None:
    bare = json.loads(wire.envelope("m", "t", None, None))
    assert bare == {"error": {"message": "m", "type": "t", "param": None, "code": None}}
    assert json.loads(wire.envelope("m", "t", "p", "c", {"a": 1}))["error"]["debug"] == {"a": 1}
