"""WHO: users, teams, members, tiers, keys, and the trail of who changed what."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from accounts import secrets

MOST_A_MINUTE = 1_000_000_000_000


class Change(models.Model):
    """The change feed: one row for each saved or deleted row that the gateway holds in memory.

    The gateway asks once a second for the rows after the last one it saw, so a revoked key stops within two seconds.
    """

    kind = models.CharField(max_length=20)
    row_id = models.BigIntegerField()
    changed_at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.row_id}"


class Followed(models.Model):
    """A row whose every save and delete is written to the change feed, in the same transaction."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            super().save(*args, **kwargs)
            self._say_changed(self.pk)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        row_id = self.pk
        with transaction.atomic():
            deleted = super().delete(*args, **kwargs)
            self._say_changed(row_id)
        return deleted

    def _say_changed(self, row_id: int) -> None:
        Change.objects.create(kind=self._meta.model_name or "", row_id=row_id)


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in. `is_staff` makes a platform administrator."""

    email = models.EmailField(_("e-mail"), unique=True)
    name = models.CharField(_("name"), max_length=200, blank=True)
    is_staff = models.BooleanField(_("platform administrator"), default=False)
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(default=timezone.now)
    # Of pages after signing in, and of e-mails. Empty is whatever the browser asks for.
    language = models.CharField(_("language"), max_length=10, blank=True, choices=settings.LANGUAGES)
    # To five minutes: a write at every look would be too many.
    last_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Part of every session's fingerprint: one more, and all sessions made before are over at their next request.
    session_epoch = models.PositiveIntegerField(default=0, editable=False)

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = UserManager()

    def __str__(self) -> str:
        return self.name or self.email

    @property
    def initials(self) -> str:
        words = (self.name or self.email.partition("@")[0]).replace(".", " ").split()
        return "".join(word[0] for word in words[:2]).upper() or "?"

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Django's hash of the password, and the epoch."""
        fingerprint = f"{self.password}:{self.session_epoch}"
        return salted_hmac("megadash session", fingerprint, secret=secret, algorithm="sha256").hexdigest()


class Tier(Followed):
    """What a team may use. A limit that is null is no limit."""

    name = models.CharField(_("name"), max_length=200, unique=True)
    requests_per_minute = models.PositiveBigIntegerField(
        _("requests a minute"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_A_MINUTE)],
    )
    tokens_per_minute = models.PositiveBigIntegerField(
        _("tokens a minute"), null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(MOST_A_MINUTE)]
    )
    concurrent_requests = models.PositiveBigIntegerField(
        _("concurrent requests"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_A_MINUTE)],
    )
    position = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("position", "id")

    def __str__(self) -> str:
        return self.name


def check_time_zone(value: str) -> None:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValidationError(_("Unknown time zone: %(zone)s"), params={"zone": value}) from error


class Team(Followed):
    """Who pays: keys, members and events belong to a team. OpenAI's API calls it a project."""

    class OnAbort(models.TextChoices):
        STOP = "stop", _("stop the provider's answer at once")
        DRAIN = "drain", _("read on for the exact usage")

    name = models.CharField(_("name"), max_length=200)
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="teams", verbose_name=_("tier"))
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC", validators=[check_time_zone])
    # Being counted: the ledger adds to its days too, and pages go over to it when the past is counted.
    next_time_zone = models.CharField(max_length=64, blank=True, validators=[check_time_zone])
    on_abort = models.CharField(_("when a caller hangs up"), max_length=8, choices=OnAbort, default=OnAbort.STOP)
    # What a call without its own maximum reserves for its answer: the model's maximum, but at most this.
    reserve_output_tokens = models.PositiveIntegerField(
        _("most output tokens reserved"), default=4096, validators=[MinValueValidator(1)]
    )
    created_at = models.DateTimeField(default=timezone.now)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("name", "id")

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        """As the API names it."""
        return f"proj_{self.pk}"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


class Membership(models.Model):
    """A user's role in a team."""

    class Role(models.TextChoices):
        OWNER = "owner", _("owner")
        ADMIN = "admin", _("admin")
        MEMBER = "member", _("member")
        VIEWER = "viewer", _("viewer")

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=8, choices=Role, default=Role.MEMBER)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "team"], name="one_membership_a_team")]

    def __str__(self) -> str:
        return f"{self.user} in {self.team}: {self.role}"


class Invitation(models.Model):
    """An offer of membership, sent by e-mail. The token in its link is kept as a hash only."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField(_("e-mail"))
    role = models.CharField(_("role"), max_length=8, choices=Membership.Role, default=Membership.Role.MEMBER)
    token_digest = models.CharField(max_length=64, unique=True)
    invited_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    accepted_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.email} to {self.team}"

    def is_open(self, now: datetime) -> bool:
        return self.accepted_at is None and self.withdrawn_at is None and now < self.expires_at


class InstanceSettings(Followed):
    """What an administrator sets for the whole instance: one row, made when it is first asked for."""

    class TwoFactor(models.TextChoices):
        NOBODY = "nobody", _("nobody has to")
        ADMINISTRATORS = "administrators", _("platform administrators")
        EVERYONE = "everyone", _("everyone")

    name = models.CharField(_("name of this instance"), max_length=100, default="MegaDash")
    # Where people reach it: in invitations, samples and snippets. Empty is the address of the request.
    public_url = models.URLField(_("public URL"), max_length=300, blank=True)
    default_tier = models.ForeignKey(Tier, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    default_time_zone = models.CharField(max_length=64, default="UTC", validators=[check_time_zone])
    invitation_days = models.PositiveSmallIntegerField(
        _("days an invitation is open"), default=7, validators=[MinValueValidator(1), MaxValueValidator(90)]
    )
    two_factor = models.CharField(
        _("who must use a second factor"), max_length=16, choices=TwoFactor, default=TwoFactor.NOBODY
    )
    allow_unpriced_models = models.BooleanField(_("calls to models without a price"), default=True)
    # Private networks that providers may be in, in CIDR form; everything else private is refused.
    private_networks = models.JSONField(default=list, blank=True)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def current(cls) -> InstanceSettings:
        return cls.objects.get_or_create(pk=1)[0]


class Issued(models.Model):
    """What somebody made, and what may end: by itself at a time, or by being revoked."""

    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class SecretRow(Issued):
    """What is kept of a secret that is shown once."""

    digest = models.CharField(max_length=64, unique=True)
    pepper_version = models.PositiveSmallIntegerField(default=secrets.PEPPER_VERSION)
    redacted = models.CharField(max_length=20)

    class Meta:
        abstract = True

    def remember(self, secret: str) -> None:
        self.digest = secrets.digest(secret, secrets.pepper_from(settings.SECRET_KEY))
        self.redacted = secrets.redacted(secret)


class ApiKeyManager(models.Manager["ApiKey"]):
    def create_with_secret(self, secret: str | None = None, **fields: Any) -> tuple[ApiKey, str]:
        """A new key and its first secret, which is not kept."""
        secret = secret or secrets.make(secrets.KEY_PREFIX)
        with transaction.atomic():
            key = self.create(**fields)
            key.add_secret(secret, key.created_by, key.created_at)
        return key, secret


class ApiKey(Followed, Issued):
    """A team's key for `/v1/chat/completions` and its neighbours: it stays the same key while its secrets change.

    Limits, models and networks of its own are optional, and narrow what its team may.
    """

    name = models.CharField(_("name"), max_length=200)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="keys")
    requests_per_minute = models.PositiveBigIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    tokens_per_minute = models.PositiveBigIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    concurrent_requests = models.PositiveBigIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    # Names of models this key may call; empty is every model.
    allowed_models = models.JSONField(default=list, blank=True)
    # Networks in CIDR form from which it may be used; empty is everywhere.
    ip_ranges = models.JSONField(default=list, blank=True)
    # A project, a feature, an environment: reports group keys by it.
    tag = models.CharField(_("tag"), max_length=64, blank=True)

    objects: ClassVar[ApiKeyManager] = ApiKeyManager()

    class Meta:
        ordering = ("-id",)
        indexes = [models.Index(fields=["team", "-id"])]

    def __str__(self) -> str:
        return f"{self.name} ({self.redacted})"

    @property
    def public_id(self) -> str:
        return f"key_{self.pk}"

    @cached_property
    def shown_secret(self) -> KeySecret | None:
        """The secret this key is recognised by: the newest that was not withdrawn. Prefetch `secrets` for many keys."""
        newest = sorted(self.secrets.all(), key=lambda secret: (secret.revoked_at is None, secret.pk))
        return newest[-1] if newest else None

    @property
    def redacted(self) -> str:
        return self.shown_secret.redacted if self.shown_secret else ""

    def add_secret(self, secret: str, actor: User | None, now: datetime) -> KeySecret:
        row = KeySecret(key=self, created_by=actor, created_at=now)
        row.remember(secret)
        row.save()
        self.shown_secret = row
        return row

    def revoke(self, now: datetime) -> None:
        """With all its secrets. Idempotent: the first time stands."""
        if self.revoked_at is None:
            self.revoked_at = now
            self.save(update_fields=["revoked_at"])


class KeySecret(Followed, SecretRow):
    """One secret of a key. While a key is rotated it has two: the new one, and the old one, which has an end."""

    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="secrets")

    class Meta:
        ordering = ("-id",)
        # At most two that were not withdrawn: one without an end, and one with.
        constraints = [
            models.UniqueConstraint(
                fields=["key"], condition=Q(revoked_at=None, expires_at=None), name="one_lasting_secret_a_key"
            ),
            models.UniqueConstraint(
                fields=["key"],
                condition=Q(revoked_at=None, expires_at__isnull=False),
                name="one_ending_secret_a_key",
            ),
        ]

    def __str__(self) -> str:
        return self.redacted

    def _say_changed(self, row_id: int) -> None:
        """The gateway reads a key and its secrets together."""
        Change.objects.create(kind="apikey", row_id=self.key_id)


class AdminKeyManager(models.Manager["AdminKey"]):
    def create_with_secret(self, secret: str | None = None, **fields: Any) -> tuple[AdminKey, str]:
        secret = secret or secrets.make(secrets.ADMIN_KEY_PREFIX)
        key = self.model(**fields)
        key.remember(secret)
        key.save()
        return key, secret


class AdminKey(SecretRow):
    """A key for the REST API of the whole instance (`/v1/organization/...`, `/api/...`)."""

    name = models.CharField(_("name"), max_length=200)
    # A look at the row on each request is cheap; a write is not, so the last use is kept to the minute.
    LAST_USE_GRAIN: ClassVar[timedelta] = timedelta(minutes=1)
    objects: ClassVar[AdminKeyManager] = AdminKeyManager()

    def __str__(self) -> str:
        return f"{self.name} ({self.redacted})"


class AuditEntry(models.Model):
    """Who did what, when: append-only."""

    happened_at = models.DateTimeField(default=timezone.now, db_index=True)
    actor = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    actor_name = models.CharField(max_length=254)
    action = models.CharField(max_length=64)
    team = models.ForeignKey(Team, on_delete=models.SET_NULL, null=True, related_name="+")
    # What it was done to: its name at the time, and which row it was, so that a page can lead there while it exists.
    subject = models.CharField(max_length=254)
    subject_kind = models.CharField(max_length=20, blank=True)
    subject_id = models.BigIntegerField(null=True)
    details = models.JSONField(default=dict)
    ip_address = models.GenericIPAddressField(null=True)

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(fields=["team", "-id"], name="audit_team"),
            models.Index(fields=["subject_kind", "subject_id", "-id"], name="audit_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_name}: {self.action} {self.subject}"
