"""Calls of the API over real HTTP: a result, or the cause in words; a call that changes something is never sent twice."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numerai_server
import numerapi
import pytest
import requests
from numerai_server import Fault, NumeraiServer
from numerapi import base_api

from erawise.running.errors import InputError, Unavailable
from erawise.sources.numerai.attempts import ADDRESS, Patience
from erawise.sources.numerai.client import Client

QUICK = Patience(connection=1, silence=0.3, tries=3, pause=0.01, longest_pause=0.02)
QUERY, MUTATION = "query { rounds { number } }", "mutation { create { id } }"
KEY = ("PUBLIC1D", "S3CRETKEY")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NumeraiServer]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv(ADDRESS, raising=False)
    with numerai_server.serving(NumeraiServer({7: tmp_path}, current=7)) as state:
        yield state


def test_numerapi_itself_works_with_the_server(server: NumeraiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_api, "API_TOURNAMENT_URL", server.url)
    theirs = numerapi.NumerAPI(verbosity="error", show_progress_bars=False)
    assert theirs.list_datasets() == Client(server.url, patience=QUICK).list_datasets() == []


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("You are not authenticated", "the key isn't accepted; check NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY"),
        ("Invalid API key", "the key isn't accepted"),
        ("Missing permission: upload_submission", "the key lacks the permission"),
        ("Round 901 is closed", "the round isn't open"),
        ("rate limit exceeded", "too many requests; wait some minutes"),
        ("Model not found", "the account has no such model"),
        ("a bolt from the blue", "the query is refused"),
    ],
)
def test_what_the_api_says_is_put_into_words(server: NumeraiServer, said: str, meaning: str) -> None:
    server.api_faults = [Fault("errors", message=said)]
    with pytest.raises(InputError) as caught:
        Client(server.url, patience=QUICK).raw_query(QUERY)
    assert str(caught.value).startswith(f"{server.url}: {meaning}")
    assert str(caught.value).endswith(f" (it says: {said})")
    assert len(server.queries) == 1, "another try would get the same answer"


@pytest.mark.parametrize(
    ("fault", "tries", "message"),
    [
        ("500", 3, "the answer is HTTP status 500"),
        ("429", 3, "the answer is HTTP status 429"),
        ("html", 3, "the answer is no JSON"),
        ("stall", 3, "no answer in time"),
        ("400", 1, "the answer is HTTP status 400"),
        ("401", 1, "the answer is HTTP status 401"),
        ("524", 3, "the answer is HTTP status 524"),
        ("cut", 3, r"no answer that could be read \(ChunkedEncodingError\)"),
        ("list", 1, "the query has no result"),
    ],
)
def test_a_query_is_repeated_where_that_helps(server: NumeraiServer, fault: str, tries: int, message: str) -> None:
    server.api_faults = [Fault(fault)]
    with pytest.raises(InputError, match=rf"^{server.url}: {message}; check the network and try again$"):
        Client(server.url, patience=QUICK).raw_query(QUERY)
    assert len(server.queries) == tries
    server.api_faults = [Fault(fault), None]
    if tries > 1:
        assert Client(server.url, patience=QUICK).raw_query(QUERY)["data"]["rounds"][0]["number"] == 7


@pytest.mark.parametrize("fault", ["500", "refused"])
def test_numerapi_itself_ends_in_a_key_error_where_ours_says_what_is_wrong(
    server: NumeraiServer, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    server.api_faults = [Fault("500")]
    url = server.url if fault == "500" else "http://127.0.0.1:9"
    monkeypatch.setattr(base_api, "API_TOURNAMENT_URL", url)
    theirs = numerapi.NumerAPI(verbosity="critical", show_progress_bars=False)
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", lambda seconds: None)
        with pytest.raises(KeyError, match="data"):
            theirs.list_datasets()
    with pytest.raises(Unavailable, match=rf"^{url}: (the answer is HTTP status 500|no connection); check the network and try again$"):
        Client(url, patience=QUICK).list_datasets()


def test_what_is_absent_is_said(server: NumeraiServer) -> None:
    server.api_faults = [Fault("null")]
    for ask in (lambda ours: ours.list_datasets(), lambda ours: ours.locate("v5.3/live.parquet", None)):
        with pytest.raises(InputError, match=rf"^{server.url}: the query has no result; check the network and try again$"):
            ask(Client(server.url, patience=QUICK))


def test_it_brings_no_files_as_numerapi_does(server: NumeraiServer) -> None:
    with pytest.raises(NotImplementedError, match=r"fetch files through erawise\.sources\.numerai\.store\.Store"):
        Client(server.url).download_dataset("v5.3/live.parquet")


@pytest.mark.parametrize("fault", ["500", "524", "html", "stall", "cut"])
def test_a_mutation_is_sent_once(server: NumeraiServer, fault: str) -> None:
    server.api_faults = [Fault(fault)]
    with pytest.raises(InputError, match="it may have been carried out all the same"):
        Client(server.url, patience=QUICK).raw_query(MUTATION)
    assert len(server.queries) == 1


def test_a_busy_server_says_how_long(server: NumeraiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    server.api_faults = [Fault("429", after=9), None]
    Client(server.url, patience=Patience(tries=2)).raw_query(QUERY)
    assert waited == [9]


@pytest.mark.parametrize(
    "address",
    [
        "http://user:passw0rd@127.0.0.1:9?key=5ecret",
        "http://user:p@ssw0rd@127.0.0.1:9",
        "http://user:pa/ssw0rd@127.0.0.1:9",
        "http://user:pa?ssw0rd@127.0.0.1:9",
        "user:passw0rd@127.0.0.1:9/graphql",
    ],
)
def test_no_connection_and_no_address(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(InputError, match=r"^(http://)?127\.0\.0\.1:9/?(graphql)?: no (connection|address)") as caught:
        Client(address, patience=QUICK).raw_query(QUERY)
    assert not any(secret in str(caught.value) for secret in ("ssw0rd", "5ecret", "user"))


def test_a_word_is_no_address() -> None:
    with pytest.raises(InputError, match=r"^numerai: no address of a server \(MissingSchema\); check ERAWISE_API_URL$"):
        Client("numerai", patience=QUICK).raw_query(QUERY)


def test_the_key_goes_where_it_is_needed_and_into_no_message(server: NumeraiServer) -> None:
    ours = Client(server.url, KEY, QUICK)
    ours.raw_query(QUERY)
    ours.raw_query(QUERY, authorization=True)
    assert [headers.get("Authorization") for headers in server.headers] == [None, "Token PUBLIC1D$S3CRETKEY"]
    server.api_faults = [Fault("errors", message="PUBLIC1D$S3CRETKEY is an invalid token")]
    with pytest.raises(InputError) as caught:
        ours.raw_query(QUERY, authorization=True)
    assert "the key isn't accepted" in str(caught.value)
    assert not any(part in str(caught.value) for part in KEY)
    with pytest.raises(InputError, match="this needs a key of your account: set NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY"):
        Client(server.url, patience=QUICK).raw_query(QUERY, authorization=True)


def test_a_certificate_that_cannot_be_verified_is_final(server: NumeraiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def post(session: requests.Session, *_: Any, **options: Any) -> None:
        assert session.verify is True
        assert "verify" not in options
        raise requests.exceptions.SSLError

    monkeypatch.setattr(requests.Session, "post", post)
    with pytest.raises(InputError, match="its certificate can't be verified; check the clock and the proxy"):
        Client(server.url, patience=QUICK).raw_query(QUERY)


def test_the_address_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ADDRESS, raising=False)
    assert Client().url == base_api.API_TOURNAMENT_URL
    monkeypatch.setenv(ADDRESS, "http://elsewhere")
    assert Client().url == "http://elsewhere"
    assert Client("http://here").url == "http://here"
