import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from usage.shipper import Shipper


class Command(BaseCommand):
    help = "Ship the spool to the ledger, until stopped."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        shipper = Shipper(settings.SPOOL_DIR)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: shipper.stop())
        shipper.run()
