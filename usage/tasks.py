"""Celery's doors: each looks at the clock and makes one call."""

from celery import shared_task
from django.utils import timezone

from usage import housekeeping, provider_health, time_zones


@shared_task
def check_providers() -> int:
    return provider_health.check_all(timezone.now())


@shared_task
def forget_old_quarters() -> int:
    return housekeeping.forget_old_quarters(timezone.now())


@shared_task
def forget_old_minutes() -> int:
    return housekeeping.forget_old_minutes(timezone.now())


@shared_task
def recount_days() -> int:
    return time_zones.recount_all()
