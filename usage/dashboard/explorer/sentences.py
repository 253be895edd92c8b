"""A part of the change, in words: what was longer, dearer or more."""

from __future__ import annotations

from django.utils.translation import gettext, pgettext

from usage.dashboard import formats
from usage.dashboard.explorer import words
from usage.reports.explorer.why import Cause, Part, Share, Side, Why

# Below this a length is as it was.
HARDLY = 0.005


def cause_name(cause: Cause) -> str:
    return {
        Cause.VOLUME: gettext("Volume"),
        Cause.MODEL_MIX: gettext("Model mix"),
        Cause.PROMPT_LENGTH: gettext("Prompt length"),
        Cause.OUTPUT_LENGTH: gettext("Output length"),
        Cause.CACHE_RATE: gettext("Cache rate"),
        Cause.PRICE: pgettext("explorer", "Price"),
    }[cause]


def of_part(part: Part, found: Why) -> str:
    """What did it. Lengths and rates are told of the model in which they did most: over all models together they also
    move with the mix."""
    if not part.nano_usd:
        return gettext("no difference")
    if part.kind is Cause.VOLUME:
        return _calls(found.before, found.after)
    if part.kind is Cause.MODEL_MIX:
        return _mix(part, found)
    share = _foremost(part, found)
    if share is None or share.value is None:
        return ""
    sentence = _of_side(part.kind, part.nano_usd, share.before, share.after)
    if len(found.models) == 1 or not sentence:
        return sentence
    return gettext("%(sentence)s, mostly in %(model)s") % {
        "sentence": sentence,
        "model": words.in_sentence(share.value.name),
    }


def of_share(share: Share) -> str:
    """What changed about one key or model."""
    if share.is_new:
        return gettext("new: not used before")
    if share.is_gone:
        return gettext("no longer used")
    main = share.main_part
    if not main.nano_usd:
        return ""
    if main.kind is Cause.VOLUME:
        return _calls(share.before, share.after)
    if main.kind is Cause.MODEL_MIX:
        return gettext("dearer models") if main.nano_usd > 0 else gettext("cheaper models")
    return _of_side(main.kind, main.nano_usd, share.before, share.after)


def _calls(before: Side, after: Side) -> str:
    counts = {"before": formats.compact(before.calls), "after": formats.compact(after.calls)}
    if not before.calls:
        return gettext("%(after)s requests, none before") % counts
    counts["change"] = formats.percent(abs(after.calls - before.calls) / before.calls)
    if after.calls == before.calls:
        return gettext("as many requests, %(after)s") % counts
    if after.calls > before.calls:
        return gettext("%(change)s more requests, %(before)s → %(after)s") % counts
    return gettext("%(change)s fewer requests, %(before)s → %(after)s") % counts


def _mix(part: Part, found: Why) -> str:
    """The model whose part of all requests moved the mean cost of a request most, in the direction in which it went."""
    sign = 1 if part.nano_usd > 0 else -1
    effects = [
        (sign * _mix_effect(share, found), place, share) for place, share in enumerate(found.models) if share.value
    ]
    best = max(effects, default=None, key=lambda each: (each[0], -each[1]))
    if best is None or best[0] <= 0:
        return gettext("dearer models") if sign > 0 else gettext("cheaper models")
    share = best[2]
    assert share.value
    before, after = _part_of_calls(share, found)
    figures = {
        "model": words.in_sentence(share.value.name),
        "before": formats.percent(before),
        "after": formats.percent(after),
    }
    if after > before:
        return gettext("more requests to %(model)s, %(before)s → %(after)s of all") % figures
    return gettext("fewer requests to %(model)s, %(before)s → %(after)s of all") % figures


def _mix_effect(share: Share, found: Why) -> float:
    """Its step in the mix, times how much dearer a request of it is than one of all."""
    before, after = _part_of_calls(share, found)
    side = share.before if share.before.calls else share.after
    if not side.calls or not found.before.calls:
        return 0.0
    mean = found.before.cost_nano_usd / found.before.calls
    return (after - before) * (side.cost_nano_usd / side.calls - mean)


def _part_of_calls(share: Share, found: Why) -> tuple[float, float]:
    before, after = found.before.calls, found.after.calls
    return share.before.calls / before if before else 0.0, share.after.calls / after if after else 0.0


def _foremost(part: Part, found: Why) -> Share | None:
    """The model in which this cause did most, in the direction in which it went."""
    sign = 1 if part.nano_usd > 0 else -1
    effects = [
        (sign * own.nano_usd, place, share)
        for place, share in enumerate(found.models)
        for own in share.parts
        if own.kind is part.kind and share.value
    ]
    best = max(effects, default=None, key=lambda each: (each[0], -each[1]))
    return best[2] if best and best[0] > 0 else None


def _of_side(cause: Cause, nano_usd: int, before: Side, after: Side) -> str:
    if cause is Cause.PROMPT_LENGTH:
        return _length(before.prompt_length, after.prompt_length, is_prompt=True)
    if cause is Cause.OUTPUT_LENGTH:
        return _length(before.output_length, after.output_length, is_prompt=False)
    if cause is Cause.CACHE_RATE:
        return _cache(before.cache_rate, after.cache_rate)
    return gettext("the same tokens cost more") if nano_usd > 0 else gettext("the same tokens cost less")


def _length(before: float | None, after: float | None, is_prompt: bool) -> str:
    if not before or after is None:
        return ""
    rise = (after - before) / before
    figures = {
        "change": formats.percent(abs(rise)),
        "before": formats.count(round(before)),
        "after": formats.count(round(after)),
    }
    if abs(rise) < HARDLY:
        return ""
    if is_prompt and rise > 0:
        return gettext("prompts %(change)s longer, %(before)s → %(after)s tokens a request") % figures
    if is_prompt:
        return gettext("prompts %(change)s shorter, %(before)s → %(after)s tokens a request") % figures
    if rise > 0:
        return gettext("answers %(change)s longer, %(before)s → %(after)s tokens a request") % figures
    return gettext("answers %(change)s shorter, %(before)s → %(after)s tokens a request") % figures


def _cache(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return ""
    figures = {"before": formats.percent(before), "after": formats.percent(after)}
    return gettext("%(before)s → %(after)s of prompt tokens from the cache") % figures
