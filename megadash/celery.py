"""The Celery application. `celery -A megadash worker -B` runs the tasks and their timetable."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "megadash.settings")

app = Celery("megadash")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
