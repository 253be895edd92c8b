import logging
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from usage import running


class Command(BaseCommand):
    help = "Set up what is missing and start everything: gateway, dashboard, shipper, Celery, sandbox."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--stop-with-parent", action="store_true", help="stop when the process that started this is gone"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        logging.disable(logging.INFO)  # the terminal is for people; the programs log to files
        try:
            running.run(self._say, options["stop_with_parent"])
        except running.NotReady as error:
            raise CommandError(str(error)) from error

    def _say(self, text: str) -> None:
        # Whoever reads the banner through a pipe may have closed it since.
        try:
            self.stdout.write(text)
            self.stdout.flush()
        except BrokenPipeError:
            self.stdout.write = lambda *_: None  # type: ignore[method-assign]
