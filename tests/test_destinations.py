"""Where calls may be sent: the addresses that are refused, and what the gateway makes of a provider that has one."""

from __future__ import annotations

import logging
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts import secrets
from accounts.models import InstanceSettings
from accounts.networks import Networks
from tests import rows
from usage import catalog, destinations, price_acts
from usage.models import Model, Provider, Route
from usage.proxy import targets
from usage.proxy.directory import Directory
from usage.proxy.limits import Limiter

NOBODY = Networks([])
PRIVATE = [
    "127.0.0.1", "127.255.0.9", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "192.0.2.1", "198.18.0.1", "240.0.0.1",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:192.168.0.1", "::ffff:a9fe:a9fe", "64:ff9b::10.0.0.1", "2002:7f00:1::", "nonsense", "",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_of_the_public_net_is_refused(address: str) -> None:
    assert destinations.is_refused(address, NOBODY)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "104.18.6.192", "2606:4700::6812:7c0", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"]
)
def test_a_public_address_is_not(address: str) -> None:
    assert not destinations.is_refused(address, NOBODY)


def test_an_allowed_network_opens_its_addresses_in_every_spelling_and_no_others() -> None:
    ours = Networks(["10.1.0.0/16", "fd00::/8"])
    assert not [each for each in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::1") if destinations.is_refused(each, ours)]
    assert all(destinations.is_refused(each, ours) for each in ("10.2.0.1", "127.0.0.1", "fe80::1"))


def test_hosts_are_looked_up_together_and_one_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()

    def answer(host: str, *_: Any, **__: Any) -> list[Any]:
        if host == "hangs.example.com":
            is_over.wait(5)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    found = destinations.resolve(["quick.example.com", "hangs.example.com"], timeout_s=0.2)
    is_over.set()
    assert found == {"quick.example.com": ["1.1.1.1"], "hangs.example.com": []}


@pytest.mark.django_db
def test_the_gateway_sends_nothing_to_a_private_address_that_nobody_allowed(caplog: pytest.LogCaptureFixture) -> None:
    gpt_4 = Model.objects.create(name="gpt-4", display_name="GPT-4", owned_by="openai", released_at=rows.EPOCH)
    names = {"http://127.0.0.1:9/v1": "Mallory's", "http://10.1.2.3/v1": "Ours", "http://10.1.2.4/v1": "Given"}
    for priority, (base_url, name) in enumerate(names.items()):
        provider = Provider.objects.create(name=name, base_url=base_url, may_be_private=name == "Given")
        Route.objects.create(model=gpt_4, provider=provider, upstream_model="gpt-4", priority=priority)
    Provider.objects.create(name="Broken", base_url="nonsense").routes.create(model=gpt_4, upstream_model="gpt-4")
    with caplog.at_level(logging.ERROR):
        assert [target.provider for target in targets.read(timezone.now()).targets["gpt-4"]] == ["Given"]
    assert "Mallory's has an address that is not allowed" in caplog.text
    settings = InstanceSettings.current()
    settings.private_networks = ["10.1.0.0/16"]
    settings.save()
    assert [target.provider for target in targets.read(timezone.now()).targets["gpt-4"]] == ["Ours", "Given"]


@pytest.mark.django_db
def test_one_provider_whose_key_cannot_be_read_does_not_take_the_others_along() -> None:
    gpt_4 = Model.objects.create(name="gpt-4", display_name="GPT-4", owned_by="openai", released_at=rows.EPOCH)
    broken = Provider.objects.create(name="B", base_url="http://127.0.0.1:9", may_be_private=True, sealed_api_key="?")
    Route.objects.create(model=gpt_4, provider=broken, upstream_model="gpt-4")
    assert targets.read(timezone.now()).targets == {}


@pytest.mark.django_db
def test_the_list_of_models_shows_a_new_price_when_it_comes_into_force(settings: Any) -> None:
    catalog.seed_models()
    catalog.seed_prices()
    catalog.add_sandbox("http://127.0.0.1:9/v1")
    directory = Directory(Limiter(time.monotonic_ns), secrets.pepper_from(settings.SECRET_KEY))
    directory.load()
    assert b'"input_tokens_cost_per_million": 30.0' in directory.model_objects["gpt-4"]
    now = timezone.now()
    begun = now - price_acts.KNOWN_AFTER
    price_acts.set_price(None, price_acts.Priced("openai", "gpt-4"), {"input": [(0, Decimal(20))]}, None, "", begun)
    directory.look()
    assert b'"input_tokens_cost_per_million": 20.0' in directory.model_objects["gpt-4"]
    assert targets.read(now).prices_change_at is None
    later = price_acts.set_price(
        None, price_acts.Priced("openai", "gpt-4"), {"input": [(0, Decimal(5))]}, now + timedelta(hours=1), "", now
    )
    assert targets.read(now).prices_change_at == later.valid_from
    assert b"5.0" in targets.read(datetime.now(UTC) + timedelta(hours=2)).model_objects["gpt-4"]
