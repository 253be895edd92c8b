"""A look at each provider with its own SDK: is it there, how quick, how many models. No call depends on it."""

from __future__ import annotations

import threading
import time
from datetime import datetime
from typing import NamedTuple

import httpx2
from openai import APIStatusError, OpenAI, OpenAIError

from accounts.models import InstanceSettings
from accounts.networks import Networks
from usage import destinations
from usage.models import Provider, ProviderHealth
from usage.vault import SealBroken

TIMEOUT_S = 5.0
# For what happens beside the waiting.
SPARE_S = 0.5
MOST_ANSWER_BYTES = 8 << 20


class Look(NamedTuple):
    """What was seen. `error` is the name of what went wrong and never quotes anybody: providers quote keys."""

    models_seen: int | None
    latency_ms: int | None
    error: str = ""

    @property
    def is_up(self) -> bool:
        return self.models_seen is not None


class NoModelList(Exception):
    """Something answered that is not OpenAI's list of models."""


class TooSlow(httpx2.TransportError):
    """The whole answer took longer than it may."""


class TooLarge(httpx2.TransportError):
    """More than any list of models is."""


def check_all(now: datetime) -> int:
    """How many are up."""
    return sum(check(provider, now).is_up for provider in Provider.objects.filter(enabled=True))


def check(provider: Provider, now: datetime) -> ProviderHealth:
    """Look, and keep what was seen."""
    seen = look_at(provider)
    health, _ = ProviderHealth.objects.update_or_create(
        provider=provider,
        defaults={
            "checked_at": now,
            "is_up": seen.is_up,
            "latency_ms": seen.latency_ms,
            "models_seen": seen.models_seen,
            "error": seen.error,
        },
    )
    return health


def look_at(provider: Provider) -> Look:
    """With the key it has. Keeps nothing."""
    try:
        api_key = provider.api_key
    except SealBroken:
        return Look(None, None, "SealBroken")
    return look(provider.base_url, api_key, allowed_for(provider))


def allowed_for(provider: Provider) -> Networks | None:
    """The private networks in which it may be; None is all of them."""
    if provider.is_sandbox or provider.may_be_private:
        return None
    return Networks(InstanceSettings.current().private_networks)


def look(base_url: str, api_key: str, allowed: Networks | None) -> Look:
    """Ask for the list of models, within TIMEOUT_S altogether, however slowly each byte of the answer drips."""
    seen: list[Look] = []
    # A thread that does not keep the process alive: no time-out of a socket bounds a whole answer.
    asking = threading.Thread(target=lambda: seen.append(_look(base_url, api_key, allowed)), daemon=True)
    asking.start()
    asking.join(TIMEOUT_S + SPARE_S)
    return seen[0] if seen else Look(None, None, TooSlow.__name__)


def _look(base_url: str, api_key: str, allowed: Networks | None) -> Look:
    started = time.monotonic()
    try:
        models_seen = _count_models(base_url, api_key, allowed)
    except APIStatusError as refused:
        return Look(None, None, f"HTTP {refused.status_code}")
    except (OpenAIError, NoModelList, ValueError) as failed:
        # The SDK wraps what the transport raises. The name only: a message may quote what was sent.
        return Look(None, None, _name_of(failed))
    return Look(models_seen, round((time.monotonic() - started) * 1000))


def _name_of(failed: Exception) -> str:
    is_ours = isinstance(failed, NoModelList) or failed.__cause__ is None
    return type(failed if is_ours else failed.__cause__).__name__


def _count_models(base_url: str, api_key: str, allowed: Networks | None) -> int:
    transport = CheckedTransport(allowed, time.monotonic() + TIMEOUT_S)
    # The SDK wants some key; without one of ours it must not take OPENAI_API_KEY from the environment. Neither its
    # client's redirects nor the environment's proxies: the request must reach the checked address or nothing.
    with (
        httpx2.Client(transport=transport, follow_redirects=False, trust_env=False, timeout=TIMEOUT_S) as http,
        OpenAI(
            base_url=base_url,
            api_key=api_key or "none",
            organization="",
            project="",
            timeout=TIMEOUT_S,
            max_retries=0,
            http_client=http,
        ) as client,
    ):
        try:
            listed = client.models.list().data
        except (AttributeError, TypeError) as error:
            # What the SDK makes of a page that is no JSON, or of JSON that is no page.
            raise NoModelList from error
    if not isinstance(listed, list):
        raise NoModelList
    return len(listed)


class CheckedTransport(httpx2.BaseTransport):
    """Connects to an address that was looked at, and not to whatever the name means a moment later."""

    def __init__(self, allowed: Networks | None, give_up_at: float) -> None:
        self._allowed, self._give_up_at = allowed, give_up_at
        self._inner = httpx2.HTTPTransport(trust_env=False)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises BadDestination before anything is sent, TooSlow, TooLarge."""
        if self._allowed is not None:
            self._aim(request, self._allowed)
        # Unpacked, an answer could be a thousand times its size.
        request.headers["accept-encoding"] = "identity"
        answer = self._inner.handle_request(request)
        body = self._bounded(answer)
        headers = {"content-type": answer.headers.get("content-type", "")}
        return httpx2.Response(answer.status_code, headers=headers, content=body, request=request)

    def _aim(self, request: httpx2.Request, allowed: Networks) -> None:
        host = request.url.host
        addresses = destinations.resolve([host])[host]
        if not addresses:
            raise destinations.BadDestination(destinations.Wrong.UNKNOWN_HOST)
        if any(destinations.is_refused(address, allowed) for address in addresses):
            raise destinations.BadDestination(destinations.Wrong.PRIVATE)
        # The certificate and the Host header are still those of the name.
        request.extensions = {**request.extensions, "sni_hostname": host}
        request.url = request.url.copy_with(host=addresses[0])

    def _bounded(self, answer: httpx2.Response) -> bytes:
        body = bytearray()
        try:
            for piece in answer.iter_raw():
                body += piece
                if len(body) > MOST_ANSWER_BYTES:
                    raise TooLarge("more than any list of models")
                if time.monotonic() > self._give_up_at:
                    raise TooSlow("not at its end in time")
        finally:
            answer.close()
        return bytes(body)

    def close(self) -> None:
        self._inner.close()
