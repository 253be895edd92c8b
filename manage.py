#!/usr/bin/env python
"""The door to every command: `manage.py run`, `manage.py migrate`, `manage.py ship`, ..."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "megadash.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # A wrong setting is the operator's typo, not our bug: one line that names it, no traceback.
        sys.exit(f"megadash: {error}")


if __name__ == "__main__":
    main()
