"""The rows both paths share: the catalogue, dated prices, events and the buckets derived from them.

Money is integers in nano-USD. Times are UTC. Unknown is null, never zero.
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey, Followed, Team
from usage import vault

QUARTER_S = 900
# Days are counted from 1970-01-01 in the zone's local calendar; quarter hours are epoch seconds // 900.
WHOLE_INSTANCE = 0
NO_KEY = 0


class TokenClass(models.TextChoices):
    """Exclusive classes: a token is in exactly one, so that the classes add up to the total."""

    INPUT = "input", _("input")
    CACHED = "cached", _("cached input")
    CACHE_WRITE = "cache_write", _("cache write")
    AUDIO_INPUT = "audio_input", _("audio input")
    OUTPUT = "output", _("output")
    REASONING = "reasoning", _("reasoning")
    AUDIO_OUTPUT = "audio_output", _("audio output")


INPUT_CLASSES = ("input", "cached", "cache_write", "audio_input")
OUTPUT_CLASSES = ("output", "reasoning", "audio_output")


class Outcome(models.TextChoices):
    OK = "ok", _("ok")
    CLIENT_ABORT = "client_abort", _("caller hung up")
    UPSTREAM_ERROR = "upstream_error", _("provider error")
    INTERRUPTED = "interrupted", _("interrupted")
    REFUSED = "refused", _("refused")


class Origin(models.TextChoices):
    """Where the token count came from."""

    PROVIDER = "provider", _("reported by the provider")
    COUNTED = "counted", _("counted by us")
    PARTIAL = "partial", _("partial, the caller hung up")
    NONE = "none", _("unknown")


# The catalogue ------------------------------------------------------------------------------------------------------


class Provider(Followed):
    """Where calls are sent. The secret is encrypted and bound to this row's id."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    base_url = models.URLField(_("base URL"), max_length=500)
    sealed_api_key = models.TextField(blank=True)
    # Whose list prices apply: a provider id of genai-prices.
    price_book = models.CharField(_("price book"), max_length=64, default="openai")
    is_sandbox = models.BooleanField(default=False)
    # Its address came from this machine's own environment, so it may be in a private network.
    may_be_private = models.BooleanField(default=False)
    enabled = models.BooleanField(_("enabled"), default=True)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name

    @property
    def api_key(self) -> str:
        return vault.open_sealed(self.sealed_api_key, bound_to=f"provider:{self.pk}") if self.sealed_api_key else ""

    def seal_api_key(self, secret: str) -> None:
        """Needs a saved row: the ciphertext is bound to the id, so that it cannot be moved to another provider."""
        self.sealed_api_key = vault.seal(secret, bound_to=f"provider:{self.pk}") if secret else ""


class ProviderHealth(models.Model):
    """The last look at a provider, by the Celery task. Not followed: it changes each minute and no call depends on
    it."""

    provider = models.OneToOneField(Provider, on_delete=models.CASCADE, related_name="health", primary_key=True)
    checked_at = models.DateTimeField()
    is_up = models.BooleanField()
    latency_ms = models.PositiveIntegerField(null=True)
    models_seen = models.PositiveIntegerField(null=True)
    error = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return f"{self.provider}: {'up' if self.is_up else 'down'}"


class Model(Followed):
    """A model that callers may ask for by its public name."""

    class Kind(models.TextChoices):
        CHAT = "chat", _("chat")
        EMBEDDING = "embedding", _("embedding")

    name = models.CharField(max_length=200, unique=True)
    display_name = models.CharField(max_length=200)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.CHAT)
    owned_by = models.CharField(max_length=100)
    released_at = models.DateTimeField()
    shutdown_date = models.DateField(null=True, blank=True)
    context_length = models.PositiveIntegerField(null=True)
    max_output_tokens = models.PositiveIntegerField(null=True)
    capabilities = models.JSONField(default=list)
    # A name that toktok knows; counts are exact only where the provider really uses it.
    encoding = models.CharField(max_length=32, default="o200k_base")
    has_exact_encoding = models.BooleanField(default=True)
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Route(Followed):
    """Which provider answers for a public model, and under what name. Lower priority is tried first."""

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="routes")
    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="routes")
    upstream_model = models.CharField(max_length=200)
    priority = models.PositiveSmallIntegerField(default=0)
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ("priority", "id")
        constraints = [
            models.UniqueConstraint(fields=["model", "provider", "upstream_model"], name="one_route_a_target")
        ]

    def __str__(self) -> str:
        return f"{self.model_id} -> {self.provider_id} as {self.upstream_model}"


class PriceVersion(Followed):
    """The prices of one model of one price book and service tier, for a span of time. A change is a new row.

    Where a version that an administrator set and a seeded one both cover a moment, the administrator's applies.
    """

    BY_HAND: ClassVar[str] = "administrator"

    price_book = models.CharField(max_length=64)
    model = models.CharField(max_length=200)
    # "" is the standard tier; others are "flex", "priority", "batch".
    service_tier = models.CharField(max_length=20, blank=True)
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True)
    source = models.CharField(max_length=100)
    # Who set it by hand, and why; seeded versions have neither.
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    note = models.CharField(_("note"), max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("price_book", "model", "service_tier", "valid_from")
        constraints = [
            models.UniqueConstraint(
                fields=["price_book", "model", "service_tier", "valid_from", "source"], name="one_price_version_a_start"
            ),
            models.CheckConstraint(
                condition=Q(valid_to=None) | Q(valid_to__gt=F("valid_from")), name="price_span_is_forward"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.price_book}/{self.model} {self.service_tier or 'standard'} from {self.valid_from:%Y-%m-%d}"

    @property
    def is_by_hand(self) -> bool:
        return self.source == self.BY_HAND


class Price(models.Model):
    """USD per million tokens of one class; `above_input_tokens` > 0 replaces it for calls with a longer prompt."""

    version = models.ForeignKey(PriceVersion, on_delete=models.CASCADE, related_name="prices")
    token_class = models.CharField(max_length=16, choices=TokenClass)
    above_input_tokens = models.PositiveIntegerField(default=0)
    usd_per_million = models.DecimalField(max_digits=18, decimal_places=9)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["version", "token_class", "above_input_tokens"], name="one_price_a_class")
        ]

    def __str__(self) -> str:
        return f"{self.token_class} {self.usd_per_million}"


# Events -------------------------------------------------------------------------------------------------------------


class Usage(models.Model):
    """Token counts and their cost, by class. Shared by events and their attempts. Null is unknown."""

    input_tokens = models.BigIntegerField(null=True)
    cached_tokens = models.BigIntegerField(null=True)
    cache_write_tokens = models.BigIntegerField(null=True)
    audio_input_tokens = models.BigIntegerField(null=True)
    output_tokens = models.BigIntegerField(null=True)
    reasoning_tokens = models.BigIntegerField(null=True)
    audio_output_tokens = models.BigIntegerField(null=True)
    input_cost_nano_usd = models.BigIntegerField(null=True)
    cached_cost_nano_usd = models.BigIntegerField(null=True)
    cache_write_cost_nano_usd = models.BigIntegerField(null=True)
    audio_input_cost_nano_usd = models.BigIntegerField(null=True)
    output_cost_nano_usd = models.BigIntegerField(null=True)
    reasoning_cost_nano_usd = models.BigIntegerField(null=True)
    audio_output_cost_nano_usd = models.BigIntegerField(null=True)
    cost_nano_usd = models.BigIntegerField(null=True)
    origin = models.CharField(max_length=8, choices=Origin, default=Origin.NONE)
    price_version = models.ForeignKey(
        PriceVersion, on_delete=models.DO_NOTHING, null=True, db_constraint=False, db_index=False
    )

    class Meta:
        abstract = True

    @property
    def prompt_tokens(self) -> int | None:
        return _sum_or_unknown(getattr(self, f"{name}_tokens") for name in INPUT_CLASSES)

    @property
    def completion_tokens(self) -> int | None:
        return _sum_or_unknown(getattr(self, f"{name}_tokens") for name in OUTPUT_CLASSES)


class UsageEvent(Usage):
    """One call. Append-only, keyed by our own UUIDv7, which is also the time index."""

    id = models.UUIDField(primary_key=True)
    started_at = models.DateTimeField()
    team = models.ForeignKey(Team, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    key = models.ForeignKey(ApiKey, on_delete=models.DO_NOTHING, null=True, db_constraint=False, db_index=False)
    # The caller's own `safety_identifier` or `user`.
    end_user = models.CharField(max_length=200, blank=True)
    endpoint = models.CharField(max_length=20)
    requested_model = models.CharField(max_length=200)
    # The catalogue's name of the model that answered, and what the provider itself called it.
    served_model = models.CharField(max_length=200)
    upstream_model = models.CharField(max_length=200, blank=True)
    provider = models.CharField(max_length=100, blank=True)
    streamed = models.BooleanField(default=False)
    # What the caller got; 499 when the caller hung up, null when the gateway died before it could say.
    status = models.PositiveSmallIntegerField(null=True)
    outcome = models.CharField(max_length=16, choices=Outcome)
    error_code = models.CharField(max_length=100, blank=True)
    finish_reason = models.CharField(max_length=40, blank=True)
    service_tier = models.CharField(max_length=20, blank=True)
    latency_us = models.BigIntegerField(null=True)
    ttft_us = models.BigIntegerField(null=True)
    sdk_retry_count = models.PositiveSmallIntegerField(default=0)
    client_request_id = models.CharField(max_length=200, blank=True)
    upstream_request_id = models.CharField(max_length=200, blank=True)
    metadata = models.JSONField(default=dict)
    # For `refused`: which limit, what was asked, what was left, when it would have fitted.
    refusal = models.JSONField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["team", "-id"], name="event_team"),
            models.Index(fields=["key", "-id"], name="event_key"),
            models.Index(fields=["team", "-id"], name="event_not_ok", condition=~Q(outcome="ok")),
            # The same for the whole instance.
            models.Index(fields=["-id"], name="event_not_ok_anywhere", condition=~Q(outcome="ok")),
        ]

    def __str__(self) -> str:
        return self.request_id

    @property
    def request_id(self) -> str:
        """The value of the answer's `x-request-id`."""
        return f"req_{self.id.hex}"


class UsageAttempt(Usage):
    """One try at a provider within a call; kept only for calls that needed more than one."""

    event = models.ForeignKey(UsageEvent, on_delete=models.DO_NOTHING, related_name="attempts", db_constraint=False)
    position = models.PositiveSmallIntegerField()
    model = models.CharField(max_length=200)
    provider = models.CharField(max_length=100)
    status = models.PositiveSmallIntegerField(null=True)
    error_code = models.CharField(max_length=100, blank=True)
    latency_us = models.BigIntegerField()
    upstream_request_id = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ("event_id", "position")
        constraints = [models.UniqueConstraint(fields=["event", "position"], name="one_attempt_a_position")]

    def __str__(self) -> str:
        return f"{self.event_id} #{self.position}"


# Buckets: derived from events, rebuildable, written only by the ledger
# ---------------------------------------------------


class Measures(models.Model):
    """What every bucket adds up. Sums of known numbers; `unpriced_calls` says how many calls' cost is missing."""

    ok_calls = models.BigIntegerField(default=0)
    client_abort_calls = models.BigIntegerField(default=0)
    upstream_error_calls = models.BigIntegerField(default=0)
    interrupted_calls = models.BigIntegerField(default=0)
    refused_calls = models.BigIntegerField(default=0)
    unpriced_calls = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    audio_input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    audio_output_tokens = models.BigIntegerField(default=0)
    input_cost_nano_usd = models.BigIntegerField(default=0)
    cached_cost_nano_usd = models.BigIntegerField(default=0)
    cache_write_cost_nano_usd = models.BigIntegerField(default=0)
    audio_input_cost_nano_usd = models.BigIntegerField(default=0)
    output_cost_nano_usd = models.BigIntegerField(default=0)
    reasoning_cost_nano_usd = models.BigIntegerField(default=0)
    audio_output_cost_nano_usd = models.BigIntegerField(default=0)
    # The total, and the parts of it that are estimates.
    cost_nano_usd = models.BigIntegerField(default=0)
    counted_cost_nano_usd = models.BigIntegerField(default=0)
    partial_cost_nano_usd = models.BigIntegerField(default=0)
    # The parts of it that bought nothing useful.
    client_abort_cost_nano_usd = models.BigIntegerField(default=0)
    upstream_error_cost_nano_usd = models.BigIntegerField(default=0)
    interrupted_cost_nano_usd = models.BigIntegerField(default=0)
    # Of calls that went well; the sums give means for every grouping, where bins are kept for a few only.
    latency_us = models.BigIntegerField(default=0)
    latency_calls = models.BigIntegerField(default=0)
    ttft_us = models.BigIntegerField(default=0)
    ttft_calls = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


MEASURES: tuple[str, ...] = tuple(field.name for field in Measures._meta.local_fields)


class QuarterBucket(Measures):
    """Quarter hours with all dimensions, in UTC. Kept 90 days; days are rebuilt from it when a time zone changes."""

    pk = models.CompositePrimaryKey("slot", "team_id", "key_id", "model", "provider", "service_tier")
    slot = models.IntegerField()
    team_id = models.BigIntegerField()
    key_id = models.BigIntegerField()
    model = models.CharField(max_length=200)
    provider = models.CharField(max_length=100)
    service_tier = models.CharField(max_length=20)
    KEYS: ClassVar[tuple[str, ...]] = ("slot", "team_id", "key_id", "model", "provider", "service_tier")

    class Meta:
        indexes = [models.Index(fields=["team_id", "slot"], name="quarter_team")]


class QuarterModelBucket(Measures):
    """Quarter hours by model and provider, in UTC, kept as long; team 0 is the whole instance. At ten million calls an
    eighth of the rows that have keys, and a fourth for a team."""

    pk = models.CompositePrimaryKey("team_id", "slot", "model", "provider")
    team_id = models.BigIntegerField()
    slot = models.IntegerField()
    model = models.CharField(max_length=200)
    provider = models.CharField(max_length=100)
    KEYS: ClassVar[tuple[str, ...]] = ("team_id", "slot", "model", "provider")

    class Meta:
        indexes = [models.Index(fields=["slot"], name="quarter_model_slot")]


class DayKeyBucket(Measures):
    """Days by key, model and provider. `zone` is the time zone whose calendar `day` follows; UTC is always kept too."""

    pk = models.CompositePrimaryKey("zone", "team_id", "key_id", "day", "model", "provider")
    zone = models.CharField(max_length=64)
    team_id = models.BigIntegerField()
    key_id = models.BigIntegerField()
    day = models.IntegerField()
    model = models.CharField(max_length=200)
    provider = models.CharField(max_length=100)
    KEYS: ClassVar[tuple[str, ...]] = ("zone", "team_id", "key_id", "day", "model", "provider")

    class Meta:
        indexes = [models.Index(fields=["zone", "day"], name="day_key_span")]


class DayModelBucket(Measures):
    """Days by model and provider; team 0 is the whole instance."""

    pk = models.CompositePrimaryKey("zone", "team_id", "day", "model", "provider")
    zone = models.CharField(max_length=64)
    team_id = models.BigIntegerField()
    day = models.IntegerField()
    model = models.CharField(max_length=200)
    provider = models.CharField(max_length=100)
    KEYS: ClassVar[tuple[str, ...]] = ("zone", "team_id", "day", "model", "provider")


class MonthKeyBucket(Measures):
    """Months (year * 12 + month - 1) by key, model and provider."""

    pk = models.CompositePrimaryKey("zone", "month", "team_id", "key_id", "model", "provider")
    zone = models.CharField(max_length=64)
    month = models.IntegerField()
    team_id = models.BigIntegerField()
    key_id = models.BigIntegerField()
    model = models.CharField(max_length=200)
    provider = models.CharField(max_length=100)
    KEYS: ClassVar[tuple[str, ...]] = ("zone", "month", "team_id", "key_id", "model", "provider")


class LatencyBins(models.Model):
    """How many calls took how long, in log-scale bins a quarter of an octave wide: percentiles merge exactly.

    Bin b holds durations from 2 ** (b / 4) up to 2 ** ((b + 1) / 4) microseconds; the first also all that are shorter
    (a millisecond), the last all that are longer (an hour). A column a bin: a year is read as hundreds of rows, where
    a row a bin would make it ten thousands.
    """

    class Kind(models.TextChoices):
        LATENCY = "latency"
        TTFT = "ttft"

    class Meta:
        abstract = True


BINS_AN_OCTAVE = 4
FIRST_BIN, LAST_BIN = 40, 127
BIN_COLUMNS: tuple[str, ...] = tuple(f"bin_{number}" for number in range(FIRST_BIN, LAST_BIN + 1))
for _column in BIN_COLUMNS:
    # The database's own default: the ledger names the bins that it adds to.
    LatencyBins.add_to_class(_column, models.IntegerField(default=0, db_default=0))

# Stands for every model and every provider: sums that would else be made of all a team's rows.
ANY = ""


class LatencyBucket(LatencyBins):
    """Days by model and provider, and by neither (ANY); team 0 is the whole instance."""

    pk = models.CompositePrimaryKey("zone", "team_id", "kind", "model", "day", "provider")
    zone = models.CharField(max_length=64)
    team_id = models.BigIntegerField()
    kind = models.CharField(max_length=8, choices=LatencyBins.Kind)
    model = models.CharField(max_length=200)
    day = models.IntegerField()
    provider = models.CharField(max_length=100)
    KEYS: ClassVar[tuple[str, ...]] = ("zone", "team_id", "kind", "model", "day", "provider")


class LatencyKeyBucket(LatencyBins):
    """Days by key, whatever the model: who waits longest. By key and model together would be as many rows as there are
    events."""

    pk = models.CompositePrimaryKey("zone", "team_id", "kind", "key_id", "day")
    zone = models.CharField(max_length=64)
    team_id = models.BigIntegerField()
    kind = models.CharField(max_length=8, choices=LatencyBins.Kind)
    key_id = models.BigIntegerField()
    day = models.IntegerField()
    KEYS: ClassVar[tuple[str, ...]] = ("zone", "team_id", "kind", "key_id", "day")


class MinuteBucket(models.Model):
    """Minutes (epoch seconds // 60) by key, kept a few hours: how near each team and key came to its limits."""

    pk = models.CompositePrimaryKey("minute", "team_id", "key_id")
    minute = models.IntegerField()
    team_id = models.BigIntegerField()
    key_id = models.BigIntegerField()
    calls = models.BigIntegerField(default=0)
    refused_calls = models.BigIntegerField(default=0)
    tokens = models.BigIntegerField(default=0)
    # How long its calls took, together: divided by the minute, how many ran at once on average.
    busy_us = models.BigIntegerField(default=0)
    KEYS: ClassVar[tuple[str, ...]] = ("minute", "team_id", "key_id")
    SUMS: ClassVar[tuple[str, ...]] = ("calls", "refused_calls", "tokens", "busy_us")

    class Meta:
        indexes = [models.Index(fields=["team_id", "minute"], name="minute_team")]


KEEP_QUARTERS_FOR = timedelta(days=90)
KEEP_MINUTES_FOR = timedelta(hours=3)


# Views that people keep ---------------------------------------------------------------------------------------------


class SavedView(models.Model):
    """A question to the spend explorer under a name: the query string of its address. Team null is the instance."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, related_name="saved_views")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(_("name"), max_length=200)
    query = models.CharField(max_length=2000, blank=True)
    # Seen by everyone who may open the explorer there; else only by who made it.
    is_shared = models.BooleanField(_("shared with the team"), default=False)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("name", "id")
        constraints = [
            models.UniqueConstraint(fields=["team", "created_by", "name"], name="one_saved_view_a_name"),
        ]

    def __str__(self) -> str:
        return self.name


def _sum_or_unknown(counts: object) -> int | None:
    known = [count for count in counts if count is not None]  # type: ignore[attr-defined]
    return sum(known) if known else None
