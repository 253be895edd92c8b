"""Wiring only: settings, URLs, ASGI, Celery."""
