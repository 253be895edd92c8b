"""The samples: those for curl, Python and Node are run as the docs page shows them, the others read by a grammar."""

import json
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest
import tree_sitter_c_sharp
import tree_sitter_go
import tree_sitter_java
import tree_sitter_rust
from tree_sitter import Language, Parser

from bench.product import ROOT
from tests.product import Running, SignedIn
from tests.upstreams import NODE_SDK, LLMock
from usage.dashboard import snippets
from usage.dashboard.docs.pages import SLUGS
from usage.dashboard.snippets.sdks import SDKS

GRAMMARS = {"go": tree_sitter_go, "rust": tree_sitter_rust, "java": tree_sitter_java, "csharp": tree_sitter_c_sharp}
PROGRAMS = [kind for kind in snippets.kinds() if kind not in snippets.SHELL | snippets.CHANGES]
# Quotes, escapes, what a shell or a template would run, marks that turn the direction, characters beyond 16 bits.
HOSTILE = (
    ("system", 'Say "hi"\\ and it\'s \n\t\x00\x1b'),
    ("user", "你好 \u202e gpt 👩‍👩‍👧 \U000e0041 ${x} {{y}} %s <<key>> \\u0041 $(id) `id`"),
)
OPTIONS = {"temperature": "0.7", "max_completion_tokens": "200"}
BOTH_TOOLS = [{"name": name, "arguments": {"city": "Zurich"}} for name in ("get_weather", "get_time")]
ENDINGS = {"python": ".py", "node": ".mjs", "curl": ".sh"}
REQUEST_ID = "req_[0-9a-f]{32}"
RUNS = {
    "python": [sys.executable, str(ROOT / "tests" / "sdk" / "run_samples.py")],
    "node": ["node", str(ROOT / "tests" / "sdk" / "run_samples.mjs")],
}
needs_node = pytest.mark.skipif(shutil.which("node") is None or not NODE_SDK.exists(), reason="no Node, or no npm SDK")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")


class Shown:
    """The docs pages of one team in front of the running product, and what became of their samples."""

    def __init__(self, product: Running, place: Path) -> None:
        self.product, self.place = product, place
        (place / "node_modules").symlink_to(ROOT / "node_modules")
        reader = SignedIn(product)
        self.team = reader.make_team("Ada's docs team", "Basic")
        self.key = reader.make_key(self.team, "for the docs")
        # Too little for any answer: such a call never fits, so no SDK waits before it says so.
        form = reader.submit(f"{self.team}/keys/new/", {"name": "too small", "tokens_per_minute": "5"})
        self.small_key = re.findall(r'id="secret">([^<]+)<', form)[0]
        self.codes: dict[tuple[str, str], str] = {}
        for slug in SLUGS:
            html = reader.get(f"{self.team}/docs/{slug}/")
            for kind, sdk, pre in re.findall(r'<pre id="text-(\w+)-(\w+)"[^>]*>(.*?)</pre>', html, re.DOTALL):
                self.codes[kind, sdk] = unescape(re.sub(r"<[^>]*>", "", pre))

    def run(self, sdk: str) -> dict[str, str]:
        """What every sample of this SDK printed, by kind; `errors` also with a wrong key and with one that is too
        small."""
        good = {"MEGADASH_API_KEY": self.key, "MEGADASH_ADMIN_KEY": self.product.admin_key}
        jobs = [(kind, kind, good) for kind, its_sdk in self.codes if its_sdk == sdk and kind in PROGRAMS]
        jobs.append(("errors: wrong key", "errors", {"MEGADASH_API_KEY": "sk-mega-wrong"}))
        if sdk != "curl":
            # curl knows nothing of x-should-retry and would try for half a minute.
            jobs.append(("errors: too small", "errors", {"MEGADASH_API_KEY": self.small_key}))
        for kind in {kind for _, kind, _ in jobs}:
            (self.place / f"{kind}{ENDINGS[sdk]}").write_text(self.codes[kind, sdk] + "\n")
        described = [(name, str(self.place / f"{kind}{ENDINGS[sdk]}"), added) for name, kind, added in jobs]
        if sdk == "curl":
            return {name: self._output(["sh", path], added) for name, path, added in described}
        said: dict[str, str] = json.loads(self._output([*RUNS[sdk], json.dumps(described)], {}))
        return said

    def _output(self, command: list[str], environment: dict[str, str]) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        done = subprocess.run(
            command, cwd=self.place, env=kept | environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr[-3_000:]
        return done.stdout


@pytest.fixture(scope="module")
def shown(product: Running, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return Shown(product, tmp_path_factory.mktemp("samples"))


@pytest.fixture
def model(shown: Shown, upstream: LLMock) -> str:
    """The model that the samples name; the provider calls both tools when it is asked for the first time."""
    name = re.findall(r'model="([^"]+)"', shown.codes["request", "python"])[0]
    upstream.script(
        {"type": "reply", "tool_calls": BOTH_TOOLS, "times": 1, "match": {"model": name, "tools": True}},
    )
    return str(name)


# Run ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sdk", ["python", pytest.param("node", marks=needs_node)])
def test_the_samples_of_an_sdk_do_what_the_docs_say(shown: Shown, model: str, sdk: str) -> None:
    said = shown.run(sdk)
    # The usage of a minute ago may not be recorded yet.
    assert {
        name: text for name, text in said.items() if "FAILED" in text or not (text.strip() or name == "usage")
    } == {}

    assert re.search(r"\d+ tokens\s*$", said["streaming"])
    lines = said["tools"].splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["get_weather", "get_time"]
    assert lines[0].endswith("-> 18 degrees and sunny in Zurich")
    assert "".join(lines[2:]).strip()
    assert [line.split()[0] for line in said["embeddings"].splitlines()] == ["0", "1"]

    assert re.search(rf"^401 invalid_api_key .*\nReceipt: {REQUEST_ID}$", said["errors: wrong key"].strip())
    refused = said["errors: too small"]
    assert refused.startswith("Refused: ")
    assert f"Request too large for {model} in" in refused
    assert re.search(f"Receipt: {REQUEST_ID}", refused)

    assert re.match(r"\d+ of 60\n\d+ of 90000\n", said["headers"])
    assert said["me"].startswith("Ada's docs team is on Basic\nteam requests ")
    assert f"\n{model} " in f"\n{said['models']}"
    assert said["fallbacks"] == f"answered by {model}\n"
    assert "404" in said["debug"]
    assert "no-such-model" in said["debug"]


@needs_curl
def test_the_samples_of_curl_do_what_the_docs_say(shown: Shown, model: str) -> None:
    said = shown.run("curl")
    assert json.loads(said["request"])["choices"][0]["message"]["content"]
    events = said["streaming"].strip().split("\n\n")
    assert events[-1] == "data: [DONE]"
    assert json.loads(events[-2][6:])["usage"]["total_tokens"] > 0
    calls = json.loads(said["tools"])["choices"][0]["message"]["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["get_weather", "get_time"]
    assert len(json.loads(said["embeddings"])["data"]) == 2
    assert "HTTP/1.1 200" in said["errors"]
    assert re.search(f"x-request-id: {REQUEST_ID}", said["errors"])
    assert json.loads(said["errors: wrong key"].partition("\n\n")[2])["error"]["code"] == "invalid_api_key"
    assert "x-ratelimit-remaining-tokens: " in said["headers"]
    assert json.loads(said["me"])["tier"]["name"] == "Basic"
    assert model in {each["id"] for each in json.loads(said["models"])["data"]}
    assert json.loads(said["fallbacks"])["model"] == model
    assert json.loads(said["debug"])["error"]["debug"]["model"] == "no-such-model"
    assert json.loads(said["usage"])["object"] == "page"
    assert json.loads(said["costs"])["object"] == "page"
    assert (shown.place / "usage.csv").read_text().startswith("request_id,")


@pytest.mark.parametrize("streams", [False, True])
def test_the_code_of_any_request_means_exactly_that_request(streams: bool, tmp_path: Path) -> None:
    """Python and a shell read back what was quoted for them."""
    filling = snippets.Filling("http://localhost:9", messages=HOSTILE, options=OPTIONS, is_kept=False)
    kind = "streaming" if streams else "request"
    codes = {sample.id: sample.code for sample in snippets.Snippets(filling)[kind].samples}
    wanted = [{"role": role, "content": text} for role, text in HOSTILE]

    arguments = codes["python"].partition("client.chat.completions.create(")[2].partition("\n)\n")[0]
    asked = eval(f"dict({arguments})")
    assert asked["messages"] == wanted
    assert (asked["temperature"], asked["max_completion_tokens"]) == (0.7, 200)

    script = codes["curl"].replace("curl", 'last() { for each; do :; done; printf %s "$each"; }\nlast', 1)
    read = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=10, cwd=tmp_path)
    body = json.loads(read.stdout)
    assert body["messages"] == wanted
    assert body.get("stream", False) is streams


# Read -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sdk_id", sorted(GRAMMARS))
def test_a_sample_that_is_not_run_is_right_by_its_languages_grammar(sdk_id: str) -> None:
    parser = Parser(Language(GRAMMARS[sdk_id].language()))
    plain = snippets.Filling("http://localhost:9", is_kept=False)
    hostile = snippets.Filling("http://localhost:9", messages=HOSTILE, options=OPTIONS, secret="sk-x", is_kept=False)
    for kind in PROGRAMS:
        for filling in (plain, hostile):
            for sample in snippets.Snippets(filling)[kind].samples:
                if sample.id == sdk_id:
                    assert not parser.parse(sample.code.encode()).root_node.has_error, sample.code


@pytest.mark.parametrize("secret", ["", "sk-mega-Secret"])
def test_a_sample_is_complete_and_its_colours_change_no_character(secret: str) -> None:
    filling = snippets.Filling("http://localhost:9", secret=secret, is_kept=False)
    for kind in snippets.kinds():
        snippet = snippets.Snippets(filling)[kind]
        for sample in snippet.samples:
            assert "<<key>>" not in sample.code
            assert "<<env>>" not in sample.code
            assert all(line == line.rstrip() for line in sample.code.split("\n")), (kind, sample.id)
            shown = unescape(re.sub(r"</?(?:span|ins|del)[^>]*>", "", sample.html))
            signless = re.sub(r"^.", "", sample.code, flags=re.MULTILINE)
            assert shown == (signless if snippet.shows_changes else sample.code)
            if secret and kind in ("request", "streaming", "tools", "errors", "embeddings"):
                assert secret in sample.code
                assert snippets.KEY_VARIABLE not in sample.code


def test_every_kind_that_people_begin_with_is_there_for_curl_and_six_sdks() -> None:
    samples = snippets.Snippets(snippets.Filling("http://localhost:9"))
    for kind in ("install", "request", "streaming", "tools", "errors", "embeddings", "migrate"):
        assert [sample.id for sample in samples[kind].samples] == [sdk.id for sdk in SDKS], kind
    with pytest.raises(KeyError):
        samples["no such kind"]


def test_what_is_too_long_to_colour_is_shown_plainly() -> None:
    filling = snippets.Filling("http://localhost:9", messages=(("user", "<b>" * 20_000),), is_kept=False)
    html = snippets.Snippets(filling)["request"].samples[0].html
    assert "<span" not in html
    assert "<b>" not in html
