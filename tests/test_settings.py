import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histfs.core.secret import Secret
from histfs.settings import (
    MountOptions,
    OptionError,
    Settings,
    SettingsError,
    default_cache_dir,
    parse_base_url,
    parse_mount_options,
    parse_names,
    parse_patterns,
    parse_size,
)

KEY = "sk_0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("2000000", 2_000_000),
        ("1234B", 1234),
        ("1K", 1024),
        ("500M", 500 << 20),
        ("2G", 2 << 30),
        ("1T", 1 << 40),
        (" 2 g ", 2 << 30),
        ("1.5G", 3 << 29),
        ("2GB", 2 << 30),
        ("2GiB", 2 << 30),
        ("10B", 10),
    ],
)
def test_a_size_is_bytes_or_has_a_unit(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "G", "-1", "+1", "2X", "2 2", "1e9", "0x10", "1,5G", "inf", "nan", "9" * 400]
)
def test_what_is_no_size_is_refused(text):
    with pytest.raises(SettingsError):
        parse_size(text)


@given(st.text("0123456789.KMGTiB -", max_size=12) | st.text())
def test_any_text_is_a_size_or_is_refused(text):
    try:
        assert parse_size(text) >= 0
    except SettingsError as error:
        said = ("not a size", "more than any disk", "add the unit")
        assert any(message in str(error) for message in said)


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        ("", ()),
        (",", ()),
        ("a", ("a",)),
        ("a*,b c,[d]", ("a*", "b c", "[d]")),
        (" a ,,b,", ("a", "b")),
    ],
)
def test_patterns_have_commas_between_them(text, patterns):
    assert parse_patterns(text) == patterns


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("by-date", ("by-date",)),
        ("by-voice+by-date", ("by-voice", "by-date")),
        (" a + b ", ("a", "b")),
        ("a+b+a", ("a", "b")),
    ],
)
def test_names_have_a_plus_between_them_and_count_once(text, names):
    assert parse_names("--views", text) == names


@pytest.mark.parametrize("text", ["1", "50", "500.5", "999999"])
def test_a_small_size_without_a_unit_is_asked_about(text):
    with pytest.raises(OptionError, match=f"add the unit.*{text}M or {text}G"):
        parse_size(text)


def test_names_may_have_commas_between_them_as_well():
    assert parse_names("--views", "by-voice, by-date") == ("by-voice", "by-date")


def test_names_of_profiles_have_commas_between_them():
    assert parse_names("--profiles", " work, home,work", ",") == ("work", "home")


@pytest.mark.parametrize("text", ["", " ", "+", "a+", "+a", "a++b"])
def test_an_empty_name_is_refused_with_the_option_that_has_it(text):
    with pytest.raises(OptionError, match=r"--views .* with \+ between them"):
        parse_names("--views", text)
    with pytest.raises(OptionError, match=r"--profiles .* with commas between them"):
        parse_names("--profiles", text.replace("+", ","), ",")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://api.elevenlabs.io", "https://api.elevenlabs.io"),
        ("https://api.elevenlabs.io/", "https://api.elevenlabs.io"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/proxy/", "http://[::1]:8080/proxy"),
        ("HTTPS://API.ElevenLabs.io.:443//", "https://api.elevenlabs.io:443"),
    ],
)
def test_a_base_url_is_kept_without_the_slash_at_its_end(text, url):
    assert parse_base_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "api.elevenlabs.io",
        "ftp://host",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user@host",
        "https://user:password@host",
        "https://host?x=1",
        "https://host#part",
        "https://host?",
        "https://host#",
        "https://host:port",
        "https://host:99999",
        "https://[::1",
        "https://ho st",
        "https://host\n",
        " https://host",
        "https://0\\",
        "https://host\\@other",
        "https:\\\\host",
        "https://host:0",
        "https://host:",
        "https://[fe80::1%25eth0]",
        "https://[fe80::1%eth0]",
        "https://[1:2]",
        "https://host..",
        "https://.host",
        "https://-host",
        "https://ho%73t",
        "https://höst",
        "https://127.1",
        "https://0",
        "https://2130706433",
        "https://0x7f.0.0.1",
        "https://127.0.0.01",
        "https://host/../path",
        "https://host//path",
        "https://host/p%61th",
    ],
)
def test_a_url_that_is_more_or_less_than_a_base_is_refused(text):
    with pytest.raises(SettingsError):
        parse_base_url(text)


@pytest.mark.parametrize(
    "host",
    ["api.elevenlabs.io", "192.168.1.2:8080", "0.0.0.0", "[::]", "[2001:db8::1]",
     "127.0.0.1.example.com", "localhost.example.com", "[::ffff:10.0.0.1]"],
)  # fmt: skip
def test_http_to_another_machine_is_refused_unless_it_is_asked_for(host):
    with pytest.raises(OptionError, match="--insecure-http"):
        parse_base_url(f"http://{host}")
    assert parse_base_url(f"http://{host}", insecure_http=True) == f"http://{host}"
    assert parse_base_url(f"https://{host}") == f"https://{host}"


@pytest.mark.parametrize(
    ("host", "used"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.8.9.10:80", "127.8.9.10:80"),
        ("[::1]:80", "[::1]:80"),
        ("[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]"),
        ("LocalHost", "localhost"),
        ("localhost.", "localhost"),
    ],
)
def test_http_within_this_machine_needs_no_asking(host, used):
    assert parse_base_url(f"http://{host}") == f"http://{used}"


@pytest.mark.parametrize("text", ["https://me:pass@host", "https:\\\\me:pass@host", "me:pass@host"])
def test_a_password_in_a_url_that_is_refused_is_not_told(text):
    with pytest.raises(OptionError) as caught:
        parse_base_url(text)
    assert "pass" not in str(caught.value)


def test_without_options_a_mount_is_for_its_owner_and_holds_links():
    options = parse_mount_options([])
    assert options == MountOptions()
    assert (options.read_only, options.links, options.nonempty) == (False, True, False)
    assert options.umask == 0o077
    assert options.fuse == {}


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("ro", {"read_only": True}),
        ("nonempty", {"nonempty": True}),
        ("placement=dir", {"links": False}),
        ("placement=links", {"links": True}),
        ("umask=022", {"umask": 0o022}),
        ("uid=1000,gid=100", {"uid": 1000, "gid": 100}),
        ("allow_other,max_read=131072", {"fuse": {"allow_other": True, "max_read": "131072"}}),
        ("rw,nosuid,nodev,_netdev,x-systemd.automount,x-gvfs-name=a", {}),
        ("ro,,umask=0", {"read_only": True, "umask": 0}),
        ("views=by-day+by-date,sources=a", {"views": ("by-day", "by-date"), "sources": ("a",)}),
        ("files=audio", {"files": ("audio",)}),
        ("listen=show,tags", {"listen": "show", "tags": True}),
        ("listen=hide", {}),
        ("listen=off", {"listen": "off"}),
        ("", {}),
    ],
)
def test_options_say_what_they_say(text, changed):
    assert parse_mount_options([text]) == dataclasses.replace(MountOptions(), **changed)


def test_options_given_one_by_one_are_the_same_as_with_commas():
    assert parse_mount_options(["ro", "umask=022"]) == parse_mount_options(["ro,umask=022"])


def test_of_an_option_that_is_given_twice_the_last_one_counts():
    assert parse_mount_options(["placement=dir", "placement=links"]).links


@pytest.mark.parametrize(
    "text",
    [
        "wrong",
        "ro=1",
        "nonempty=yes",
        "placement",
        "placement=copy",
        "listen",
        "listen=yes",
        "tags=no",
        "umask=9",
        "umask",
        "umask=-1",
        "uid=root",
        "uid=-1",
        "views",
        "views=",
        "files=a++b",
        "auto_unmount",
        "direct_io",
        "intr",
    ],
)
def test_an_option_that_can_not_be_used_is_refused_by_its_name(text):
    with pytest.raises(SettingsError, match=text.partition("=")[0]):
        parse_mount_options(["allow_other", text])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", None),
        ("umask=0", None),
        ("allow_root", None),
        ("allow_other", "readable to its owner alone"),
        ("allow_other,umask=022", "readable to every user of this machine"),
        ("allow_other,umask=0", "readable to every user of this machine"),
        ("allow_other,umask=027,gid=42", "readable to the group 42"),
    ],
)
def test_it_is_told_who_else_can_read_the_history(text, message):
    exposure = parse_mount_options([text]).exposure()
    assert exposure is None if message is None else message in exposure


def test_settings_do_not_show_the_key():
    settings = Settings("https://host", Secret(KEY), Path("/cache"))
    assert KEY not in repr(settings)
    assert "https://host" in repr(settings)


def test_settings_are_not_changed():
    settings = Settings("https://host", Secret(KEY), Path("/cache"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.debug = True


def test_the_cache_is_where_the_user_keeps_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "histfs"


@pytest.mark.parametrize(
    ("typed", "meant"), [("allow-other", "allow_other"), ("unmask=022", "umask")]
)
def test_an_option_that_is_mistyped_is_answered_with_the_nearest(typed, meant):
    with pytest.raises(OptionError, match=f"did you mean {meant}"):
        parse_mount_options([typed])
