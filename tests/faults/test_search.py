"""Searches in a mount whose server refuses them or has none: nothing else is affected."""

from __future__ import annotations

import os
import subprocess
from urllib.parse import parse_qs, urlsplit

import pytest

from histfs.simulator import Fault, Simulator, SimulatorSettings
from tests.faults.conftest import LIST, code_of
from tests.support.mounts import Mount, id_of, mounted

pytestmark = pytest.mark.fuse

TEXT_SEARCH = "GET /v1/convai/conversations/messages/text-search"
DETAIL = "GET /v1/convai/conversations/{id}"


def search_fault(kind, **more):
    return Fault(f"{LIST}$|text-search$", kind, query=r"\b(search|text_query)=", **more)


def found(mount: Mount, words: str, account: str = ".") -> set[str]:
    """Return the ids of the results of a search."""
    results = mount.path / account / "search" / words
    return {id_of((results / name).resolve()) for name in os.listdir(results)}


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (search_fault("status", status=500), "EIO"),
        (search_fault("html"), "EIO"),
        (search_fault("garbage"), "EIO"),
        # The server refuses for certain: histfs lists the items and searches them itself.
        (search_fault("status", status=400), None),
        (search_fault("status", status=422, shape="validation"), None),
    ],
    ids=["500", "a sign-in page", "broken JSON", "400", "422"],
)
def test_a_search_that_fails_fails_no_listing_and_no_rsync(system, tmp_path, fault, code):
    day, *days = (system.unknown_day() for _ in range(5))
    with system.failing(fault):
        assert code_of(os.listdir, system.mount.path / "search" / f"first{code}") == code
        assert {id_of(item) for item in day.iterdir()} == system.ids(day)
        system.simulator.latency = 0.05
        line = ["rsync", "-a", "--exclude=audio.*", *days, tmp_path]
        with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as copying:
            codes = []
            while copying.poll() is None:
                search = system.mount.path / "search" / f"{code}{len(codes)}"
                codes.append(code_of(os.listdir, search))
            assert (copying.stderr.read(), copying.returncode) == ("", 0)
        system.simulator.latency = 0
        assert set(codes) <= {code}
    for day in days:
        assert {id_of(item) for item in (tmp_path / day.name).iterdir()} == system.ids(day)


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_wants_a_source_is_asked_for_each(tmp_path, binding, status):
    settings = SimulatorSettings(
        items=0, needs_source=frozenset({"search"}), needs_source_status=status, days=9
    )
    targets: list[str] = []
    with Simulator(settings, on_request=lambda record: targets.append(record.target)) as simulator:
        for source in ("TTS", "STS", "Flows"):
            simulator.library.add(4, fields={"source": source, "text": f"Words of {source}"})
        with mounted(simulator, tmp_path, binding) as mount:
            assert found(mount, "words") == set(simulator.library.ids())
            assert found(mount, "flows") == set(list(simulator.library.ids())[:4])
    searches = [parse_qs(urlsplit(target).query) for target in targets if "search=" in target]
    in_turn = [["TTS"], ["STS"], ["Flows"]]
    assert [query.get("source") for query in searches] == [None, *in_turn, *in_turn]


@pytest.mark.parametrize("status", [400, 422])
def test_items_that_a_strict_server_does_not_search_are_found(tmp_path, binding, status):
    shown = []
    for strict in (frozenset({"search"}), frozenset[str]()):
        settings = SimulatorSettings(items=90, needs_source=strict, needs_source_status=status)
        directory = tmp_path / str(len(strict))
        with Simulator(settings) as simulator, mounted(simulator, directory, binding) as mount:
            sources = {simulator.library.item(id_)["source"] for id_ in simulator.library.ids()}
            shown.append({words: found(mount, words) for words in ("the", "qxzvjkwyqx")})
    assert not sources <= {"TTS", "STS", "Flows"}
    assert shown[0] == shown[1]
    assert shown[0]["the"]
    assert not shown[0]["qxzvjkwyqx"]


def test_what_was_said_is_found_before_any_conversation_was_asked_for(tmp_path, binding):
    settings = SimulatorSettings(items=3, conversations=150, days=30)
    with Simulator(settings) as simulator, mounted(simulator, tmp_path, binding) as mount:
        conversations = simulator.conversations
        expected = {
            id_
            for id_ in conversations.ids()
            if any("weather" in (turn["message"] or "").casefold()
                   for turn in conversations.detail(id_)["transcript"])
        }  # fmt: skip
        assert expected
        assert expected <= found(mount, "weather", "conversations")
        assert simulator.counts[TEXT_SEARCH] >= 1
        assert simulator.counts[DETAIL] == 0
        assert simulator.counts["GET /v1/convai/conversations"] <= 4


def test_a_server_without_a_search_of_conversations_is_asked_for_it_once(tmp_path, binding):
    settings = SimulatorSettings(items=3, conversations=30, text_search=False)
    with Simulator(settings) as simulator, mounted(simulator, tmp_path, binding) as mount:
        titled = {
            id_
            for id_ in simulator.conversations.ids()
            if "weather" in str(simulator.conversations.summary(id_)).casefold()
        }
        assert found(mount, "weather", "conversations") <= titled
        assert found(mount, "qxzvjkwyqx", "conversations") == set()
        assert simulator.counts["(no route)"] == 1


@pytest.mark.parametrize("fault", [search_fault("status", status=422), search_fault("html")])
def test_conversations_are_searched_here_while_the_server_does_not(tmp_path, binding, fault):
    settings = SimulatorSettings(items=3, conversations=30)
    with Simulator(settings) as simulator, mounted(simulator, tmp_path, binding) as mount:
        by_date = mount.path / "conversations" / "by-date"
        texts = {id_of(call): (call / "text.txt").read_text() for call in by_date.glob("*/*/*/*")}
        simulator.faults.add(fault)
        expected = {id_ for id_, text in texts.items() if "weather" in text.casefold()}
        assert expected
        assert found(mount, "weather", "conversations") >= expected
        assert simulator.faults.happened


@pytest.mark.parametrize(
    "words",
    [
        'say "hello"',
        "'",
        "a" * 255,
        "100%",
        "#?&=+",
        "é" * 100,
        "日本",
        "..x",
        "-x",
        "*",
        "\\",
        "\t",
    ],
    ids=lambda words: words[:12],
)
@pytest.mark.parametrize("account", [".", "conversations"])
def test_any_name_can_be_searched_for(searched, words, account):
    assert isinstance(found(searched, words, account), set)


def test_a_name_that_is_none_is_not_searched_for(searched):
    assert code_of(os.listdir, searched.path / "search" / ("a" * 10_000)) == "ENAMETOOLONG"
    assert code_of(os.listdir, searched.path / "search" / ("a" * 256)) == "ENAMETOOLONG"
    assert os.listdir(f"{searched.path}/search//") == []
    assert code_of(os.listdir, searched.path / "search" / "a" / "b") == "ENOENT"


@pytest.fixture(scope="module")
def searched(tmp_path_factory, binding):
    """A mount of a server with searches."""
    with (
        Simulator(SimulatorSettings(items=30, conversations=30)) as simulator,
        mounted(simulator, tmp_path_factory.mktemp("searched"), binding) as mount,
    ):
        yield mount
