"""The explorer's choices in the reader's language."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from usage.dashboard import formats
from usage.dashboard.explorer.address import Preset, Span
from usage.reports.explorer.answer import Value
from usage.reports.explorer.question import Compare, Dimension, Grain, Metric, WhyNot

FIRST_STRONG_ISOLATE, POP_ISOLATE = "\u2068", "\u2069"
MOST_IN_SENTENCE = 40
PRESETS = {
    Preset.DAY: _("Yesterday and today"),
    Preset.WEEK: _("Last 7 days"),
    Preset.MONTH: _("Last 30 days"),
    Preset.QUARTER: _("Last 90 days"),
    Preset.YEAR: _("Last 12 months"),
    Preset.THIS_MONTH: _("This month"),
    Preset.LAST_MONTH: _("Last month"),
    Preset.THIS_YEAR: _("This year"),
}
PER_GRAIN = {
    Grain.HOUR: _("per hour"),
    Grain.DAY: _("per day"),
    Grain.WEEK: _("per week"),
    Grain.MONTH: _("per month"),
}
GRAINS = {
    Grain.HOUR: _("Hour"),
    Grain.DAY: _("Day"),
    Grain.WEEK: _("Week"),
    Grain.MONTH: _("Month"),
}
DIMENSIONS = {
    Dimension.MODEL: _("Model"),
    Dimension.KEY: _("Key"),
    Dimension.MEMBER: _("Member"),
    Dimension.TEAM: _("Team"),
    Dimension.PROVIDER: _("Provider"),
    Dimension.TAG: _("Tag"),
}
METRICS = {
    Metric.COST: _("Cost"),
    Metric.COST_PER_REQUEST: _("Cost per request"),
    Metric.TOKENS: _("Tokens, all"),
    Metric.TOKENS_INPUT: _("Tokens, input"),
    Metric.TOKENS_CACHED: _("Tokens, cached input"),
    Metric.TOKENS_CACHE_WRITE: _("Tokens, cache write"),
    Metric.TOKENS_AUDIO_INPUT: _("Tokens, audio input"),
    Metric.TOKENS_OUTPUT: _("Tokens, output"),
    Metric.TOKENS_REASONING: _("Tokens, reasoning"),
    Metric.TOKENS_AUDIO_OUTPUT: _("Tokens, audio output"),
    Metric.CACHE_RATE: _("Cache rate"),
    Metric.REQUESTS: _("Requests"),
    Metric.ERRORS: _("Errors"),
    Metric.ERROR_RATE: _("Error rate"),
    Metric.REFUSED: _("Refused requests"),
    Metric.LATENCY_P50: _("Latency p50"),
    Metric.LATENCY_P95: _("Latency p95"),
    Metric.LATENCY_MEAN: _("Latency, mean"),
    Metric.TTFT_P50: _("First token p50"),
    Metric.TTFT_P95: _("First token p95"),
    Metric.TTFT_MEAN: _("First token, mean"),
}


def metric_name(metric: Metric) -> str:
    return str(METRICS[metric])


def metric_groups() -> list[tuple[str, list[tuple[str, str]]]]:
    """As a menu lists them: (heading, [(value, name)])."""
    groups = (
        (gettext("Money"), (Metric.COST, Metric.COST_PER_REQUEST)),
        (gettext("Tokens"), (*(each for each in Metric if each.startswith("tokens")), Metric.CACHE_RATE)),
        (gettext("Requests"), (Metric.REQUESTS, Metric.ERRORS, Metric.ERROR_RATE, Metric.REFUSED)),
        (pgettext("explorer", "Waiting"), tuple(each for each in Metric if each.startswith(("latency", "ttft")))),
    )
    return [(heading, [(each.value, metric_name(each)) for each in metrics]) for heading, metrics in groups]


def dimension_name(dimension: Dimension) -> str:
    return str(DIMENSIONS[dimension])


def grain_name(grain: Grain) -> str:
    return str(GRAINS[grain])


def per_grain(grain: Grain) -> str:
    return str(PER_GRAIN[grain])


def compare_name(compare: Compare) -> str:
    return {
        Compare.NONE: pgettext("explorer", "Nothing"),
        Compare.BEFORE: gettext("The time before"),
        Compare.YEAR: gettext("A year before"),
    }[compare]


def preset_name(preset: Preset) -> str:
    return str(PRESETS[preset])


def span_name(span: Span) -> str:
    return preset_name(span) if isinstance(span, Preset) else days_name(span.first, span.last)


def days_name(first: date, last: date) -> str:
    """`21 Oct – 19 Nov 2026`, `19 Nov 2026`; the year twice where there are two."""
    if first == last:
        return formats.full_day(last)
    if first.year != last.year:
        return f"{formats.full_day(first)} – {formats.full_day(last)}"
    start = formats.dated(first, pgettext("first day of a span", "j M"))
    return f"{start} – {formats.dated(last, pgettext('last day of a span', 'j M Y'))}"


def value_name(dimension: Dimension | None, value: Value | None) -> str:
    """What a row or a chip calls it. Nothing is said in words: untagged, without a key."""
    if value is None:
        return ""
    return value.name or nothing_name(dimension)


def joined(parts: Iterable[str]) -> str:
    """Side by side in one line. Each keeps its own direction: names may hold right-to-left marks."""
    given = [part for part in parts if part]
    return " · ".join(given) if len(given) < 2 else " · ".join(isolated(part) for part in given)


def isolated(name: str) -> str:
    return f"{FIRST_STRONG_ISOLATE}{name}{POP_ISOLATE}"


def in_sentence(name: str) -> str:
    """Of a bearable length, and without turning the sentence around."""
    return isolated(name if len(name) <= MOST_IN_SENTENCE else f"{name[: MOST_IN_SENTENCE - 1]}…")


def nothing_name(dimension: Dimension | None) -> str:
    if dimension is Dimension.TAG:
        return gettext("untagged")
    if dimension is Dimension.PROVIDER:
        return gettext("not sent on")
    if dimension is Dimension.MEMBER:
        return gettext("nobody")
    return gettext("none")


def why_not_text(reason: WhyNot) -> str:
    return {
        WhyNot.KEY_AND_MODEL: gettext(
            "Percentiles are kept by key and by model, not by both at once. The mean is kept for every combination."
        ),
        WhyNot.PERCENTILE_BY_HOUR: gettext("Percentiles are kept by day."),
        WhyNot.TOO_LONG_FOR_HOURS: gettext("Hours are shown for spans of up to 14 days."),
        WhyNot.TOO_OLD_FOR_HOURS: gettext("Hours are kept for 90 days."),
        WhyNot.TOO_LONG: gettext("This span is too long: three years at most."),
        WhyNot.TEAM_IN_TEAM: gettext("Teams are compared on the whole instance."),
    }.get(reason, gettext("This question has no answer."))


# Moments of the time axis ---------------------------------------------------------------------------------------------


def bucket_names(starts: Sequence[datetime], grain: Grain) -> list[str]:
    """In full, as the card over the chart says it."""
    if grain is Grain.WEEK:
        return [days_name(start.date(), start.date() + timedelta(days=6)) for start in starts]
    if grain is Grain.HOUR:
        pattern = pgettext("date format", "D j M")
        return [f"{formats.dated(start, pattern)}, {start:%H:%M}" for start in starts]
    pattern = pgettext("date format", "F Y") if grain is Grain.MONTH else pgettext("date format", "D j M Y")
    return [formats.dated(start, pattern) for start in starts]


def bucket_short(start: datetime, grain: Grain, names_day: bool = False) -> str:
    """Below the axis."""
    if grain is Grain.HOUR and not names_day:
        return f"{start:%H:%M}"
    if grain is Grain.MONTH:
        return formats.dated(start, pgettext("date format", "M Y"))
    return formats.day(start)
