"""`manage.py sandbox`: serve the built-in upstream."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from granian import Granian
from granian.constants import Interfaces


class Command(BaseCommand):
    help = "Serve the built-in upstream: a local, deterministic stand-in for a provider."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"Sandbox at http://{options['host']}:{options['port']}/v1")
        Granian(
            "usage.sandbox.app:application",
            address=options["host"],
            port=options["port"],
            interface=Interfaces.ASGINL,
            websockets=False,
            log_access=False,
            respawn_failed_workers=True,
            respawn_interval=0.5,
        ).serve()
