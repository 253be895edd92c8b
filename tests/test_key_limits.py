"""A key that is narrower than its team, at the running gateway: models and addresses, and no way around them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateways import HI, Gateway, eventually, gateway_in

PICKY, EMBEDS = "sk-a-key-for-two-models", "sk-a-key-for-embeddings"
HOME, AWAY = "sk-a-key-at-home", "sk-a-key-for-elsewhere"
MADE = f"""
team = Team.objects.get(name="Grace's team")
def make(secret, **fields): ApiKey.objects.create_with_secret(secret, team=team, name=secret, **fields)
make({PICKY!r}, allowed_models=["well", "fails"])
make({EMBEDS!r}, allowed_models=["text-embedding-3-small"])
make({HOME!r}, ip_ranges=["198.51.100.0/24", "127.0.0.0/8"])
make({AWAY!r}, ip_ranges=["203.0.113.0/24", "2001:db8::/32"])
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway_in(tmp_path_factory.mktemp("gateway")) as started:
        started.change(MADE)
        yield started


@pytest.fixture
def gateway(running: Gateway) -> Gateway:
    """Its provider has been asked nothing yet, whatever other tests asked of it."""
    running.upstream.received.clear()
    return running


def body(model: Any, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": HI, **fields}


# Models -------------------------------------------------------------------------------------------------------------


def test_a_key_calls_the_models_it_was_given_and_no_other(gateway: Gateway) -> None:
    assert gateway.chat("well", key=PICKY).status == 200
    refused = gateway.chat("identity", key=PICKY)
    assert (refused.status, refused.error["code"], refused.error["param"]) == (404, "model_not_found", "model")
    # The same words as for a model that is not there at all.
    assert refused.error["message"] == "The model `identity` does not exist or you do not have access to it."
    assert not gateway.upstream.asked_of("identity")


@pytest.mark.parametrize(
    "model", ["Identity", "identity ", " identity", "identity\0", "identity/", "ｉdentity", ["well"]]
)
def test_a_name_that_only_looks_like_another_models_opens_nothing(gateway: Gateway, model: Any) -> None:
    assert gateway.chat(model, key=PICKY).status in (400, 404)
    assert not gateway.upstream.asked_of("identity")


def test_query_headers_and_unknown_fields_choose_no_other_model(gateway: Gateway) -> None:
    """What is asked for in the body counts, and that is what goes out."""
    sent = {"x_model": "identity", "openai_model": "identity", "x_stainless_retry_count": "1"}
    path = "/v1/chat/completions?model=identity&engine=identity"
    answer = gateway.call(path=path, body=body("well", engine="identity", deployment="identity"), key=PICKY, **sent)
    assert answer.status == 200
    assert gateway.event(answer.id)["served_model"] == "well"
    turned = gateway.call(path="/v1/chat/completions?model=well", body=body("identity"), key=PICKY, **sent)
    assert turned.status == 404
    twice = b'{"model": "well", "messages": [], "model": "identity"}'
    assert gateway.call(body=twice, key=PICKY).status in (400, 404)
    assert not gateway.upstream.asked_of("identity")


@pytest.mark.parametrize(
    "path", ["/v1/engines/identity/chat/completions", "/openai/deployments/identity/chat/completions"]
)
def test_no_other_path_leads_to_a_model(gateway: Gateway, path: str) -> None:
    assert gateway.call(path=path, body=body("well"), key=PICKY).status in (404, 405)


def test_a_fallback_that_the_key_may_not_use_is_refused_before_anything_is_sent(gateway: Gateway) -> None:
    refused = gateway.chat("fails", key=PICKY, fallback_models=["well", "identity"])
    assert (refused.status, refused.error["code"]) == (404, "model_not_found")
    assert "`identity`" in refused.error["message"]
    assert not gateway.upstream.received
    answered = gateway.chat("fails", key=PICKY, fallback_models=["well"])
    assert (answered.status, gateway.event(answered.id)["served_model"]) == (200, "well")


def test_embeddings_are_models_too(gateway: Gateway) -> None:
    asked = {"model": "text-embedding-3-small", "input": "hi"}
    refused = gateway.call(path="/v1/embeddings", body=asked, key=PICKY)
    assert (refused.status, refused.error["code"]) == (404, "model_not_found")
    # Nobody answers for it here, but it is looked for: the gate is open.
    assert gateway.chat("well", key=EMBEDS).status == 404


@pytest.mark.parametrize("prefix", ["/v1", ""])
def test_the_list_of_models_holds_only_those_of_the_key(gateway: Gateway, prefix: str) -> None:
    listed = gateway.call("GET", f"{prefix}/models", key=PICKY).json
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["fails", "well"]
    assert gateway.call("GET", f"{prefix}/models/well", key=PICKY).json["id"] == "well"
    hidden = gateway.call("GET", f"{prefix}/models/identity", key=PICKY)
    assert (hidden.status, hidden.error["code"]) == (404, "model_not_found")
    assert gateway.call("GET", f"{prefix}/models/identity").json["id"] == "identity"


def test_a_changed_list_holds_within_two_seconds(gateway: Gateway) -> None:
    secret = "sk-a-key-that-is-changed"
    gateway.change(
        f"ApiKey.objects.create_with_secret({secret!r}, team=Team.objects.get(name='Drains'), name='changed')"
    )
    assert gateway.chat("identity", key=secret).status == 200
    gateway.change("key = ApiKey.objects.get(name='changed'); key.allowed_models = ['well']; key.save()")
    eventually(lambda: gateway.chat("identity", key=secret).status == 404, patience_s=2)
    gateway.change("key = ApiKey.objects.get(name='changed'); key.ip_ranges = ['203.0.113.0/24']; key.save()")
    eventually(lambda: gateway.chat("well", key=secret).status == 401, patience_s=2)


# Addresses ----------------------------------------------------------------------------------------------------------


def test_a_key_works_from_its_own_networks(gateway: Gateway) -> None:
    assert gateway.chat(key=HOME).status == 200
    assert gateway.call("GET", "/v1/models", key=HOME).status == 200
    assert gateway.call("GET", "/v1/me", key=HOME).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/chat/completions"), ("POST", "/v1/embeddings"), ("GET", "/v1/models"), ("GET", "/v1/me")],
)
def test_from_elsewhere_it_is_refused_and_told_which_address_was_seen(gateway: Gateway, method: str, path: str) -> None:
    asked = json.dumps(body("well")).encode() if method == "POST" else None
    answer = gateway.call(method, path, asked, key=AWAY)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (401, "ip_not_authorized", None)
    assert "127.0.0.1" in answer.error["message"]
    assert "203.0.113" not in answer.body.decode()


@pytest.mark.parametrize(
    "header", ["x_forwarded_for", "forwarded", "x_real_ip", "cf_connecting_ip", "true_client_ip", "x_client_ip", "host"]
)
def test_a_header_that_names_another_address_is_believed_by_nobody(gateway: Gateway, header: str) -> None:
    told = "for=203.0.113.7" if header == "forwarded" else "203.0.113.7"
    assert gateway.chat(key=AWAY, headers={header: told}).status == 401
    if header != "host":
        assert gateway.call("GET", "/v1/me", key=AWAY, **{header: told}).status == 401


def test_x_debug_says_what_was_checked_and_not_the_list(gateway: Gateway) -> None:
    debug = gateway.chat(key=AWAY, headers={"x_debug": "true"}).error["debug"]
    assert (debug["checked"], debug["address"]) == ("address", "127.0.0.1")
    assert "203.0.113" not in json.dumps(debug)
