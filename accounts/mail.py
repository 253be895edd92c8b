"""An e-mail of ours, as text and HTML, in one language."""

from __future__ import annotations

import logging
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.http import HttpRequest
from django.template.loader import render_to_string

from accounts.models import InstanceSettings

logger = logging.getLogger(__name__)


def send(template: str, to: str, context: dict[str, Any]) -> bool:
    """`template` is the path without `_subject.txt`, `.txt` and `.html`. False when it could not be handed over."""
    values = {"instance": InstanceSettings.current(), "email": to, **context}
    subject = " ".join(render_to_string(f"{template}_subject.txt", values).split())
    message = EmailMultiAlternatives(subject, render_to_string(f"{template}.txt", values), to=[to])
    message.attach_alternative(render_to_string(f"{template}.html", values), "text/html")
    try:
        message.send()
    except (SMTPException, OSError):
        logger.exception("An e-mail could not be sent: %s", template)
        return False
    return True


def absolute(request: HttpRequest, path: str) -> str:
    """As somebody elsewhere can open it: at the address an administrator set, or the one of this request."""
    base = InstanceSettings.current().public_url or settings.PUBLIC_URL
    return base.rstrip("/") + path if base else request.build_absolute_uri(path)
