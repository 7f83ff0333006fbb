"""Other packages' plugins in a mount: those of the example, and those with every fault there is."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from histfs.simulator import Simulator, SimulatorSettings
from tests.support.eventually import eventually
from tests.support.mounts import command, mounted

EXAMPLES = Path(__file__).parent.parent / "examples"
#: The second of May in 2024, a quarter to twelve.
NOON = 1_714_650_306


@pytest.fixture(scope="module")
def install(tmp_path_factory):
    """Install an example into a directory; only processes with it on their path see it."""
    sites = {}

    def install(name):
        if name not in sites:
            directory = tmp_path_factory.mktemp(name)
            copy = shutil.copytree(EXAMPLES / name, directory / name)
            site = directory / "site"
            command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
            offline = ["--no-build-isolation", "--no-deps", "--no-index"]
            subprocess.run([*command, *offline, "--target", site, copy], check=True, timeout=100)
            sites[name] = site
        return sites[name]

    return install


@pytest.fixture
def server():
    with Simulator(SimulatorSettings(items=12, days=3)) as simulator:
        yield simulator


def configure(text: str) -> None:
    file = Path(os.environ["XDG_CONFIG_HOME"]) / "histfs" / "config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture
def recordings(tmp_path):
    """A folder with two recordings, which the configuration file names."""
    folder = tmp_path / "recordings"
    (folder / "talks").mkdir(parents=True)
    (folder / "hello.mp3").write_bytes(b"hello\0audio")
    (folder / "hello.txt").write_text("Hello there")
    (folder / "talks" / "long.wav").write_bytes(b"long\0audio" * 20_000)
    (folder / "talks" / "long.txt").write_text("word " * 150)
    for number, path in enumerate([folder / "hello.mp3", folder / "talks" / "long.wav"]):
        os.utime(path, (NOON + number, NOON + number))
    configure(f'[sources.recordings]\nfolder = "{folder}"\n')
    return folder


@pytest.fixture
def dictations(tmp_path):
    """Two accounts of a service with tokens, and its table of the configuration file."""
    folder = tmp_path / "dictations"
    for name in ("ann", "bob"):
        (folder / name).mkdir(parents=True)
        (folder / name / ".token").write_text(f"token-of-{name}-0123456789")
        (folder / name / f"{name}.mp3").write_bytes(b"hello\0audio")
    table = f'[sources.dictations]\nfolder = "{folder}"\n'
    configure(table)
    return table


@pytest.fixture
def histfs(install, tmp_path):
    """Run a command beside the example, with no other key than those that are given."""

    def histfs(*arguments, **env):
        place = ["--cache-dir", tmp_path / "cache"]
        return subprocess.run(
            command(*arguments, *place), capture_output=True, text=True, timeout=60,
            env={**os.environ, "PYTHONPATH": str(install("recordings")), **env},
        )  # fmt: skip

    return histfs


TOKEN = {"DICTAPHONE_TOKEN": "token-of-ann-0123456789"}


def test_a_source_of_another_service_alone_needs_its_own_key_alone(histfs, dictations):
    done = histfs("ls", "--sources", "dictations", **TOKEN)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["by-date", "by-length"]
    done = histfs("ls", "--sources", "dictations", ELEVENLABS_API_KEY="sk_0123456789")
    assert done.returncode == 77
    assert "set DICTAPHONE_TOKEN, or give --api-key-file" in done.stderr


def test_doctor_asks_the_service_of_the_sources_that_are_chosen(histfs, dictations):
    done = histfs("doctor", "--sources", "dictations", **TOKEN)
    assert "ok key from the variable DICTAPHONE_TOKEN" in " ".join(done.stdout.split())
    assert "ok dictations the account ann" in " ".join(done.stdout.split())
    done = histfs("doctor", "--sources", "dictations", DICTAPHONE_TOKEN="of-nobody-0123456789")
    assert "fail server no account has this token; check the key" in " ".join(done.stdout.split())


def test_beside_the_history_it_has_its_key_in_its_own_table(histfs, server, dictations, tmp_path):
    def ls(path, **env):
        key = {"ELEVENLABS_API_KEY": server.api_key}
        return histfs("ls", "--base-url", server.base_url, path, **key, **env)

    done = ls("/")
    assert "dictations" not in done.stdout
    assert (
        "dictations of recordings 1.0 is left out: no API key: set DICTAPHONE_TOKEN" in done.stderr
    )
    shown = set()
    for name in ("ann", "bob"):
        file = tmp_path / f"key-of-{name}"
        file.write_text(f"token-of-{name}-0123456789")
        file.chmod(0o600)
        configure(f'{dictations}api-key-file = "{file}"\n')
        done = ls("dictations/by-length/short")
        assert done.returncode == 0, done.stderr
        shown |= {line.rpartition("_")[2] for line in done.stdout.split()}
    # Another account has another catalog: nothing of it is shown as this one's.
    assert shown == {"ann%2Emp3", "bob%2Emp3"}
    assert len(list((tmp_path / "cache").glob("*/sources/dictations@*/catalog.sqlite"))) == 2


@pytest.mark.fuse
def test_a_service_of_its_own_is_mounted_under_its_name(install, dictations, tmp_path, binding):
    env = {"PYTHONPATH": str(install("recordings")), **TOKEN}
    with mounted(None, tmp_path, binding, "--sources", "dictations", env=env) as mount:
        (item,) = (mount.path / "by-length" / "short").iterdir()
        assert (item / "audio.mp3").read_bytes() == b"hello\0audio"
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        (line,) = (line for line in mounts if str(mount.path) in line)
        assert line.startswith("dictaphone:default ")


def test_the_example_passes_its_own_tests(install, tmp_path):
    env = {**os.environ, "PYTHONPATH": str(install("recordings"))}
    copy = shutil.copytree(EXAMPLES / "recordings", tmp_path / "recordings")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    # Without a place of its own it would remove the directories of earlier runs first.
    command += ["--basetemp", tmp_path / "base"]
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_the_command_tells_what_the_example_brings(install):
    env = {**os.environ, "PYTHONPATH": str(install("recordings"))}
    done = subprocess.run(command("plugins"), env=env, capture_output=True, text=True, timeout=60)
    lines = [line.split() for line in done.stdout.splitlines()]
    brought = [(kind, name) for kind, name, package, *_ in lines if package == "recordings"]
    assert brought == [
        ("source", "dictations"),
        ("source", "recordings"),
        ("view", "by-length"),
        ("file", "words"),
    ]


def below(directory: Path, *names: str) -> list[str]:
    return sorted(path.name for path in directory.joinpath(*names).iterdir())


@pytest.mark.fuse
def test_a_source_a_view_and_a_file_of_another_package(
    install, server, recordings, tmp_path, binding
):
    env = {"PYTHONPATH": str(install("recordings"))}
    with mounted(server, tmp_path, binding, env=env) as mount:
        home = mount.path / "recordings"
        hello, long = sorted((home / "by-date/2024/05/02").iterdir())
        assert hello.name == "2024-05-02T11-45-06_hello-there_hello%2Emp3"
        assert below(hello) == ["audio.mp3", "meta.json", "text.txt", "words.txt"]
        assert (hello / "audio.mp3").read_bytes() == b"hello\0audio"
        assert (hello / "text.txt").read_text() == "Hello there\n"
        assert (hello / "words.txt").read_text() == "2\n"
        assert (long / "audio.wav").read_bytes() == b"long\0audio" * 20_000
        assert below(home, "by-length") == ["long", "short"]
        assert (home / "by-length/long" / long.name).readlink() == Path("../..", *long.parts[-5:])
        # The view and the file are there for the history, too.
        found = {path.name for path in (mount.path / "by-length").glob("*/*")}
        assert found == {path.name for path in mount.items()}
        item = mount.items()[0]
        words = len((item / "text.txt").read_text().split())
        assert (item / "words.txt").read_text() == f"{words}\n"
        # What comes, and what goes.
        shutil.rmtree(hello)
        assert not (recordings / "hello.mp3").exists()
        assert below(home, "by-length") == ["long"]
    assert len(list((tmp_path / "trash").rglob("audio.mp3"))) == 1


@pytest.mark.fuse
def test_a_folder_that_cant_be_read_is_an_error_and_not_empty(
    install, server, recordings, tmp_path, binding
):
    env = {"PYTHONPATH": str(install("recordings"))}
    elsewhere = recordings.rename(tmp_path / "elsewhere")
    with mounted(server, tmp_path, binding, "--listing-ttl", "0", env=env) as mount:
        home = mount.path / "recordings"
        assert code_of(os.listdir, home / "by-date") == "EIO"
        elsewhere.rename(recordings)
        eventually(lambda: code_of(os.listdir, home / "by-date") is None)
        day = home / "by-date/2024/05/02"
        known = below(day)
        assert len(known) == 2
        # What is known is shown, as with any source that doesn't answer.
        recordings.rename(elsewhere)
        assert below(day) == known


def code_of(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


LEFT_OUT = [
    "the source nothing of broken 0.1 is left out: NoneType is no source: it has no traits",
    "the source traitless of broken 0.1 is left out: object is no source: it has no traits",
    "the source unmade of broken 0.1 is left out: OSError: the disk is on fire",
    "the source exits of broken 0.1 is left out: SystemExit: no more",
    "the source viewless of broken 0.1 is left out: Viewless is no source: it has no list",
    "the source lost of broken 0.1 is left out: there is no view 'by-nothing': choose of ",
    "the source by-fault is left out: there is a view in the folder by-fault",
    "the view by-voice of broken 0.1 is left out: histfs ",
    "the view by-import of broken 0.1 is left out: ModuleNotFoundError: No module named 'a_module",
    "the view by-interrupt of broken 0.1 is left out: KeyboardInterrupt",
    "the view by-typo of broken 0.1 is left out: AttributeError: module 'broken' has no attribute",
    "the view by-half of broken 0.1 is left out: ByHalf is no view: it has no depth",
    "the view by-slash of broken 0.1 is left out: no folder can be called 'by/slash'",
    "the view by name of broken 0.1 is left out: a name is 1 to 20 letters, digits, - and _",
    "the view number of broken 0.1 is left out: broken:number can't be called",
    "the view another of broken 0.1 is left out: there is another view in the folder by-fault",
    "the file half of broken 0.1 is left out: HalfFile is no file: it has no deletes",
]


@pytest.mark.fuse
def test_what_is_broken_is_told_once_and_the_rest_goes_on(install, server, tmp_path, binding):
    env = {"PYTHONPATH": str(install("broken"))}
    with mounted(server, tmp_path, binding, env=env) as mount:
        assert below(mount.path) == [
            "by-date", "by-exit", "by-fault", "by-source", "by-voice", "conversations",
        ]  # fmt: skip
        assert len(mount.items()) == len(mount.items("by-voice")) == 12
        assert code_of(os.listdir, mount.path / "by-fault") == "EIO"
        assert code_of(os.listdir, mount.path / "by-exit") == "EIO"
        item = mount.items()[0]
        names = {"audio.mp3", "exiting.txt", "faulty.txt", "meta.json", "text.txt"}
        assert {*below(item)} - {"audio.srt"} == names
        assert (item / "faulty.txt").stat().st_size > 0
        assert code_of((item / "faulty.txt").read_bytes) == "EIO"
        assert (item / "exiting.txt").stat().st_size > 0
        assert code_of((item / "exiting.txt").read_bytes) == "EIO"
        assert len((item / "audio.mp3").read_bytes()) > 1000
        shutil.rmtree(item)
        assert len(mount.items()) == 11
        (copy,) = (tmp_path / "trash").iterdir()
        assert {*below(copy)} - {"audio.srt"} == {
            "audio.mp3",
            "entry.json",
            "meta.json",
            "text.txt",
        }
        lines = mount.log.read_text().splitlines()
    left_out = [line for line in lines if "left out" in line]
    assert len(left_out) == len(LEFT_OUT), "\n".join(left_out)
    for expected in LEFT_OUT:
        assert sum(expected in line for line in left_out) == 1, expected
    assert sum("ZeroDivisionError: no name in filename" in line for line in lines) == 1
