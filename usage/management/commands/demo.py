"""`manage.py demo`: fill an empty data directory with 90 days of invented usage."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from usage.demo import filling
from usage.demo.calls import DAYS

SHOWN = """
The demo ({calls}):

  Dashboard   {admin_email}, or ada@example.com, grace@example.com, katherine@example.com, ...
  Password    {password}   (everybody's)
  API key     {key}
  Admin key   {admin_key}
"""


class Command(BaseCommand):
    help = "Fill an empty data directory with 90 days of invented usage."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seed", type=int, default=1, help="another seed gives other calls")
        parser.add_argument("--days", type=int, default=DAYS)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            filled, calls = filling.fill(settings.DATA_DIR, options["seed"], timezone.now(), options["days"])
        except filling.NotForDemo as error:
            raise CommandError(str(error)) from error
        said = f"{calls:,} calls of {filled.days} days were written" if calls else "it was there already"
        self.stdout.write(SHOWN.format(calls=said, **filled._asdict()))
