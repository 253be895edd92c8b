"""Hostile HTTP against the running gateway: a clear 4xx in the envelope, nothing leaked, nothing crashed.

granian's HTTP library answers what is no HTTP at all by itself, with an empty 4xx or by closing:
`_cut_off` marks those.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateways import HI, Gateway, gateway_in
from usage.proxy import exchange

BODY = json.dumps({"model": "well", "messages": HI}).encode()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway_in(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(autouse=True)
def unharmed(gateway: Gateway) -> Iterator[None]:
    """After every abuse the gateway still answers, and has logged no traceback."""
    yield
    assert gateway.chat("well").status == 200
    assert b"Traceback" not in gateway.log_path.read_bytes()


def head(gateway: Gateway, *lines: str, path: str = "/v1/chat/completions", method: str = "POST") -> bytes:
    credentials = f"authorization: Bearer {gateway.keys['grace']}"
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: localhost", credentials, *lines, "", ""]).encode()


def status_of(answer: bytes) -> int:
    match = re.match(rb"HTTP/1\.1 (\d{3})", answer)
    return int(match[1]) if match else 0


def _cut_off(answer: bytes) -> bool:
    """Closed, or an empty 4xx of the HTTP library's own."""
    return answer == b"" or (400 <= status_of(answer) < 500 and answer.endswith(b"\r\n\r\n"))


# Credentials ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer  ",
        b"Basic YTpi",
        b"bearer",
        b"Bearer sk-x'--",
        b'Bearer "sk-x"',
        b"Bearer \xe5\xa4\xa9",
        b"Bearer \xff\xfe",
        b"Bearer sk-a sk-b",
        b"Bearer " + b"x" * 600,
        b"Bearer sk-mega-" + b"0" * 44,
        b"sk-mega-" + b"0" * 44,
        b"Bearer sk-%00",
        b"Bearer ../../etc/passwd",
        b"Bearer {{7*7}}",
        b"Bearer \tsk-x",
    ],
)
def test_whatever_stands_in_authorization_is_a_401(gateway: Gateway, given: bytes) -> None:
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: " + given
    answer = gateway.raw(request + b"\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY)
    assert status_of(answer) == 401
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) < 400


def test_no_credentials_and_two_credentials_are_a_401(gateway: Gateway) -> None:
    assert "didn't provide an API key" in gateway.call(body=BODY, key="").error["message"]
    twice = head(gateway, "authorization: Bearer sk-other", f"content-length: {len(BODY)}", "connection: close")
    assert status_of(gateway.raw(twice + BODY)) == 401


def test_a_nul_in_a_header_and_a_megabyte_of_it_are_cut_off(gateway: Gateway) -> None:
    assert _cut_off(gateway.raw(head(gateway, "x-a: a\0b", "connection: close") + BODY))
    assert _cut_off(gateway.raw(head(gateway, "authorization: Bearer " + "x" * (1 << 20), "connection: close")))


def test_a_flood_of_headers_is_cut_off(gateway: Gateway) -> None:
    assert _cut_off(gateway.raw(head(gateway, *(f"x-{number}: y" for number in range(5_000)), "connection: close")))


def test_numbers_in_headers_may_be_absurd(gateway: Gateway) -> None:
    for value in ("9" * 5_000, "-1", "1e9", "٣", "²"):
        answer = gateway.raw(
            head(gateway, f"x-stainless-retry-count: {value}", f"content-length: {len(BODY)}", "connection: close")
            + BODY
        )
        assert status_of(answer) == 200, value


# Bodies ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xef\xbb\xbf" + BODY,
        BODY.decode().encode("utf-16"),
        BODY + b"{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"model":"well","messages":[{"role":"user","content":"\\ud800"}]}',
        BODY[:-1] + b',"temperature":NaN}',
    ],
)
def test_what_is_not_json_is_a_400(gateway: Gateway, body: bytes) -> None:
    answer = gateway.call(body=body)
    assert answer.status == 400
    assert answer.error["message"].startswith(("We could not parse", "you must provide"))


def test_a_compressed_body_and_another_type_are_a_415(gateway: Gateway) -> None:
    assert gateway.call(body=BODY, content_encoding="gzip").status == 415
    assert gateway.call(body=BODY, content_type="text/plain").status == 415
    assert gateway.call(body=BODY, content_type="application/json; charset=utf-8").status == 200


def test_a_body_that_is_declared_too_large_is_a_413_before_it_comes(gateway: Gateway) -> None:
    answer = gateway.raw(head(gateway, f"content-length: {11 << 20}"))
    assert status_of(answer) == 413
    assert b'"error"' in answer


def test_a_chunked_body_without_end_is_a_413_while_it_is_read(gateway: Gateway) -> None:
    piece = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    answer = gateway.raw(head(gateway, "transfer-encoding: chunked"), *[piece] * 11)
    assert status_of(answer) == 413


def test_a_body_in_many_small_chunks_is_read(gateway: Gateway) -> None:
    pieces = [b"%x\r\n%b\r\n" % (1, BODY[at : at + 1]) for at in range(len(BODY))]
    answer = gateway.raw(head(gateway, "transfer-encoding: chunked", "connection: close"), *pieces, b"0\r\n\r\n")
    assert status_of(answer) == 200


def test_a_body_that_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head and then nothing; the patience is shortened, because it is half a minute."""

    async def nothing() -> Any:
        await asyncio.Event().wait()

    async def nobody(_: Any) -> None:
        raise AssertionError("nothing is sent")

    monkeypatch.setattr(exchange, "BODY_TIMEOUT_S", 0.05)
    scope: dict[str, Any] = {"method": "POST", "path": "/", "headers": [(b"content-length", b"10")]}

    async def wait_for_it() -> None:
        watchman = exchange.Watchman()
        watching = asyncio.create_task(watchman.watch())
        try:
            await exchange.Exchange(scope, nothing, nobody, watchman).body()
        finally:
            watching.cancel()

    with pytest.raises(exchange.BodyTooSlow):
        asyncio.run(wait_for_it())


def test_a_caller_who_leaves_in_the_middle_of_its_body_harms_nobody(gateway: Gateway) -> None:
    with gateway.socket() as peer:
        peer.sendall(head(gateway, "content-length: 1000") + BODY)


def test_targets_of_the_callers_own_choice_do_nothing(gateway: Gateway) -> None:
    wanted: dict[str, Any] = {
        "api_base": "http://127.0.0.1:1",
        "base_url": "http://127.0.0.1:1",
        "api_key": "sk-x",
        "extra_headers": {"x-evil": "1"},
    }
    answer = gateway.call(
        path="/v1/chat/completions?api_base=http://127.0.0.1:1", body=json.loads(BODY) | wanted, api_base="http://x"
    )
    assert answer.status == 200
    assert "x-evil" not in gateway.upstream.received[-1].headers


# HTTP -----------------------------------------------------------------------------------------------------------------


def test_a_length_and_chunks_at_once_smuggle_no_second_call(gateway: Gateway) -> None:
    hidden = head(gateway, "content-length: 0", path="/v1/models", method="GET")
    before = len(gateway.upstream.received)
    for lines in (
        ("content-length: 6", "transfer-encoding: chunked"),
        ("transfer-encoding: chunked", "content-length: 6"),
        ("transfer-encoding: xchunked",),
        ("content-length: 6", "content-length: 7"),
        ("content-length: +6",),
    ):
        answer = gateway.raw(head(gateway, *lines) + b"0\r\n\r\n" + hidden, patience_s=1)
        assert b'"object":"list"' not in answer.replace(b" ", b""), lines
    assert len(gateway.upstream.received) == before


def test_folded_and_underscored_headers_are_no_credentials(gateway: Gateway) -> None:
    key = gateway.keys["grace"]
    assert gateway.call(body=BODY, key="", **{"x-a": "b"}).status == 401
    first = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n"
    raw = f"{first}authori_zation: Bearer {key}\r\nx_authorization: Bearer {key}\r\n\r\n{{}}"
    assert status_of(gateway.raw(raw.encode())) == 401
    folded = f"{first}authorization:\r\n Bearer {key}\r\n\r\n{{}}"
    assert 400 <= status_of(gateway.raw(folded.encode())) < 500


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"),
        ("PUT", "/v1/embeddings"),
        ("POST", "/v1/models"),
        ("DELETE", "/v1/models/gpt-4"),
    ],
)
def test_a_wrong_method_is_a_405_that_names_the_right_one(gateway: Gateway, method: str, path: str) -> None:
    answer = gateway.call(method, path)
    assert (answer.status, answer.error["code"]) == (405, "method_not_supported")
    assert answer.headers["allow"] in answer.error["message"]


def test_options_and_head_are_answered(gateway: Gateway) -> None:
    asked = {
        "access_control_request_method": "POST",
        "access_control_request_headers": "x-stainless-lang",
        "origin": "https://x",
    }
    answer = gateway.call("OPTIONS", "/v1/chat/completions", key="", **asked)
    assert answer.status in (200, 204)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert gateway.call("HEAD", "/v1/models").body == b""
    assert gateway.call("HEAD", "/v1/models").status == 200


def test_models_are_listed_and_found_by_their_names(gateway: Gateway) -> None:
    listed = gateway.call("GET", "/v1/models").json
    assert listed["object"] == "list"
    assert gateway.call("GET", "/v1/models/gpt-4/").json == next(one for one in listed["data"] if one["id"] == "gpt-4")
    for name in ("nobody", "a/b:c", "%2e%2e%2f", "%00", "%ff", "a" * 5_000):
        answer = gateway.call("GET", f"/v1/models/{name}")
        assert (answer.status, answer.error["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    "path", ["/v1/chat/completionz", "/v1", "/v1/", "/v1//chat/completions", "/v1/chat", "/v1/responses"]
)
def test_an_unknown_path_is_a_404_in_the_envelope(gateway: Gateway, path: str) -> None:
    answer = gateway.call(path=path, body=BODY)
    assert (answer.status, answer.error["type"]) == (404, "invalid_request_error")
    assert answer.id.startswith("req_")
