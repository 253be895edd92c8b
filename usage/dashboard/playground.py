"""The playground: a page that calls this gateway from the browser, with a key that only the page's memory holds.

Prompts and answers pass between the browser and the gateway; nothing of them reaches the session, the log or a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from accounts import playground
from accounts.policy import Action, Standing
from usage.dashboard import formats, snippets
from usage.dashboard.frame import in_team
from usage.models import UsageEvent
from usage.reports import calls, offers
from usage.reports.offers import Offer
from usage.reports.span import scope_of

MOST_MESSAGES = 200
MOST_CHARACTERS = 200_000
# About twelve seconds of asking; the shipper usually needs less than one.
MOST_LOOKS = 30
ROW_ID = 18


class Said(msgspec.Struct):
    role: Literal["system", "user", "assistant"]
    content: Annotated[str, msgspec.Meta(max_length=MOST_CHARACTERS)]


class Asked(msgspec.Struct):
    """What the page would send to the gateway."""

    model: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    messages: Annotated[list[Said], msgspec.Meta(min_length=1, max_length=MOST_MESSAGES)]
    stream: bool = False
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    max_completion_tokens: Annotated[int, msgspec.Meta(ge=1, le=2**31)] | None = None


_read = msgspec.json.Decoder(Asked).decode


@in_team(Action.USE_PLAYGROUND)
def page(request: HttpRequest, standing: Standing) -> HttpResponse:
    offered = [offer for offer in offers.on_offer(timezone.now()) if offer.is_chat]
    chosen = _chosen(offered, request.GET.get("model", ""))
    context = {
        "offers": [(offer, _facts(offer), offer.name == chosen) for offer in offered],
        "texts": _texts(),
        "examples": [
            gettext("Explain rate limits to a ten-year-old."),
            gettext("Write a haiku about invoices."),
            gettext("Give me a Python function that reverses words."),
        ],
    }
    return render(request, "dashboard/playground.html", context)


@in_team(Action.USE_PLAYGROUND)
@require_POST
def make_key(request: HttpRequest, standing: Standing) -> HttpResponse:
    """The one answer that holds the secret; the page keeps it in a variable."""
    assert standing.team
    key, secret = playground.make_key(standing.user, standing.team, timezone.now())
    return JsonResponse({"id": key.pk, "secret": secret, "redacted": key.redacted})


@in_team(Action.USE_PLAYGROUND)
@require_POST
def end_key(request: HttpRequest, standing: Standing) -> HttpResponse:
    """Sent by the browser while it leaves the page."""
    assert standing.team
    given = request.POST.get("key", "")
    if given.isascii() and given.isdigit() and len(given) <= ROW_ID:
        playground.end_key(standing.user, standing.team, int(given), timezone.now())
    return HttpResponse(status=204)


@in_team(Action.USE_PLAYGROUND)
def call(request: HttpRequest, standing: Standing) -> HttpResponse:
    """What a call cost, once the ledger has it; until then the line asks again. A call of somebody else is never
    there."""
    request_id = request.GET.get("id", "")
    looks = request.GET.get("looks", "")
    looked = int(looks) if looks in map(str, range(MOST_LOOKS)) else MOST_LOOKS
    event = _own_call(standing, request_id)
    context = {
        "event": event,
        "request_id": request_id if event else request_id[:40],
        "is_worth_asking": event is None and looked < MOST_LOOKS - 1,
        "looks": looked + 1,
    }
    return render(request, "dashboard/playground_call.html", context)


@in_team(Action.USE_PLAYGROUND)
@require_POST
def code(request: HttpRequest, standing: Standing) -> HttpResponse:
    """The page's present request in every SDK."""
    try:
        asked = _read(request.POST.get("request", ""))
    except msgspec.MsgspecError as error:
        raise BadRequest("not a request of the playground") from error
    options = {"temperature": asked.temperature, "max_completion_tokens": asked.max_completion_tokens}
    filling = replace(
        snippets.filling_of(request),
        model=asked.model,
        messages=tuple((said.role, said.content) for said in asked.messages),
        options={
            name: f"{value:g}" if name == "temperature" else str(value)
            for name, value in options.items()
            if value is not None
        },
        is_kept=False,
    )
    snippet = snippets.Snippets(filling)["streaming" if asked.stream else "request"]
    return render(request, "dashboard/playground_code.html", {"snippet": snippet})


def _chosen(offered: Sequence[Offer], wanted: str) -> str:
    names = [offer.name for offer in offered]
    preferred = next((name for name in snippets.PREFERRED if name in names), names[0] if names else "")
    return wanted if wanted in names else preferred


def _facts(offer: Offer) -> str:
    """What stands below the choice of a model."""
    facts = []
    if offer.input_usd is not None and offer.output_usd is not None:
        prices = {"input": formats.unit_price(offer.input_usd), "output": formats.unit_price(offer.output_usd)}
        facts.append(gettext("%(input)s in, %(output)s out per million tokens") % prices)
    else:
        facts.append(gettext("without a price"))
    if offer.context_length is not None:
        facts.append(gettext("%(n)s tokens of context") % {"n": formats.count(offer.context_length)})
    return " · ".join(facts)


def _own_call(standing: Standing, request_id: str) -> UsageEvent | None:
    try:
        id_ = UUID(hex=request_id.removeprefix("req_"))
    except ValueError:
        return None
    owner = None if standing.sees_all_calls else standing.user.pk
    return calls.visible(scope_of(standing.team), owner).filter(pk=id_).first()


def _texts() -> dict[str, Any]:
    """What the script says; it has no texts of its own."""
    return {
        "you": gettext("You"),
        "tokens": gettext("{input} tokens in, {output} out"),
        "reasoning": gettext("{n} of them reasoning"),
        "first": gettext("first token {time}"),
        "total": gettext("{time} in all"),
        "answering": gettext("Answering"),
        "done": gettext("The answer is complete."),
        "stopped": gettext("Stopped. What was delivered until then is charged."),
        "cut": gettext("The answer reached its token limit."),
        "offline": gettext("The gateway cannot be reached. Check your connection."),
        "signed_out": gettext("You are signed out. Reload the page to sign in again."),
        "no_key": gettext("Paste a key first, or let this page make one."),
        "key_made": gettext("{key} is in this page's memory."),
        "wait": gettext("It fits again in {time}."),
        "fits": gettext("It fits now."),
        "empty_answer": gettext("The model gave no text."),
        "seconds": gettext("{n} s"),
        "out_of_range": gettext("A number from {least} to {most}."),
    }
