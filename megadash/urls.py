"""Every address of the Django side. The OpenAI data paths are answered by the gateway before Django sees them."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

# One door, with throttling and the second factor: the admin's own form would go around both.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("v1/", include("usage.api.urls_v1")),
    path("api/", include("usage.api.urls")),
    path("accounts/", include("accounts.signing_in.urls")),
    path("admin/", admin.site.urls),
    # The same without `/v1`, for clients whose base URL lacks it.
    path("", include("usage.api.urls_v1")),
    path("", include("usage.dashboard.urls")),
]

handler400 = "megadash.errors.bad_request"
handler403 = "megadash.errors.permission_denied"
handler404 = "megadash.errors.not_found"
handler429 = "megadash.errors.too_many_requests"
handler500 = "megadash.errors.server_error"
