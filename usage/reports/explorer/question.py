"""What can be asked, in values. Pure: no rows, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum

from usage.reports.span import month_number, month_shifted

MOST_SERIES = 20
USUAL_SERIES = 9
# Hours come from quarter hours, which are kept 90 days; more than two weeks of hours is no longer a picture.
HOURS_REACH_BACK_DAYS = 89
MOST_HOUR_DAYS = 14
MOST_DAYS = 1100


class Metric(StrEnum):
    """Durations are microseconds, cost is integer nano-USD, rates are 0 to 1."""

    COST = "cost"
    TOKENS = "tokens"
    TOKENS_INPUT = "tokens_input"
    TOKENS_CACHED = "tokens_cached"
    TOKENS_CACHE_WRITE = "tokens_cache_write"
    TOKENS_AUDIO_INPUT = "tokens_audio_input"
    TOKENS_OUTPUT = "tokens_output"
    TOKENS_REASONING = "tokens_reasoning"
    TOKENS_AUDIO_OUTPUT = "tokens_audio_output"
    REQUESTS = "requests"
    ERRORS = "errors"
    REFUSED = "refused"
    ERROR_RATE = "error_rate"
    CACHE_RATE = "cache_rate"
    COST_PER_REQUEST = "cost_per_request"
    LATENCY_P50 = "latency_p50"
    LATENCY_P95 = "latency_p95"
    LATENCY_MEAN = "latency_mean"
    TTFT_P50 = "ttft_p50"
    TTFT_P95 = "ttft_p95"
    TTFT_MEAN = "ttft_mean"

    @property
    def adds_up(self) -> bool:
        """Whether groups may be stacked, summed as "other" and accumulated."""
        return self not in _DO_NOT_ADD_UP

    @property
    def is_percentile(self) -> bool:
        return self in PERCENTILES


# The share of calls that a percentile is above, and which duration it is of.
PERCENTILES: Mapping[Metric, tuple[str, float]] = {
    Metric.LATENCY_P50: ("latency", 0.50),
    Metric.LATENCY_P95: ("latency", 0.95),
    Metric.TTFT_P50: ("ttft", 0.50),
    Metric.TTFT_P95: ("ttft", 0.95),
}
_DO_NOT_ADD_UP = frozenset(
    {
        *PERCENTILES,
        Metric.ERROR_RATE,
        Metric.CACHE_RATE,
        Metric.COST_PER_REQUEST,
        Metric.LATENCY_MEAN,
        Metric.TTFT_MEAN,
    }
)


class Dimension(StrEnum):
    MODEL = "model"
    KEY = "key"
    # Who created the key.
    MEMBER = "member"
    # On the whole instance only.
    TEAM = "team"
    PROVIDER = "provider"
    # The key's tag.
    TAG = "tag"


OF_KEYS = frozenset({Dimension.KEY, Dimension.MEMBER, Dimension.TAG})
OF_MODELS = frozenset({Dimension.MODEL, Dimension.PROVIDER})


class Grain(StrEnum):
    HOUR = "hour"
    DAY = "day"
    # Mondays to Sundays.
    WEEK = "week"
    MONTH = "month"


class Compare(StrEnum):
    NONE = "none"
    # As long, shifted by whole weeks so that weekdays match; for months, the months before.
    BEFORE = "before"
    # 52 weeks earlier; for months, 12 months.
    YEAR = "year"


class WhyNot(StrEnum):
    """Why a question has no answer; "" is none of these: it has one."""

    ANSWERED = ""
    SAME_TWICE = "the group and the subgroup are the same"
    SUBGROUP_ALONE = "a subgroup without a group"
    TEAM_IN_TEAM = "teams are for the whole instance"
    # Bins are kept by model and provider, and by key, but not by both: that would be as many rows as events.
    KEY_AND_MODEL = "percentiles are kept by key or by model, not by both"
    PERCENTILE_BY_HOUR = "percentiles are kept by day"
    TOO_LONG_FOR_HOURS = "hours are for spans of at most 14 days"
    TOO_OLD_FOR_HOURS = "quarter hours are kept 90 days"
    TOO_LONG = "the span is too long"
    BACKWARDS = "the last day is before the first"


@dataclass(frozen=True)
class Question:
    """`first_day` to `last_day`, both counted in, on the scope's own calendar.

    Filters name values by id ("" is none: untagged, no key, never sent to a provider); several values of one dimension
    mean any of them, several dimensions mean all of them.
    """

    metric: Metric
    group: Dimension | None
    subgroup: Dimension | None
    grain: Grain
    first_day: date
    last_day: date
    filters: Mapping[Dimension, tuple[str, ...]] = field(default_factory=dict)
    # What is left out, by id as well.
    without: Mapping[Dimension, tuple[str, ...]] = field(default_factory=dict)
    top: int = USUAL_SERIES
    cumulative: bool = False
    compare: Compare = Compare.NONE

    @property
    def days(self) -> int:
        return (self.last_day - self.first_day).days + 1

    @property
    def dimensions(self) -> frozenset[Dimension]:
        """Those that the answer's table has to know: grouped by or filtered by."""
        grouped = {dimension for dimension in (self.group, self.subgroup) if dimension}
        held = (*self.filters.items(), *self.without.items())
        return frozenset(grouped | {dimension for dimension, values in held if values})

    @property
    def before(self) -> Question | None:
        """The question about the span it is compared with."""
        if self.compare is Compare.NONE:
            return None
        if self.grain is Grain.MONTH:
            months = self._months_back()
            first, last = month_shifted(self.first_day, -months), month_shifted(self.last_day, -months)
        else:
            first, last = self.first_day - self._days_back(), self.last_day - self._days_back()
        return replace(self, first_day=first, last_day=last, compare=Compare.NONE)

    def _days_back(self) -> timedelta:
        """Whole weeks, at least as long as the span: the two never overlap."""
        weeks = -(-self.days // 7)
        return timedelta(weeks=max(weeks, 52) if self.compare is Compare.YEAR else weeks)

    def _months_back(self) -> int:
        months = month_number(self.last_day) - month_number(self.first_day) + 1
        return -(-months // 12) * 12 if self.compare is Compare.YEAR else months


def allowed(metric: Metric, group: Dimension | None, subgroup: Dimension | None, is_instance: bool = False) -> bool:
    """Whether the metric is kept by these dimensions: what a menu offers."""
    return why_not_by(metric, frozenset({group, subgroup} - {None}), is_instance) is WhyNot.ANSWERED and (
        group is not subgroup if subgroup else True
    )


def why_not_by(metric: Metric, dimensions: frozenset[Dimension | None], is_instance: bool) -> WhyNot:
    if Dimension.TEAM in dimensions and not is_instance:
        return WhyNot.TEAM_IN_TEAM
    if metric.is_percentile and dimensions & OF_KEYS and dimensions & OF_MODELS:
        return WhyNot.KEY_AND_MODEL
    return WhyNot.ANSWERED


def why_not(question: Question, today: date, is_instance: bool) -> WhyNot:
    """`today` is on the scope's calendar. Filters count as dimensions: they too have to be known."""
    if question.last_day < question.first_day:
        return WhyNot.BACKWARDS
    if question.days > MOST_DAYS:
        return WhyNot.TOO_LONG
    if question.subgroup and not question.group:
        return WhyNot.SUBGROUP_ALONE
    if question.subgroup and question.subgroup is question.group:
        return WhyNot.SAME_TWICE
    if question.grain is Grain.HOUR and (reason := _why_no_hours(question, today)):
        return reason
    return why_not_by(question.metric, frozenset(question.dimensions), is_instance)


def _why_no_hours(question: Question, today: date) -> WhyNot:
    if question.metric.is_percentile:
        return WhyNot.PERCENTILE_BY_HOUR
    if question.days > MOST_HOUR_DAYS:
        return WhyNot.TOO_LONG_FOR_HOURS
    if question.first_day < today - timedelta(days=HOURS_REACH_BACK_DAYS):
        return WhyNot.TOO_OLD_FOR_HOURS
    return WhyNot.ANSWERED
