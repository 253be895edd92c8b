"""Every error of Django's side in the envelope for programs, and as a page for people."""

import json
import re

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import include, path
from rest_framework import exceptions
from rest_framework.response import Response

from megadash import errors
from tests import rows
from usage.api import envelope
from usage.api.errors import exception_handler
from usage.api.view import ApiView

FOUR_KEYS = {"message", "type", "param", "code"}
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SDK = {"accept": "application/json"}


class Failing(ApiView):
    authentication_classes = ()
    permission_classes = ()

    def get(self, request):
        raise RuntimeError("the secret is hunter2")

    def post(self, request):
        return Response(request.data)

    def put(self, request):
        raise exceptions.Throttled(wait=1.2)

    def patch(self, request):
        raise exceptions.PermissionDenied


def form(request):
    return HttpResponse(str(len(request.POST)))


urlpatterns = [
    path("v1/", include("usage.api.urls_v1")),
    path("api/", include("usage.api.urls")),
    path("v1/failing", Failing.as_view()),
    path("api/form", form),
    path("form", form),
]
handler400 = "megadash.errors.bad_request"
handler403 = "megadash.errors.permission_denied"
handler404 = "megadash.errors.not_found"
handler500 = "megadash.errors.server_error"


@pytest.fixture(autouse=True)
def _urls(settings):
    settings.ROOT_URLCONF = __name__
    settings.CSRF_FAILURE_VIEW = "megadash.errors.csrf_failure"


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False, enforce_csrf_checks=True)


def error_of(response, status: int) -> dict[str, object]:
    assert response.status_code == status, response.content
    assert response["content-type"] == "application/json"
    assert re.fullmatch("req_[0-9a-f]{32}", response["x-request-id"])
    error = json.loads(response.content)["error"]
    assert error.keys() == FOUR_KEYS
    return error


def test_a_wrong_path_is_named(client):
    error = error_of(client.post("/v1/chat/completionz", {}, content_type="application/json"), 404)
    assert error["message"] == "Invalid URL (POST /v1/chat/completionz)"
    assert (error["type"], error["code"]) == ("invalid_request_error", None)


@pytest.mark.parametrize(
    "wrong", ["/v1", "/v1/", "/api/x", "/chat/nothing", "/organization/costz", "/v1/\x00\n", "/v1/" + "x" * 9000]
)
def test_paths_of_the_api_get_the_envelope_whoever_asks(client, wrong):
    assert "Invalid URL" in error_of(client.get(wrong, headers=BROWSER), 404)["message"]


def test_elsewhere_the_caller_decides_by_what_it_accepts(client):
    error_of(client.get("/nowhere", headers=SDK), 404)
    error_of(client.get("/nowhere", headers={"authorization": "Bearer sk-1", **BROWSER}), 404)
    page = client.get("/nowhere", headers=BROWSER)
    assert (page.status_code, page["content-type"]) == (404, "text/html; charset=utf-8")
    assert page.content.startswith(b"<!doctype html>") or b"<html" in page.content
    assert re.fullmatch("req_[0-9a-f]{32}", page["x-request-id"])


def test_a_page_is_there_even_without_its_template(settings):
    settings.TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": []}]
    page = errors.answer(RequestFactory().get("/nowhere", headers=BROWSER), 404)
    assert b"<h1>Not found</h1>" in page.content


@pytest.mark.django_db
def test_a_wrong_method_names_the_right_ones(client):
    _, secret = rows.admin_key()
    response = client.post("/v1/organization/costs", headers={"authorization": f"Bearer {secret}"})
    error = error_of(response, 405)
    assert error["message"].startswith("Not allowed to POST on /v1/organization/costs.")
    assert error["code"] == "method_not_supported"
    assert response["allow"] == "GET, HEAD, OPTIONS"


def test_an_exception_is_logged_and_does_not_leak(client, caplog):
    error = error_of(client.get("/v1/failing"), 500)
    assert error["message"] == envelope.OUR_FAULT
    assert error["type"] == "server_error"
    assert "hunter2" in caplog.text


def test_bodies_that_cannot_be_read(client):
    json_type = {"content_type": "application/json"}
    assert "could not parse" in str(error_of(client.post("/v1/failing", "{", **json_type), 400)["message"])
    error = error_of(client.post("/v1/failing", "<a/>", content_type="text/xml"), 415)
    assert error["message"] == envelope.MESSAGES[415]
    assert "Too many" in str(error_of(client.put("/v1/failing", "{}", **json_type), 429)["message"])
    assert error_of(client.patch("/v1/failing", "{}", **json_type), 403)


@pytest.mark.parametrize("host", ["evil.example", "a b", "[::1", "localhost@evil"])
def test_a_wrong_host_is_a_400(client, host):
    error_of(client.get("/v1/nothing", headers={"host": host}), 400)
    assert client.get("/nowhere", headers={"host": host, **BROWSER}).status_code == 400


def test_a_body_too_large_is_a_413(client, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    client = Client(raise_request_exception=False)
    assert error_of(client.post("/api/form", {"a": "b" * 100}), 413)["message"] == envelope.MESSAGES[413]
    assert (
        client.post("/form", "a=" + "b" * 100, "application/x-www-form-urlencoded", headers=BROWSER).status_code == 413
    )


def test_a_form_without_its_token_is_a_403(client):
    error_of(client.post("/api/form"), 403)
    page = client.post("/form", headers=BROWSER)
    assert (page.status_code, page["content-type"]) == (403, "text/html; charset=utf-8")


def test_html_of_django_itself_becomes_the_envelope_with_the_same_headers():
    def refuse(request: object) -> HttpResponse:
        return HttpResponse("<h1>no</h1>", status=418, headers={"allow": "TEA"})

    response = errors.EnvelopeMiddleware(refuse)(RequestFactory().get("/v1/tea"))
    error_of(response, 418)
    assert response["allow"] == "TEA"


def test_a_trailing_slash_is_accepted_and_never_redirected(client):
    for address in (
        "/v1/me",
        "/v1/me/",
        "/v1/organization/costs/",
        "/api/usage/events/",
        "/v1/organization/usage/images/",
    ):
        assert client.get(address).status_code == 401


def test_answers_of_the_api_carry_openais_headers_and_pages_do_not(client):
    response = client.get("/v1/me")
    assert response["openai-version"] == "2020-10-01"
    assert response["openai-processing-ms"].isdigit()
    page = client.get("/nowhere", headers=BROWSER)
    assert "openai-version" not in page
    assert "access-control-allow-origin" not in page


def test_request_ids_are_uuid7_and_never_twice(client):
    ids = [client.get("/v1/me")["x-request-id"] for _ in range(3)]
    assert len(set(ids)) == 3
    assert all(request_id[16] == "7" for request_id in ids)


def test_a_browsers_preflight_may_send_the_headers_of_the_sdks(client):
    asked = {"origin": "https://a.example", "access-control-request-method": "GET"}
    wanted = "authorization,x-stainless-lang,x-stainless-retry-count"
    response = client.options("/v1/me", headers=asked | {"access-control-request-headers": wanted})
    assert (response.status_code, response["access-control-allow-headers"]) == (204, wanted)
    response = client.options("/v1/me", headers=asked | {"access-control-request-headers": "x\r\nset-cookie: a"})
    assert response["access-control-allow-headers"] == "authorization, content-type"
    assert "access-control-allow-headers" not in client.options("/form", headers=asked)


def test_options_tells_the_methods_without_a_key(client):
    response = client.options("/v1/me")
    assert (response.status_code, response.content, response["allow"]) == (204, b"", "GET, HEAD, OPTIONS")


def test_texts_do_not_follow_the_language_of_the_browser(client):
    chinese = client.get("/v1/me", headers={"accept-language": "zh-hans"})
    assert str(error_of(chinese, 401)["message"]).startswith("You didn't provide an API key.")


def test_exceptions_of_drf_that_no_view_of_ours_raises():
    request = RequestFactory().get("/v1/x")
    for error, status in (
        (exceptions.NotAuthenticated(), 401),
        (exceptions.NotFound(), 404),
        (exceptions.UnsupportedMediaType("x"), 415),
    ):
        response = exception_handler(error, {"request": request})
        assert response is not None
        assert response.status_code == status
        assert response.data["error"].keys() == FOUR_KEYS
    assert exception_handler(RuntimeError(), {"request": request}) is None


@override_settings(APPEND_SLASH=True)
def test_a_head_request_is_a_get_without_a_body(client):
    response = client.head("/v1/me")
    assert (response.status_code, response.content) == (401, b"")
