from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from usage import banner, first_start


class Command(BaseCommand):
    help = "Make tables, catalogue and static files; in an empty database also the first administrator, team and keys."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        shown = first_start.prepare(settings.FIRST_START)
        self.stdout.write(banner.credentials(shown) if shown else "Everything was set up already.")
