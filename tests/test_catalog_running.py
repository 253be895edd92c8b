"""Models, routes and prices on the running product: what an administrator changes, the gateway does."""

from __future__ import annotations

import json
import time

import openai
import pytest

from tests.product import Running, SignedIn, eventually, found

NAME = "ada-made-this"
# What is promised, and what the look itself takes.
SOON_S = 2.0 + 0.5


def test_a_model_made_in_the_pages_answers_within_two_seconds_and_one_switched_off_is_not_found(
    product: Running,
) -> None:
    grace = SignedIn(product)
    fields = {"display_name": "Ada's", "owned_by": "Ada", "kind": "chat", "encoding": "o200k_base"}
    grace.submit("/instance/models/new/", {"name": NAME, **fields, "enabled": "on"})
    page = grace.at
    provider = found(r'<option value="(\d+)"', grace.get(f"{page}routes/new/"))
    grace.submit(f"{page}routes/new/", {"provider": provider, "upstream_model": "gpt-4"})
    assert _status_within_two_seconds(product, 200) == 200
    with openai.OpenAI(base_url=product.base_url, api_key=product.key, max_retries=0) as ada:
        answer = ada.chat.completions.create(model=NAME, messages=[{"role": "user", "content": "Are you there?"}])
        assert answer.choices[0].message.content
        assert _price(product) == {"input_tokens_cost_per_million": 30.0, "output_tokens_cost_per_million": 60.0}

        grace.submit(f"{page}change/", fields)
        assert _status_within_two_seconds(product, 404) == 404
        with pytest.raises(openai.NotFoundError) as refused:
            ada.chat.completions.create(model=NAME, messages=[{"role": "user", "content": "And now?"}])
        assert refused.value.code == "model_not_found"


def _status_within_two_seconds(product: Running, wanted: int) -> int:
    began = time.monotonic()
    status = eventually(lambda: product.get(f"/v1/models/{NAME}", product.key)[0], lambda seen: seen == wanted)
    assert time.monotonic() - began < SOON_S
    return status


def _price(product: Running) -> dict[str, float]:
    shown = json.loads(product.get(f"/v1/models/{NAME}", product.key)[1])["pricing"]
    assert shown.pop("currency") == "USD"
    return dict(shown)
