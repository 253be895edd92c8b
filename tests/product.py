"""The running product as its people meet it: a caller with a key, a browser's session, finance with an admin key."""

import csv
import html
import http.cookiejar
import io
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from bench.product import Product

ADMIN_EMAIL = "grace@example.com"
ADMIN_PASSWORD = "a long enough password"
LOOK_AGAIN_S = 0.05
Seen = TypeVar("Seen")


class Running(Product):
    """`bench.product.Product`, and what a test asks of it over HTTP. Its first team is on Enterprise by default."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def rest(self, path: str, **query: Any) -> Any:
        """An answer of the REST API, asked with the admin key."""
        status, body = self.get(f"{path}?{urllib.parse.urlencode(query, doseq=True)}", self.admin_key)
        assert status == 200, f"{path} answered {status}: {body[:500]!r}\n{self.log()}"
        return json.loads(body)

    def events(self) -> list[dict[str, str]]:
        """Every event, as finance exports them; an empty cell is unknown."""
        status, body = self.get("/api/usage/events?format=csv", self.admin_key)
        assert status == 200, f"the export answered {status}: {body[:500]!r}\n{self.log()}"
        return list(csv.DictReader(io.StringIO(body.decode())))

    def recorded(self, request_ids: set[str], patience_s: float = 20) -> list[dict[str, str]]:
        """Every event, once these are among them: the shipper may be a moment behind."""
        return eventually(
            self.events, lambda events: request_ids <= {event["request_id"] for event in events}, patience_s
        )

    def usage_by_model(self, kind: str) -> dict[str, dict[str, int]]:
        """`/v1/organization/usage/...` since yesterday, summed over its buckets."""
        buckets = self.rest(f"/v1/organization/usage/{kind}", start_time=_yesterday_s(), group_by="model")["data"]
        sums: dict[str, dict[str, int]] = {}
        for result in (result for bucket in buckets for result in bucket["results"]):
            of_model = sums.setdefault(
                result["model"], {"input_tokens": 0, "output_tokens": 0, "num_model_requests": 0}
            )
            for name in of_model:
                of_model[name] += result.get(name) or 0
        return sums

    def cost_nano_usd(self) -> int:
        """The sum of `/v1/organization/costs` since yesterday. Amounts are read with all their digits."""
        path = f"/v1/organization/costs?start_time={_yesterday_s()}"
        status, body = self.get(path, self.admin_key)
        assert status == 200, f"{path} answered {status}: {body[:500]!r}"
        page = json.loads(body, parse_float=_nano_usd, parse_int=int)
        values = [result["amount"]["value"] for bucket in page["data"] for result in bucket["results"]]
        return sum(value for value in values if value is not None)


class SignedIn:
    """A person in front of the pages, without a browser: cookies, and forms with their token."""

    def __init__(self, product: Running, email: str = ADMIN_EMAIL, password: str = ADMIN_PASSWORD) -> None:
        self._product = product
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)
        self.submit("/accounts/login/", {"login": email, "password": password})

    def get(self, path: str) -> str:
        return self._open(urllib.request.Request(self._product.url + path))

    def csv(self, path: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.get(path))))

    def make_team(self, name: str, tier: str) -> str:
        """The address of the new team's pages, without a slash at the end."""
        form = self.get("/instance/teams/new/")
        tier_id = found(rf'<option value="(\d+)"[^>]*>{tier}</option>', form)
        self.submit("/instance/teams/new/", {"name": name, "tier": tier_id, "time_zone": "UTC"})
        team_id = found(r"/instance/teams/(\d+)/$", self.at)
        return f"/t/{team_id}"

    def make_key(self, team: str, name: str) -> str:
        """Its secret, which only the page after the form shows."""
        return found(r'id="secret">([^<]+)<', self.submit(f"{team}/keys/new/", {"name": name}))

    def submit(self, path: str, fields: Mapping[str, str]) -> str:
        """Fill in the form of that page; what was filled in beforehand stays. Gives the page that follows."""
        tags = re.findall(r'<input[^>]*type="hidden"[^>]*>', self.get(path))
        hidden = {_attribute(tag, "name"): _attribute(tag, "value") for tag in tags}
        data = urllib.parse.urlencode({**hidden, **fields}).encode()
        headers = {"referer": self._product.url + path}
        return self._open(urllib.request.Request(self._product.url + path, data, headers))

    def _open(self, request: urllib.request.Request) -> str:
        try:
            with self._opener.open(request, timeout=30) as answer:
                self.at = urllib.parse.urlsplit(answer.url).path
                text: str = answer.read().decode()
                return text
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{request.full_url} answered {error.code}: {self._product.log()}") from error


@contextmanager
def running(place: Path, upstream_port: int, **settings: str) -> Iterator[Running]:
    """In a data directory of its own below `place`; a failure shows what the product logged."""
    with Running(place / "data", upstream_port, **settings) as product:
        yield product


def eventually(look: Callable[[], Seen], is_right: Callable[[Seen], bool], patience_s: float = 10) -> Seen:
    """What `look` gives once it is right; after `patience_s` whatever it gives, for the test to judge."""
    give_up_at = time.monotonic() + patience_s
    while not is_right(seen := look()) and time.monotonic() < give_up_at:
        time.sleep(LOOK_AGAIN_S)
    return seen


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, f"{pattern} is not in:\n{text[-6000:]}"
    return html.unescape(match[1])


def _yesterday_s() -> int:
    """Not today's midnight: the test may run across it."""
    return int(time.time()) - 86_400


def _nano_usd(digits: str) -> int:
    whole, _, fraction = digits.partition(".")
    assert len(fraction) <= 9, digits
    return int(whole + fraction.ljust(9, "0"))


def _attribute(tag: str, name: str) -> str:
    match = re.search(rf'\b{name}="([^"]*)"', tag)
    return html.unescape(match[1]) if match else ""
