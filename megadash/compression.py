"""Answers of the dashboard and of REST, compressed; files are compressed once, at the first start."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware


class CompressionMiddleware(GZipMiddleware):
    """Django's, which pads answers against BREACH; without streamed exports: those pass through the event loop, which
    would stand still while they are compressed."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        return response if response.streaming else super().process_response(request, response)
