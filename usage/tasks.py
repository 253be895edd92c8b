"""Celery's doors: each looks at the clock and makes one call."""

from importlib import import_module
from typing import cast

from celery import shared_task
from django.utils import timezone

from usage import housekeeping, time_zones


@shared_task
def check_providers() -> int:
    # With it comes the providers' SDK, which the process that only keeps the timetable never needs.
    return cast(int, import_module("usage.provider_health").check_all(timezone.now()))


@shared_task
def forget_old_quarters() -> int:
    return housekeeping.forget_old_quarters(timezone.now())


@shared_task
def forget_old_minutes() -> int:
    return housekeeping.forget_old_minutes(timezone.now())


@shared_task
def recount_days() -> int:
    return time_zones.recount_all()
