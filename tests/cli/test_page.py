"""`histfs page`: of a mount, of a copy of it, and of the tree; in Chromium, where that is there."""

from __future__ import annotations

import json
import os
import pty
import re
import stat
import subprocess
from pathlib import Path

import pytest

from histfs.simulator import Simulator, SimulatorSettings
from tests.support.mounts import command, mounted

PATIENCE = 60
CARDS = "[...document.querySelectorAll('article')]"


@pytest.fixture
def simulator():
    with Simulator(SimulatorSettings(items=25, days=9, conversations=8)) as running:
        yield running


@pytest.fixture
def page(simulator, tmp_path):
    """Run the command; standard output is a file of the working directory, if one is named."""

    def page(*arguments, to=None, cwd=tmp_path, key=True):
        env = {**os.environ, "HISTFS_CACHE_DIR": str(tmp_path / "cache"), "HISTFS_TIMEZONE": "UTC"}
        if key:
            env |= {
                "ELEVENLABS_API_KEY": simulator.api_key,
                "HISTFS_BASE_URL": simulator.base_url,
            }
        with open(cwd / to, "wb") if to else open(os.devnull, "wb") as out:
            done = subprocess.run(
                command("page", *arguments),
                env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out if to else subprocess.PIPE,
                stderr=subprocess.PIPE, timeout=PATIENCE,
            )  # fmt: skip
        err = done.stderr.decode()
        assert "Traceback" not in err, err
        return done.returncode, done.stdout, err

    return page


def clips(document):
    """Return what a page shows: when, voices, address, text, words, seconds."""
    text = Path(document).read_text() if isinstance(document, str | Path) else document.decode()
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    return [(w, [data["voices"][v] for v in vs], *rest) for w, vs, *rest in data["clips"]]


def plays(browser, path, number=0):
    """Play a clip of a page until a word is lit, or, without times, until it goes on."""
    browser.open(path.as_uri())
    browser.click(f"{CARDS}[{number}].querySelector('.play')")
    browser.until(f"Number({CARDS}[{number}].querySelector('input').value) > 0.3")
    assert (
        browser.problems,
        browser.evaluate("document.getElementById('problem').textContent"),
    ) == (
        [],
        "",
    )
    others = [url for url in browser.requests if not url.startswith("data:")]
    assert all(url.startswith(path.parent.as_uri()) for url in others)
    assert len(set(others)) == 1


def requests(simulator):
    return {name: n for name, n in simulator.counts.per_endpoint().items() if "{" in name}


@pytest.mark.fuse
def test_a_mount_costs_no_request_an_item_and_its_clips_play(
    simulator, tmp_path, binding, page, browser
):
    with mounted(simulator, tmp_path, binding) as mount:
        voice = max((mount.path / "by-voice").iterdir(), key=lambda each: len(os.listdir(each)))
        assert page(voice, to="voice.html", key=False) == (0, None, "")
        assert page("mnt", to="all.html", key=False) == (0, None, "")
        assert requests(simulator) == {}
        every = clips(tmp_path / "all.html")
        assert len(every) == 25 + 8
        assert [clip[0] for clip in every] == sorted((c[0] for c in every), reverse=True)
        mine = clips(tmp_path / "voice.html")
        assert len(mine) == len(os.listdir(voice))
        assert all(voice.name in clip[1] for clip in mine)
        for when, _, address, text, *_ in mine:
            assert when.startswith(address.split("/")[-2][:10])
            assert (tmp_path / address).parent.joinpath("text.txt").read_text() == f"{text}\n"
        # Never fetched before, and played to the true end.
        number = next(n for n, clip in enumerate(mine) if clip[4])
        plays(browser, tmp_path / "voice.html", number)
        words = browser.evaluate(f"{CARDS}[{number}].querySelectorAll('.word').length")
        assert words == len(mine[number][3].split())
        browser.click(f"{CARDS}[{number}].querySelectorAll('.word')[1]")
        second = f"{CARDS}[{number}].querySelectorAll('.word')[1].matches('.lit')"
        browser.until(second)
        browser.until(f"!({second}) && {CARDS}[{number}].querySelector('.lit')")
        assert simulator.counts["GET /v1/history/{id}/audio"] == 1


@pytest.mark.fuse
def test_a_copy_of_a_mount_is_played_without_it_and_elsewhere(
    simulator, tmp_path, binding, page, browser
):
    with mounted(simulator, tmp_path, binding) as mount:
        # Twice: that a conversation has no audio is learnt when it is read.
        for _ in range(2):
            done = subprocess.run(["rsync", "-a", f"{mount.path}/", tmp_path / "copy"])
        assert done.returncode == 0
    simulator.stop()
    out = tmp_path / "copy" / "listen to #1?.html"
    assert page("copy", "-o", out, key=False) == (0, b"", "")
    assert len(clips(out)) == 25 + 8
    (tmp_path / "copy").rename(tmp_path / "moved")
    plays(browser, tmp_path / "moved" / out.name, 1)


@pytest.mark.fuse
def test_the_tree_and_a_mount_give_the_same_page(simulator, tmp_path, binding, page):
    with mounted(simulator, tmp_path, binding) as mount:
        mount.items()
        for synced in (False, True):
            if synced:
                for file in mount.path.glob("conversations/by-date/*/*/*/*/meta.json"):
                    file.read_bytes()
            before = requests(simulator)
            assert page("mnt/by-date", "mnt/conversations", to="a.html", key=False)[0] == 0
            assert page("/by-date", "/conversations", "--root", "mnt", to="b.html")[0] == 0
            assert requests(simulator) == before
            a, b = (clips(tmp_path / name) for name in ("a.html", "b.html"))
            assert a == b
            assert len(a) == 25 + 8
            turns = [clip for clip in a if "[00:0" in clip[3]]
            assert bool(turns) == synced


@pytest.mark.fuse
def test_a_mount_without_texts_costs_no_request_an_item_either(simulator, tmp_path, binding, page):
    with mounted(simulator, tmp_path, binding, "--files", "summary+meta+audio"):
        assert page("mnt", to="page.html", key=False) == (0, None, "")
        assert requests(simulator) == {}
    texts = [clip[3] for clip in clips(tmp_path / "page.html")]
    assert len([text for text in texts if text]) > 25


def test_paths_of_the_tree_are_below_the_page_by_default(simulator, page, tmp_path):
    status, out, err = page("by-voice/*")
    assert (status, err) == (0, "")
    assert len(clips(out)) == 25
    assert requests(simulator) == {}
    assert all(clip[2].startswith("by-date/20") for clip in clips(out))
    assert {clip[2].rpartition("/")[2] for clip in clips(out)} == {"audio.mp3", "audio.wav"}


@pytest.fixture
def copy(tmp_path):
    """A folder like a copy of a mount: three items, of which one is linked from a view."""
    for number, text in enumerate(["Hello", "مرحبا", "日本語"]):
        item = tmp_path / f"copy/by-date/2024/2024-05-0{number + 1}T11-45-06_x_id{number}"
        item.mkdir(parents=True)
        meta = {"history_item_id": f"id{number}", "voice_name": "Rachel", "text": text}
        (item / "meta.json").write_text(json.dumps(meta))
        (item / "text.txt").write_text(f"{text}\n")
        (item / "audio.mp3").write_bytes(b"\xff\xfb")
        (item / "audio.srt").write_text("1\n")
    view = tmp_path / "copy/by-voice/Rachel"
    view.mkdir(parents=True)
    (view / item.name).symlink_to(f"../../by-date/2024/{item.name}")
    (view / "loop").symlink_to("..")
    (view / "nowhere").symlink_to("nothing")
    return tmp_path / "copy"


def test_each_item_comes_once_newest_first_and_links_lead_to_it(page, copy):
    names = sorted(os.listdir(copy / "by-date/2024"), reverse=True)
    for paths, expected in (
        (["copy"], names),
        (["copy", "copy/by-voice", copy], names),
        (["copy/by-voice/Rachel"], names[:1]),
        ([copy / "by-voice/Rachel" / names[0]], names[:1]),
        ([f"copy/by-date/2024/{names[1]}/audio.mp3"], names[1:2]),
    ):
        status, out, err = page(*paths, key=False)
        assert (status, err) == (0, ""), paths
        assert [clip[2] for clip in clips(out)] == [
            f"copy/by-date/2024/{name}/audio.mp3" for name in expected
        ]
    assert [clip[3] for clip in clips(page("copy", key=False)[1])] == ["日本語", "مرحبا", "Hello"]


def test_folders_of_one_name_that_is_no_items_are_two_items(page, copy):
    for number, item in enumerate(sorted(copy.glob("by-date/2024/*"))[:2]):
        (copy / str(number)).mkdir()
        item.rename(copy / str(number) / "take")
    found = [clip[2] for clip in clips(page("copy", key=False)[1])]
    assert len(found) == 3
    assert {"copy/0/take/audio.mp3", "copy/1/take/audio.mp3"} < set(found)


BAD = [
    b"",
    b"{",
    b"[]",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"history_item_id": 5, "alignments": [], "dialogue": {}, "date_unix": "x"}',
    b'{"conversation_id": "c", "transcript": [5, {"message": []}], "metadata": 3}',
]


@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
def test_an_item_whose_object_can_not_be_read_is_shown_without_what_it_has(page, copy, content):
    (meta,) = copy.glob("by-date/2024/*_id1/meta.json")
    meta.write_bytes(content)
    status, out, err = page("copy", key=False)
    assert [clip[3] for clip in clips(out)] == ["日本語", "مرحبا", "Hello"]
    broken = b"_id" not in content and content != b""
    assert (status, str(meta) in err) == ((1, True) if broken else (0, False))


def test_the_text_is_that_of_the_copy_else_that_of_the_object(page, copy):
    (copy / "by-date/2024/2024-05-01T11-45-06_x_id0/text.txt").write_text("Corrected\n")
    (copy / "by-date/2024/2024-05-02T11-45-06_x_id1/text.txt").unlink()
    assert [clip[3] for clip in clips(page("copy", key=False)[1])] == [
        "日本語",
        "مرحبا",
        "Corrected",
    ]


@pytest.mark.parametrize(
    ("date", "when"), [(1714650306, "2024-05-02 11:45:06"), (1e300, None), (None, None)]
)
def test_an_item_in_a_folder_of_another_name_has_the_time_of_its_object_or_file(
    page, copy, date, when, monkeypatch
):
    monkeypatch.setenv("TZ", "UTC")
    (item,) = copy.glob("by-date/2024/*_id1")
    (item / "meta.json").write_text(json.dumps({"history_item_id": "id1", "date_unix": date}))
    os.rename(item, item.with_name("renamed"))
    os.utime(item.with_name("renamed"), (0, 0))
    found = {clip[3]: clip[0] for clip in clips(page("copy", key=False)[1])}
    assert found["مرحبا"] == (when or "1970-01-01 00:00:00")


def test_what_is_no_file_is_not_read(page, copy):
    (text,) = copy.glob("by-date/2024/*_id1/text.txt")
    text.unlink()
    text.mkdir()
    status, out, err = page("copy", key=False)
    assert (status, len(clips(out))) == (1, 3)
    assert err == f"histfs: {text}: it is a directory\n"


def test_a_folder_without_clips_and_a_path_that_is_not_there_are_errors(page, copy, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").touch()
    for paths in (["empty"], ["copy", "empty"], ["copy", copy / "none"], ["empty.txt"]):
        assert page(*paths, "-o", "page.html")[0] == 1, paths
        assert not (tmp_path / "page.html").exists()
    assert page("empty", key=False)[2] == "histfs: empty: there is no clip in it\n"
    assert page("by-date/1999")[2] == "histfs: by-date/1999: there is no such path\n"
    assert page("by-date/1999", key=False)[0] == 77


def test_the_page_is_written_whole_or_not_at_all(page, copy, tmp_path):
    out = tmp_path / "page.html"
    out.write_text("old")
    assert page("copy", "-o", out, key=False) == (0, b"", "")
    assert out.read_bytes() == page("copy", key=False)[1]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    out.write_text("old")
    os.chmod(out, 0o400)
    assert page("none", "-o", out)[0] == 1
    assert out.read_text() == "old"
    for bad in ("none/page.html", ".", "/dev/null"):
        status, _, err = page("copy", "-o", bad, key=False)
        assert (status, len(err.splitlines())) == (78, 1)
    assert sorted(os.listdir(tmp_path)) == ["cache", "copy", "page.html"]


def test_addresses_are_relative_to_the_file_that_the_shell_opened(page, copy, tmp_path):
    (tmp_path / "pages").mkdir()
    for arguments in ({"to": "pages/x.html"}, {"to": None}):
        _, out, _ = page("copy", key=False, **arguments)
        found = clips(tmp_path / "pages/x.html" if arguments["to"] else out)
        assert found[0][2].startswith("../copy/" if arguments["to"] else "copy/")
    page("copy", "-o", "pages/y.html", key=False)
    assert (tmp_path / "pages/x.html").read_bytes() == (tmp_path / "pages/y.html").read_bytes()


def test_a_terminal_gets_no_page(copy, tmp_path):
    leader, follower = pty.openpty()
    done = subprocess.run(
        command("page", copy), stdout=follower, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    os.close(leader)
    os.close(follower)
    assert (done.returncode, "redirect it" in done.stderr) == (2, True)
