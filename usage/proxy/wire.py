"""The OpenAI wire format: requests read, errors written. Pure: no Django, no clock, no network.

Only the fields we need are read; every other field stays the caller's own bytes and is forwarded untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from usage.proxy import tokenizer

# A body cannot hold this many keys, objects or numbers unless it was made to hurt: reading them would hold the event
# loop.
MOST_KEYS = 150_000
MOST_COMMAS = 1_000_000
LARGE_BODY_BYTES = 1 << 18
# Above all that the fields we read can need: OpenAI's largest `metadata`, escaped.
MOST_FIELD_BYTES = 1 << 17
# OpenAI's own bound on the tokens of one embeddings request.
MOST_INPUT_TOKENS = 300_000
MOST_TEXT = 200
MOST_METADATA = 16
MOST_CHOICES = 128
# OpenAI's own rule of thumb: 3 tokens around each message and 3 to prime the answer.
TOKENS_A_MESSAGE = 3
TOKENS_A_REPLY = 3
TOKENS_A_NAME = 1
# A 1024 px image in high detail; 85 in low. Estimates: the provider's own count replaces them.
TOKENS_AN_IMAGE = 765
TOKENS_A_SMALL_IMAGE = 85

FALLBACK_FIELDS = ("fallback_models", "fallback_on_rate_limit", "fallback_on_error")
PARSE_MESSAGE = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
    "correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"
)


class BadCall(Exception):
    """The request itself is wrong: a 400 that names the parameter."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message, self.param, self.code = message, param, code


class Call(msgspec.Struct, gc=False):
    """What was asked, as far as we read it. `fields` holds every top-level field in the caller's own bytes."""

    endpoint: str
    fields: dict[str, Raw]
    model: str
    texts: list[str] = []
    # Tokens that are not text: message frames, images.
    framing_tokens: int = 0
    streamed: bool = False
    wants_usage: bool = False
    # None: the caller set no maximum.
    max_output_tokens: int | None = None
    choices: int = 1
    end_user: str = ""
    service_tier: str = ""
    metadata: dict[str, str] = {}
    fallback_models: list[str] = []
    fallback_on_rate_limit: bool = True
    fallback_on_error: bool = True


# Requests -----------------------------------------------------------------------------------------------------------


class _Part(msgspec.Struct, gc=False):
    type: str = ""
    text: str | None = None
    image_url: Any = None


class _Message(msgspec.Struct, gc=False):
    role: str
    content: str | list[_Part] | None = None
    name: str | None = None
    # Not `Raw | None`: msgspec takes only null for that.
    tool_calls: Raw = Raw()


_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_messages = msgspec.json.Decoder(list[_Message]).decode
_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def read_fields(body: bytes) -> dict[str, Raw]:
    """The top-level fields; of a repeated one the last counts, for us and for the provider. Raises BadCall."""
    try:
        if not body.isascii():
            body.decode()
        if len(body) > LARGE_BODY_BYTES:
            _refuse_hostile(body)
        return _fields(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadCall(PARSE_MESSAGE) from error


def read_chat(body: bytes) -> Call:
    """Raises BadCall."""
    fields = read_fields(body)
    call = _read_shared("chat.completions", fields)
    call.texts, call.framing_tokens = _read_messages(fields)
    for name in ("tools", "functions", "response_format"):
        if name in fields:
            call.texts.append(bytes(fields[name]).decode())
    call.streamed = _boolean(fields, "stream") or False
    call.max_output_tokens = _maximum(fields)
    call.choices = _whole(fields, "n", 1, MOST_CHOICES) or 1
    if "temperature" in fields:
        _number(fields, "temperature", 0, 2)
    if "top_p" in fields:
        _number(fields, "top_p", 0, 1)
    options = _read(fields, "stream_options", dict)
    call.wants_usage = bool(options) and options.get("include_usage") is True
    return call


def read_embeddings(body: bytes) -> Call:
    """Raises BadCall."""
    fields = read_fields(body)
    call = _read_shared("embeddings", fields)
    given = _input(fields)
    if given is None:
        raise BadCall("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    inputs = [given] if isinstance(given, str) else given
    if not isinstance(inputs, list) or not inputs:
        raise _wrong_type("input", "a string or an array", given)
    for item in inputs:
        if isinstance(item, str):
            call.texts.append(item)
        elif isinstance(item, list):
            call.framing_tokens += len(item)
        elif type(item) is int:
            call.framing_tokens += 1
        else:
            raise _wrong_type("input", "a string or an array of strings or tokens", item)
    call.max_output_tokens = 0
    return call


def prompt_tokens(call: Call, encoding: str) -> int:
    """Counted with the model's tokenizer. Time grows with the text: 200 MB a second."""
    return call.framing_tokens + tokenizer.count(call.texts, encoding)


def text_bytes(call: Call) -> int:
    return sum(map(len, call.texts))


def count_text(texts: Sequence[str], encoding: str) -> int:
    """Of an answer that came in pieces: a token may span two of them."""
    return tokenizer.count(["".join(texts)], encoding)


def body_for(call: Call, upstream_model: str) -> bytes:
    """What goes to the provider: the caller's fields, with the provider's name of the model, usage asked for, and
    without the fields that are for us."""
    fields = call.fields
    for name in FALLBACK_FIELDS:
        fields.pop(name, None)
    fields["model"] = Raw(_encode(upstream_model))
    if call.streamed and not call.wants_usage:
        options = _read(fields, "stream_options", dict) or {}
        fields["stream_options"] = Raw(_encode({**options, "include_usage": True}))
    return _encode(fields)


def _read_shared(endpoint: str, fields: dict[str, Raw]) -> Call:
    model = _read(fields, "model", str)
    if not model:
        raise BadCall("you must provide a model parameter")
    call = Call(endpoint, fields, model)
    if "user" in fields or "safety_identifier" in fields:
        call.end_user = _clean(_read(fields, "safety_identifier", str) or _read(fields, "user", str) or "")
    if "service_tier" in fields:
        call.service_tier = _clean(_read(fields, "service_tier", str) or "")[:20]
    if "metadata" in fields:
        call.metadata = _tags(_read(fields, "metadata", dict) or {})
    if "fallback_models" in fields:
        call.fallback_models = _fallbacks(fields)
        call.fallback_on_rate_limit = _boolean(fields, "fallback_on_rate_limit") is not False
        call.fallback_on_error = _boolean(fields, "fallback_on_error") is not False
    return call


def _read_messages(fields: dict[str, Raw]) -> tuple[list[str], int]:
    """The texts to count and the tokens around them."""
    raw = fields.get("messages")
    if raw is None:
        raise BadCall("Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    try:
        messages = _messages(raw)
    except (msgspec.MsgspecError, RecursionError):
        return _read_odd_messages(raw)
    if not messages:
        explained = (
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."
        )
        raise BadCall(explained, "messages", "empty_array")
    texts: list[str] = []
    framing = TOKENS_A_REPLY
    for message in messages:
        framing += TOKENS_A_MESSAGE
        texts.append(message.role)
        if isinstance(message.content, str):
            texts.append(message.content)
        elif message.content is not None:
            framing += _read_parts(message.content, texts)
        if message.name is not None:
            texts.append(message.name)
            framing += TOKENS_A_NAME
        if (calls := bytes(message.tool_calls)) not in (b"", b"null"):
            texts.append(calls.decode())
    return texts, framing


def _read_parts(parts: list[_Part], texts: list[str]) -> int:
    images = 0
    for part in parts:
        if part.text is not None:
            texts.append(part.text)
        elif part.image_url is not None:
            detail = part.image_url.get("detail") if isinstance(part.image_url, dict) else None
            images += TOKENS_A_SMALL_IMAGE if detail == "low" else TOKENS_AN_IMAGE
    return images


def _read_odd_messages(raw: Raw) -> tuple[list[str], int]:
    """Messages of a shape we do not know: wrong ones are named, new ones are counted as the text they are."""
    try:
        messages = _any(raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadCall(PARSE_MESSAGE) from error
    if not isinstance(messages, list):
        raise _wrong_type("messages", "an array of objects", messages)
    for position, message in enumerate(messages):
        if not isinstance(message, dict):
            raise _wrong_type(f"messages[{position}]", "an object", message)
        if not isinstance(message.get("role"), str):
            name = f"messages[{position}].role"
            if message.get("role") is None:
                raise BadCall(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
            raise _wrong_type(name, "a string", message["role"])
        content = message.get("content")
        if content is not None and not isinstance(content, str | list):
            raise _wrong_type(f"messages[{position}].content", "a string or an array of content parts", content)
    return [bytes(raw).decode()], TOKENS_A_REPLY


def _maximum(fields: dict[str, Raw]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        if name in fields and (given := _whole(fields, name, 1, 2**31)) is not None:
            return given
    return None


def _fallbacks(fields: dict[str, Raw]) -> list[str]:
    given = _value(fields, "fallback_models")
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise _wrong_type("fallback_models", "an array of strings", given)
    if len(given) > 8:
        raise BadCall("Invalid 'fallback_models': at most 8 models.", "fallback_models", "array_above_max_length")
    return given


def _tags(given: dict[str, Any]) -> dict[str, str]:
    """The caller's tags, cut to OpenAI's own sizes: 16 pairs, 64 and 512 characters."""
    if len(given) > MOST_METADATA or not all(isinstance(value, str) for value in given.values()):
        raise BadCall(
            f"Invalid 'metadata': at most {MOST_METADATA} pairs, and their values must be strings.",
            "metadata",
            "invalid_type",
        )
    return {_clean(name)[:64]: _clean(value, 512) for name, value in given.items()}


def _read(fields: dict[str, Raw], name: str, kind: type) -> Any:
    value = _value(fields, name)
    if value is not None and type(value) is not kind:
        raise _wrong_type(name, "a string" if kind is str else "an object", value)
    return value


def _boolean(fields: dict[str, Raw], name: str) -> bool | None:
    value = _value(fields, name)
    if value is not None and type(value) is not bool:
        raise _wrong_type(name, "a boolean", value)
    return value


def _whole(fields: dict[str, Raw], name: str, least: int, most: int) -> int | None:
    value = _value(fields, name)
    if value is None:
        return None
    if type(value) is not int:
        raise _wrong_type(name, "an integer", value)
    if not least <= value <= most:
        bound = f"minimum value >= {least}" if value < least else f"maximum value <= {most}"
        code = "integer_below_min_value" if value < least else "integer_above_max_value"
        raise BadCall(f"Invalid '{name}': integer out of range. Expected a {bound}.", name, code)
    return value


def _number(fields: dict[str, Raw], name: str, least: float, most: float) -> None:
    value = _value(fields, name)
    if value is not None and (type(value) not in (int, float) or not least <= value <= most):
        raise BadCall("Invalid request parameter", name)


def _input(fields: dict[str, Raw]) -> Any:
    raw = fields.get("input", Raw(b"null"))
    if bytes(raw).count(b",") > MOST_INPUT_TOKENS:
        raise BadCall(f"Invalid 'input': at most {MOST_INPUT_TOKENS:,} tokens.", "input", "array_above_max_length")
    return _parsed(raw)


def _value(fields: dict[str, Raw], name: str) -> Any:
    raw = fields.get(name)
    if raw is None:
        return None
    if len(memoryview(raw)) > MOST_FIELD_BYTES:
        raise BadCall(f"Invalid '{name}': too long.", name, "string_above_max_length")
    return _parsed(raw)


def _parsed(raw: Raw) -> Any:
    try:
        return _any(raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadCall(PARSE_MESSAGE) from error


def _wrong_type(name: str, expected: str, value: object) -> BadCall:
    names = {
        str: "a string",
        int: "an integer",
        float: "a decimal",
        bool: "a boolean",
        list: "an array",
        dict: "an object",
    }
    got = names.get(type(value), "null")
    return BadCall(f"Invalid type for '{name}': expected {expected}, but got {got} instead.", name, "invalid_type")


def _clean(text: str, most: int = MOST_TEXT) -> str:
    """Fit for any database: cut to size, and without NUL, which PostgreSQL does not store."""
    return text[:most].replace("\0", "")


def _refuse_hostile(body: bytes) -> None:
    # Without escaped backslashes, a quote inside a string has a backslash before it: what remains are the ends of
    # strings.
    # Brackets and commas may be of quoted text, but no model reads a text of that many.
    plain = body.replace(rb"\\", b"")
    strings = (plain.count(b'"') - plain.count(rb"\"")) // 2
    if max(strings, plain.count(b"{") + plain.count(b"[")) > MOST_KEYS or plain.count(b",") > MOST_COMMAS:
        raise BadCall(f"Your request has too many JSON keys: at most {MOST_KEYS:,} are read.")


# Errors -------------------------------------------------------------------------------------------------------------


def envelope(
    message: str, kind: str, param: str | None, code: str | None, debug: dict[str, Any] | None = None
) -> bytes:
    """OpenAI's error body: always the four keys, and `debug` beside them when asked for."""
    error: dict[str, Any] = {"message": message, "type": kind, "param": param, "code": code}
    if debug is not None:
        error["debug"] = debug
    return _encode({"error": error})
