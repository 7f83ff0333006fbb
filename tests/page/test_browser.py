"""The page in headless Chromium: sound, words, filters, keys, ten thousand clips, foreign texts."""

from __future__ import annotations

import contextlib
import functools
import http.server
import shutil
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from histfs.core.captions import TimedWord, words_of_characters
from histfs.page import PageClip, page
from histfs.page.clip import audio_address
from histfs.simulator.sample_clips import load_samples

ODD = ["plain", "a b", "50% #1?", "%20&+;=", "quotes '\"", "grüße 日本 👋", "10:30", "back\\slash"]
CARDS = "[...document.querySelectorAll('article')]"
NAMES = f"{CARDS}.map(e => e.querySelector('h2').textContent)"
LIT = "document.querySelector('.lit')?.textContent"
COUNT = "document.getElementById('count').textContent"
PROBLEM = "document.getElementById('problem').textContent"
CHOSEN = "document.querySelector('.chosen time')?.textContent"
PLAYING = "document.querySelectorAll('.playing').length"


SAMPLE = load_samples().clips[0]
WORDS = words_of_characters(
    SAMPLE.alignment.characters,
    SAMPLE.alignment.character_start_times_seconds,
    SAMPLE.alignment.character_end_times_seconds,
)
CLIP = PageClip("2024-05-02 11:45:06", ("Rachel",), None, SAMPLE.text, WORDS, SAMPLE.duration)


def day(number):
    return f"{2020 + number // 336}-{number // 28 % 12 + 1:02}-{number % 28 + 1:02} 11:45:06"


@pytest.fixture
def folder(tmp_path):
    """A folder with a page of clips whose folders have odd names, the first one on top."""
    clips = []
    for number, name in enumerate(ODD):
        audio = tmp_path / "history" / name / "audio.mp3"
        audio.parent.mkdir(parents=True)
        audio.write_bytes(SAMPLE.frames)
        address = audio_address(str(audio), str(tmp_path))
        clips.append(replace(CLIP, when=day(number), voices=(name,), audio=address))
    (tmp_path / "page.html").write_bytes(page(clips, "History"))
    return tmp_path


def show(browser, path, *clips):
    path.write_bytes(page(clips, "History"))
    browser.open(path.as_uri())


def press(browser, *keys):
    for key in keys:
        browser.key(key)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and notes what was asked for."""

    def log_message(self, form, *values):
        self.server.asked.append(unquote(self.path))


@contextlib.contextmanager
def served(folder):
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", server.asked
        finally:
            server.shutdown()
            thread.join()


def outside(browser, base):
    """Return the requests for something else than what is below an address."""
    return [url for url in browser.requests if not url.startswith((base, "data:"))]


@pytest.mark.parametrize("number", range(len(ODD)), ids=ODD)
def test_a_clip_plays_from_a_folder_of_any_name(browser, folder, number):
    browser.open((folder / "page.html").as_uri())
    assert [url for url in browser.requests if not url.startswith("data:")] == []
    browser.click(f"{CARDS}[{number}].querySelector('.play')")
    browser.until(f"{CARDS}[{number}].querySelector('.lit') && {PLAYING} === 1")
    assert outside(browser, folder.as_uri()) == []
    assert (browser.problems, browser.evaluate(PROBLEM)) == ([], "")


def test_the_words_light_up_with_the_sound_one_after_the_other(browser, folder):
    browser.open((folder / "page.html").as_uri())
    browser.evaluate(
        """
        window.seen = [];
        new MutationObserver(() => {
          const lit = [...document.querySelectorAll('.lit')].map(e => e.textContent);
          const value = Number(document.querySelector('input[type=range]').value);
          if (lit.length && seen.at(-1)?.[0] !== lit.join()) seen.push([lit.join(), value]);
        }).observe(document.querySelector('article'), {subtree: true, attributes: true});
        """
    )
    press(browser, "j", " ")
    browser.until("document.getElementById('now').textContent.startsWith('Paused')")
    seen = browser.evaluate("seen")
    assert [word for word, _ in seen] == [word.text for word in WORDS]
    for (_, at), word in zip(seen, WORDS, strict=True):
        assert word.start / 1000 - 0.05 <= at <= word.end / 1000 + 0.4


def test_a_click_on_a_word_plays_from_there(browser, folder):
    browser.open((folder / "page.html").as_uri())
    last = len(WORDS) - 2
    browser.click(f"{CARDS}[1].querySelectorAll('.word')[{last}]")
    assert browser.until(LIT) in (WORDS[last].text, WORDS[last + 1].text)
    at = browser.evaluate(f"Number({CARDS}[1].querySelector('input').value)")
    assert at >= WORDS[last].start / 1000 - 0.01
    browser.until(f"{PLAYING} === 1")
    # Another clip takes its place.
    browser.click(f"{CARDS}[0].querySelector('.word')")
    assert browser.until(f"{CARDS}[0].querySelector('.lit')?.textContent")
    assert browser.evaluate(f"[{PLAYING}, document.querySelectorAll('.lit').length]") == [1, 1]


def test_the_slider_seeks_before_the_clip_was_ever_played(browser, folder):
    browser.open((folder / "page.html").as_uri())
    browser.evaluate(
        f"(slider => {{ slider.value = {WORDS[2].start / 1000 + 0.01};"
        f" slider.dispatchEvent(new Event('input')) }})({CARDS}[0].querySelector('input'))"
    )
    assert browser.evaluate(LIT) == WORDS[2].text
    assert outside(browser, "data:") == []
    browser.click(f"{CARDS}[0].querySelector('.play')")
    assert browser.until("document.querySelector('.playing') && " + LIT) == WORDS[2].text


def test_search_voice_and_dates_narrow_the_list(browser, tmp_path):
    clips = [
        replace(CLIP, when=day(n), voices=(("Rachel", "Adam")[n % 2],), text=f"Número {n:03} über")
        for n in range(30)
    ]
    show(browser, tmp_path / "page.html", *clips)
    assert browser.evaluate(COUNT) == "30 clips"
    press(browser, "/")
    browser.write("NUMERO 007 uber")
    assert browser.evaluate(COUNT) == "1 of 30 clips"
    assert browser.evaluate(NAMES) == [f"Adam{day(7)}"]
    # Keys are letters in the search box, and Escape leaves it.
    browser.write("jk /")
    assert browser.evaluate(COUNT) == "0 of 30 clips"
    press(browser, "Escape")
    assert browser.evaluate("document.activeElement === document.body")
    set_to = (
        "((id, value) => { const e = document.getElementById(id); e.value = value;"
        " e.dispatchEvent(new Event('input')) })"
    )
    browser.evaluate(f"{set_to}('search', '')")
    browser.evaluate(f"{set_to}('voice', '1')")
    assert browser.evaluate(COUNT) == "15 of 30 clips"
    browser.evaluate(f"{set_to}('from', '{day(10)[:10]}')")
    browser.evaluate(f"{set_to}('to', '{day(12)[:10]}')")
    assert browser.evaluate(NAMES) == [f"Rachel{day(10)}", f"Rachel{day(12)}"]
    assert browser.problems == []


def test_the_keyboard_is_enough(browser, folder):
    browser.open((folder / "page.html").as_uri())
    press(browser, "j")
    assert (
        browser.evaluate(f"[{CHOSEN}, document.activeElement.querySelector('time').textContent]")
        == [day(0)] * 2
    )
    press(browser, "j", "j", "k")
    assert browser.evaluate(CHOSEN) == day(1)
    press(browser, " ")
    browser.until(f"{CARDS}[1].matches('.playing')")
    press(browser, " ")
    browser.until(f"{PLAYING} === 0")
    # A focused button acts once, and the page does not act for it, too.
    browser.evaluate(f"{CARDS}[1].querySelector('.play').focus()")
    press(browser, " ")
    browser.until(f"{PLAYING} === 1")
    assert browser.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Pause")
    # Keys with a modifier are the browser's.
    browser.key("j", modifiers=2)
    assert browser.evaluate(CHOSEN) == day(1)


def test_the_next_clip_is_played_only_if_that_is_chosen(browser, folder):
    for chosen, ends in ((False, f"{PLAYING} === 0"), (True, f"{CARDS}[1].matches('.playing')")):
        browser.open((folder / "page.html").as_uri())
        if chosen:
            browser.click("document.getElementById('on')")
        browser.click(f"{CARDS}[0].querySelector('.play')")
        browser.until(f"{CARDS}[0].matches('.playing')")
        browser.click(f"{CARDS}[0].querySelectorAll('.word')[{len(WORDS) - 1}]")
        browser.until(f"{CARDS}[0].matches('.playing') === false && {ends}")


def test_a_clip_that_is_not_there_is_told_and_can_be_tried_again(browser, folder):
    audio = folder / "history" / ODD[0] / "audio.mp3"
    audio.rename(folder / "away")
    browser.open((folder / "page.html").as_uri())
    browser.click(f"{CARDS}[0].querySelector('.play')")
    assert f"{ODD[0]}, {day(0)}" in browser.until(PROBLEM)
    (folder / "away").rename(audio)
    browser.click(f"{CARDS}[0].querySelector('.play')")
    browser.until(f"Number({CARDS}[0].querySelector('input').value) > 0.2")
    assert browser.evaluate(PROBLEM) == ""


def test_ten_thousand_clips_cost_what_is_on_the_screen(browser, tmp_path):
    clips = [replace(CLIP, when=day(n), audio=f"{n}/audio.mp3") for n in range(10_000)]
    (tmp_path / "page.html").write_bytes(page(clips, "History"))
    seconds = browser.open((tmp_path / "page.html").as_uri())
    assert seconds < 10
    nodes = "document.querySelectorAll('*').length"
    assert browser.evaluate(nodes) < 500
    assert browser.evaluate(f"{CARDS}[0].ariaSetSize") == "10000"
    scroller = "document.getElementById('scroller')"
    last = f"{CARDS}.at(-1)"
    gap = f"{last}.getBoundingClientRect().bottom - {scroller}.getBoundingClientRect().bottom"
    # Rows turn out to have other heights than was estimated: the end is where it is then.
    browser.until(
        f"{scroller}.scrollTop = {scroller}.scrollHeight, new Promise(done => setTimeout(() =>"
        f" done({last}.ariaPosInSet === '10000' && Math.abs({gap}) < 2), 50))"
    )
    assert browser.evaluate(nodes) < 500
    press(browser, "j")
    assert browser.evaluate(CHOSEN) == day(0)
    press(browser, "/")
    browser.write(day(5000))
    assert browser.evaluate(f"[{COUNT}, {CARDS}[0].ariaSetSize]") == ["1 of 10,000 clips", "1"]
    assert browser.problems == []


def test_rows_stand_one_below_the_other_at_any_width(browser, tmp_path):
    clips = [replace(CLIP, when=day(n), text=f"{CLIP.text} " * (n % 7 + 1)) for n in range(200)]
    show(browser, tmp_path / "page.html", *clips)
    gaps = (
        "(a => a.slice(1).map((e, i) =>"
        f" e.getBoundingClientRect().top - a[i].getBoundingClientRect().bottom))({CARDS})"
    )
    for width in (1000, 360):
        browser.emulate(width, 800)
        for top in (0, 5000, 9000):
            browser.evaluate(f"document.getElementById('scroller').scrollTop = {top}")
            assert browser.until(
                f"(g => g.length > 5 && g.every(x => Math.abs(x) < 1) && g.length)({gaps})"
            )
    assert browser.evaluate("document.documentElement.scrollWidth") == 360
    browser.emulate(1000, 800)


TEXTS = [
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>",
    "</script><script>window.hacked = 1</script>",
    "{{script}} <!-- ]]> & &amp; \u2028\u2029 \0 \x1b",
    "مرحبا بالعالم",
    "日本語のテキストです。",
    "👩‍👩‍👧 👋🏽 e\u0301",
    "word " * 4000,
    "",
]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_any_text_is_shown_as_it_is(browser, tmp_path, text):
    words = [TimedWord(each, 1000 * n, 1000 * n + 900) for n, each in enumerate(text.split())]
    show(
        browser,
        tmp_path / "page.html",
        replace(CLIP, text=text, words=words, audio="a.mp3", voices=(text,)),
    )
    if browser.evaluate("document.querySelector('.more') !== null"):
        assert browser.evaluate("document.querySelectorAll('*').length") < 500
        browser.click("document.querySelector('.more')")
    assert browser.evaluate("document.querySelector('.text')?.textContent ?? ''") == text
    assert (
        browser.evaluate("[...document.querySelectorAll('.word')].map(e => e.textContent)")
        == text.split()
    )
    assert browser.evaluate("window.hacked") is None
    assert browser.problems == []


def test_a_right_to_left_text_begins_at_the_right(browser, tmp_path):
    show(browser, tmp_path / "page.html", replace(CLIP, text=TEXTS[3], words=()))
    assert browser.evaluate("getComputedStyle(document.querySelector('.text')).direction") == "rtl"


def test_the_policy_stops_what_the_page_does_not_do_itself(browser, folder):
    with served(folder) as (base, asked):
        browser.open(f"{base}/page.html")
        for attempt in (
            "fetch('/page.html?')",
            "import('data:text/javascript,1')",
            "new Promise((_, no) => { const i = new Image(); i.onerror = no; i.src = '/x.png' })",
        ):
            assert browser.evaluate(f"{attempt}.then(() => 'done', () => 'stopped')") == "stopped"
        assert asked == ["/page.html"]


def test_the_page_plays_from_a_web_server_and_asks_for_nothing_else(browser, folder):
    with served(folder) as (base, asked):
        browser.open(f"{base}/page.html")
        browser.click(f"{CARDS}[2].querySelector('.play')")
        browser.until(f"{CARDS}[2].querySelector('.lit')")
        assert set(asked) == {"/page.html", f"/history/{ODD[2]}/audio.mp3"}
    assert browser.problems == []


def test_colours_are_those_of_the_system(browser, folder):
    colours = set()
    for scheme in ("light", "dark"):
        browser.emulate(1000, 800, scheme)
        browser.open((folder / "page.html").as_uri())
        colours.add(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
    browser.emulate(1000, 800)
    assert len(colours) == 2


@pytest.fixture(scope="module")
def axe():
    """axe-core, if npm has installed it for all."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    done = subprocess.run(["npm", "root", "--global"], capture_output=True, text=True)
    source = Path(done.stdout.strip(), "axe-core", "axe.min.js")
    if not source.is_file():
        pytest.skip("axe-core is not installed: npm install --global axe-core")
    return source.read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, folder, axe, scheme):
    browser.emulate(1000, 800, scheme)
    browser.open((folder / "page.html").as_uri())
    browser.click(f"{CARDS}[0].querySelectorAll('.word')[1]")
    browser.until(LIT)
    browser.evaluate(f"{axe}; 0")
    found = browser.evaluate(
        "axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))"
    )
    browser.emulate(1000, 800)
    assert found == []
