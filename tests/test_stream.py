"""A provider's event stream, however it is cut into pieces, becomes what OpenAI's SDKs expect."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usage.frames import Tokens
from usage.proxy.replies import counted
from usage.proxy.stream import DONE, BrokenStream, StreamReader, error_frame
from usage.proxy.wire import envelope

HEAD = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "gpt-4"}
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
TRICKY = 'a",\\"usage\\":null,"usage":null\r\n\n data: [DONE]\n\n'


def chunk(content: str | None = None, *, index: int = 0, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    delta = fields.pop("delta", {} if content is None else {"content": content})
    return {**HEAD, "choices": [{"index": index, "delta": delta, "finish_reason": finish}], **fields}


def sse(*chunks: dict[str, Any] | str, end: str = "\n") -> bytes:
    lines = [one if isinstance(one, str) else json.dumps(one, separators=(",", ":")) for one in chunks]
    return "".join(f"data: {line}{end}{end}" for line in lines).encode()


class Read(NamedTuple):
    """What a stream came to."""

    chunks: list[dict[str, Any]]
    raw: bytes
    text: str
    tokens: Tokens | None
    is_complete: bool
    finish_reason: str


def read(*pieces: bytes, wants_usage: bool = False) -> Read:
    reader = StreamReader(wants_usage)
    raw = b"".join(reader.feed(piece) for piece in pieces) + reader.end()
    raw += reader.usage_chunk(counted(100, 50))
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in raw.split(b"\n\n")[:-1]]
    return Read(chunks, raw, "".join(reader.texts), reader.tokens, reader.is_complete, reader.finish_reason)


# However it is cut ----------------------------------------------------------------------------------------------------

texts = st.text(max_size=12) | st.just(TRICKY)
noise = st.sampled_from([b"", b": ping\n\n", b"event: message\n", b"id: 7\nretry: 1\n", b"\n", b":\n\n\n"])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """A valid stream, as one provider or another would write it."""
    usages = draw(st.sampled_from(["null", "absent"]))
    shown = {"usage": None} if usages == "null" else {}
    choices = range(draw(st.integers(1, 3)))
    parts = [chunk(draw(texts), index=index, **shown) for index in choices for _ in range(draw(st.integers(0, 3)))]
    ends = [chunk(index=index, finish="stop", **shown) for index in choices]
    usage = draw(st.sampled_from(["on finish", "own", "never"]))
    if usage == "on finish":
        ends[-1]["usage"] = USAGE
    if usage == "own":
        ends.append({**HEAD, "choices": [], "usage": USAGE})
    events = [sse(one) for one in [*draw(st.permutations(parts)), *ends]]
    events += [b"data: [DONE]\n\n"] if draw(st.booleans()) else []
    stream = b"".join(draw(noise) + event for event in events)
    return stream.replace(b"\n", draw(st.sampled_from([b"\n", b"\r\n", b"\r"])))


@settings(deadline=None)
@given(stream=streams(), wants_usage=st.booleans(), data=st.data())
def test_any_cut_of_a_stream_reads_the_same(stream: bytes, wants_usage: bool, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = read(stream, wants_usage=wants_usage)
    assert read(*(piece for piece in pieces if piece), wants_usage=wants_usage) == whole
    assert whole.is_complete
    if not wants_usage:
        assert not any("usage" in one for one in whole.chunks)
    else:
        assert sum(bool(one.get("usage")) for one in whole.chunks) == 1
        assert whole.chunks[-1]["choices"] == []


def test_a_stream_that_comes_byte_by_byte_reads_the_same() -> None:
    stream = sse(chunk("天空"), chunk("😀"), chunk(finish="stop"), "[DONE]", end="\r\n")
    assert read(*(stream[at : at + 1] for at in range(len(stream)))) == read(stream)
    assert read(stream).text == "天空😀"


# Form -----------------------------------------------------------------------------------------------------------------


def test_comments_and_other_fields_of_an_event_are_for_nobody() -> None:
    event = b': ping\nevent: chunk\nid: 7\nretry: 10\ndata: {"choices":[]}\n\n'
    assert read(event).raw == b'data: {"choices":[]}\n\n'


def test_an_event_of_several_data_lines_leaves_on_one() -> None:
    stream = b'data: {"choices":[{"index":0,\ndata:"delta":{"content":"hi"},\ndata: "finish_reason":"stop"}]}\n\n'
    seen = read(stream)
    assert seen.raw.count(b"\n") == 2
    assert (seen.text, seen.is_complete) == ("hi", True)


def test_the_last_event_may_lack_its_blank_line() -> None:
    assert read(sse(chunk("hi", finish="stop")).rstrip()).is_complete


def test_what_comes_after_done_is_nobodys() -> None:
    stream = sse(chunk("hi", finish="stop"), "[DONE] ", chunk("more"), "garbage")
    assert [one["choices"][0]["delta"] for one in read(stream).chunks] == [{"content": "hi"}]


def test_a_chunk_is_passed_byte_for_byte() -> None:
    payload = (
        b'{"choices" : [{"index":0,"delta":{"content":"\\u00e9"},"finish_reason":null}], "obfuscation":"xx", "x":1e2}'
    )
    assert read(b"data: " + payload + b"\n\n").raw == b"data: " + payload + b"\n\n"


# Usage ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", [(",", ":"), (", ", ": ")])
def test_a_null_usage_is_taken_out_for_a_caller_who_did_not_ask(spacing: tuple[str, str]) -> None:
    payload = json.dumps(chunk(TRICKY, usage=None), separators=spacing)
    seen = read(sse(payload))
    assert seen.chunks == [chunk(TRICKY)]
    assert seen.text == TRICKY


def test_a_null_usage_stays_for_a_caller_who_asked() -> None:
    assert read(sse(chunk("hi", usage=None)), wants_usage=True).chunks[0]["usage"] is None


def test_usage_on_the_finish_chunk_becomes_a_chunk_of_its_own() -> None:
    seen = read(sse(chunk("hi"), chunk(finish="stop", usage=USAGE), "[DONE]"), wants_usage=True)
    assert seen.chunks[-1] == {**HEAD, "choices": [], "usage": USAGE}
    assert not any(one.get("usage") for one in seen.chunks[:-1])
    assert seen.tokens == Tokens(9, 0, 0, 0, 3, 0, 0)


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": -5, "completion_tokens": 3}, {"prompt_tokens": "9"}, "many"]
)
def test_without_a_usable_usage_ours_is_told(usage: Any) -> None:
    stream = sse(chunk("hi", finish="stop"), {**HEAD, "choices": [], "usage": usage}, "[DONE]")
    seen = read(stream, wants_usage=True)
    assert seen.tokens is None
    assert seen.chunks[-1]["usage"] == {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
    assert "usage" not in read(stream).raw.decode()


def test_of_a_running_usage_the_last_counts() -> None:
    running = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
    assert read(sse(chunk("hi", usage=running), chunk(finish="stop", usage=USAGE))).tokens == Tokens(
        9, 0, 0, 0, 3, 0, 0
    )


# The end --------------------------------------------------------------------------------------------------------------


def test_a_stream_without_a_finish_reason_is_not_complete() -> None:
    assert not read(sse(chunk("hi"))).is_complete
    assert not read(sse(chunk("hi"), "[DONE]")).is_complete
    assert not read(b"").is_complete


def test_an_empty_finish_reason_is_none_and_leaves_as_null() -> None:
    seen = read(sse(chunk("hi", finish="")))
    assert not seen.is_complete
    assert seen.chunks[0]["choices"][0]["finish_reason"] is None


def test_each_of_several_choices_must_say_how_it_ended() -> None:
    stream = sse(chunk("a", index=0), chunk("b", index=1), chunk(index=0, finish="stop"))
    assert not read(stream).is_complete
    assert read(stream + sse(chunk(index=1, finish="length"))).is_complete


def test_parallel_tool_calls_are_counted_and_passed() -> None:
    def fragment(index: int, **function: str) -> dict[str, Any]:
        return chunk(delta={"tool_calls": [{"index": index, "function": function}]})

    stream = [fragment(0, name="get_weather", arguments=""), fragment(1, name="get_time", arguments=""),
              fragment(0, arguments='{"city":'), fragment(1, arguments="{}"), fragment(0, arguments='"Bern"}'),
              chunk(finish="tool_calls")]  # fmt: skip
    seen = read(sse(*stream, "[DONE]"))
    assert seen.chunks == stream
    assert seen.text == 'get_weatherget_time{"city":{}"Bern"}'
    assert seen.finish_reason == "tool_calls"


def test_nulls_that_strict_sdks_refuse_are_taken_out() -> None:
    poor = chunk(delta={"role": None, "content": "hi", "tool_calls": None}, usage=None)
    assert read(sse(poor)).chunks == [chunk("hi")]
    assert read(sse(poor), wants_usage=True).chunks[0] == {**chunk("hi"), "usage": None}


# Broken ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (sse("<html>"), "upstream_garbled"),
        (sse("{"), "upstream_garbled"),
        (sse("[]"), "upstream_garbled"),
        (sse('{"choices":7}'), "upstream_garbled"),
        (sse("[" * 100_000), "upstream_garbled"),
        (b"data: \xff\xfe\n\n", "upstream_garbled"),
        (sse({"error": {"message": "overloaded"}}), "upstream_error"),
        (sse({"error": "overloaded", "choices": []}), "upstream_error"),
    ],
)
def test_a_bad_event_breaks_the_stream_but_what_came_before_is_seen(event: bytes, code: str) -> None:
    reader = StreamReader(False)
    with pytest.raises(BrokenStream) as caught:
        reader.feed(sse(chunk("hi")) + event)
    assert caught.value.code == code
    assert caught.value.before == sse(chunk("hi"))


def test_an_event_without_end_is_cut_off() -> None:
    reader = StreamReader(False)
    assert reader.feed(b"x" * (1 << 20)) == b""
    with pytest.raises(BrokenStream, match="endless"):
        reader.feed(b"x" * (8 << 20))


def test_the_error_frame_is_one_compact_line_that_begins_with_error() -> None:
    frame = error_frame(envelope("broke\noff", "server_error", None, None))
    assert frame.startswith(b'data: {"error":{"message":"broke\\noff"')
    assert frame.count(b"\n") == 2
    assert DONE == b"data: [DONE]\n\n"
