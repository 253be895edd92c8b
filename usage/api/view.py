"""What all REST views share."""

from __future__ import annotations

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from usage.api.rendering import JSON, AlwaysTheFirst


class ApiView(APIView):
    """For an admin key unless a view says otherwise. OPTIONS tells the methods and asks for no key."""

    renderer_classes = [JSON]
    content_negotiation_class = AlwaysTheFirst

    def get_authenticators(self) -> list[BaseAuthentication]:
        return [] if self._asks_for_methods() else super().get_authenticators()

    def get_permissions(self) -> list[BasePermission]:
        return [] if self._asks_for_methods() else super().get_permissions()  # type: ignore[return-value]

    def options(self, request: Request, *args: object, **kwargs: object) -> Response:  # type: ignore[override]
        return Response(status=204)

    def _asks_for_methods(self) -> bool:
        return self.request is not None and self.request.method == "OPTIONS"
