"""Where the API key comes from."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from histfs import keys
from histfs.core.secret import Secret
from histfs.core.service import Credential
from histfs.keys import NoKey, SettingsError
from histfs.settings import OptionError

KEY = "sk_0123456789abcdef"
KEY_VARIABLE = "ELEVENLABS_API_KEY"
CREDENTIAL = Credential(KEY_VARIABLE, "elevenlabs-api-key", aliases=("ELEVEN_API_KEY",))
find_key = partial(keys.find_key, CREDENTIAL)
take_key = partial(keys.take_key, credential=CREDENTIAL)


def written(file: Path, text: str | bytes, mode: int = 0o600) -> Path:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    file.chmod(mode)
    return file


def python(code: str) -> str:
    """Return the command line that runs some Python."""
    return shlex.join([sys.executable, "-c", code])


@pytest.fixture
def key_file(tmp_path) -> Path:
    return written(tmp_path / "key", f"{KEY}\n")


@pytest.fixture
def credentials(tmp_path) -> Path:
    """systemd's directory: an access control list makes its files look open to a group."""
    directory = tmp_path / "credentials"
    directory.mkdir()
    written(directory / "elevenlabs-api-key", "from-credential", 0o440)
    return directory


# The order


def test_the_first_that_is_there_counts(key_file, credentials):
    variable = Secret("from-variable", "the variable")
    command = "printf from-command"
    sources = [key_file, command, credentials, variable]
    found = []
    while any(sources):
        found.append(find_key(*sources))
        sources[len(found) - 1] = None
    assert [key.reveal() for key in found] == [
        KEY, "from-command", "from-credential", "from-variable",
    ]  # fmt: skip
    assert [key.origin for key in found] == [
        f"the file {key_file}",
        "the command printf",
        f"systemd's credential {credentials / 'elevenlabs-api-key'}",
        "the variable",
    ]


def test_a_directory_of_credentials_without_the_key_is_passed_over(tmp_path):
    variable = Secret(" from-variable ", "the variable")
    for directory in (tmp_path, tmp_path / "missing"):
        assert find_key(None, None, directory, variable).reveal() == "from-variable"


def test_no_key_is_told_with_what_to_do():
    with pytest.raises(NoKey, match=f"{KEY_VARIABLE}.*--api-key-file.*--api-key-command"):
        find_key(None, None, None, None)


# The file


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o444, 0o777])
def test_a_file_that_others_can_use_is_refused_with_what_to_run(tmp_path, mode):
    file = written(tmp_path / "my key", KEY, mode)
    with pytest.raises(SettingsError) as caught:
        find_key(file, None, None, None)
    assert f"chmod 600 '{file}'" in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_that_its_owner_alone_can_use_is_read(tmp_path, mode):
    assert find_key(written(tmp_path / "key", KEY, mode), None, None, None).reveal() == KEY


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(key_file):
    os.chown(key_file, 12345, 12345)
    with pytest.raises(SettingsError, match=r"another user \(12345\).*chmod 600"):
        find_key(key_file, None, None, None)


def test_a_credential_of_systemd_may_be_named_as_a_file(credentials):
    named = credentials / "elevenlabs-api-key"
    assert find_key(named, None, credentials, None).reveal() == "from-credential"
    with pytest.raises(SettingsError, match="chmod 600"):
        find_key(named, None, None, None)


@pytest.mark.parametrize("content", [b"", b" \n"])
def test_an_empty_file_holds_no_key_and_nothing_else_is_taken_instead(tmp_path, content):
    with pytest.raises(NoKey, match="empty"):
        find_key(written(tmp_path / "key", content), "printf x", None, Secret("x"))


@pytest.mark.parametrize(
    "content",
    [f"{KEY} x".encode(), f"{KEY}\n{KEY}".encode(), b"\xff\xfe", "ключ".encode()],
)
def test_what_can_not_be_a_key_is_refused_without_showing_it(tmp_path, content):
    file = written(tmp_path / "key", content)
    with pytest.raises(SettingsError) as caught:
        find_key(file, None, None, None)
    assert KEY not in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("name", [".", "missing", "key/below"])
def test_a_file_that_can_not_be_read_is_told_by_its_name(key_file, name):
    with pytest.raises(SettingsError, match="can't be read"):
        find_key(key_file.parent / name, None, None, None)


def test_a_named_pipe_is_read_and_not_waited_for_without_end(tmp_path, monkeypatch):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    writer = subprocess.Popen(["sh", "-c", f"sleep 0.2; echo {KEY} > {pipe}"])
    assert find_key(pipe, None, None, None).reveal() == KEY
    assert writer.wait() == 0
    monkeypatch.setattr(keys, "FILE_TIMEOUT", 0.2)
    with pytest.raises(SettingsError, match=f"{pipe}: it did not end within"):
        find_key(pipe, None, None, None)


@pytest.mark.parametrize(("device", "why"), [("/dev/zero", "not a file"), ("/", "a directory")])
def test_what_has_no_end_is_not_read(device, why):
    with pytest.raises(SettingsError, match=why):
        find_key(Path(device), None, None, None)


def test_a_file_that_is_far_too_long_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="longer than 64 KB"):
        find_key(written(tmp_path / "key", "x" * 100_000), None, None, None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link away")
def test_a_link_of_another_user_does_not_lead_to_a_key(key_file, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(key_file)
    assert find_key(link, None, None, None).reveal() == KEY
    os.lchown(link, 12345, 12345)
    with pytest.raises(SettingsError, match=f"{link}, a symbolic link of another user"):
        find_key(link, None, None, None)


# The command


@pytest.mark.parametrize("output", ["%s", "%s\\n", "\\n  %s \\nlogin: me\\n"])
def test_the_first_line_of_a_command_is_the_key(output):
    assert find_key(None, f"printf {shlex.quote(output)} {KEY}", None, None).reveal() == KEY


def test_a_command_is_run_without_a_shell():
    key = find_key(None, python("import sys; print(sys.argv[1])") + " $HOME;*", None, None)
    assert key.reveal() == "$HOME;*"


def test_what_a_command_says_on_standard_error_is_for_the_user(capfd):
    command = python(f"import sys; print('Password:', file=sys.stderr); print({KEY!r})")
    assert find_key(None, command, None, None).reveal() == KEY
    assert capfd.readouterr() == ("", "Password:\n")


def test_the_arguments_of_a_command_are_not_told():
    assert KEY not in find_key(None, f"echo {KEY}", None, None).origin
    with pytest.raises(NoKey) as caught:
        find_key(None, python(f"exit(3) or {KEY!r}"), None, None)
    assert "status 3" in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "kind", "message"),
    [
        ("false", NoKey, "status 1"),
        ("true", NoKey, "empty"),
        ("/nowhere/pass show key", NoKey, "can't be run: No such file"),
        ("/ x", NoKey, "can't be run: Permission denied"),
        (python("import os; os.kill(os.getpid(), 9)"), NoKey, "signal 9"),
        (python(r"import sys; sys.stdout.buffer.write(b'\xff')"), NoKey, "not text"),
        ("echo two words", SettingsError, "one word"),
        ("printf 'no end", OptionError, "No closing quotation"),
        (" ", OptionError, "is empty"),
        ("yes", NoKey, "longer than 64 KB"),
    ],
)
def test_a_command_that_gives_no_key_says_why_and_nothing_else_is_taken(command, kind, message):
    with pytest.raises(kind, match=message):
        find_key(None, command, None, Secret("from-variable"))


def test_a_command_that_takes_too_long_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(keys, "COMMAND_TIMEOUT", 1.0)
    number = tmp_path / "pid"
    with pytest.raises(NoKey, match="in 1 seconds"):
        find_key(None, f"sh -c 'echo $$ > {number}; exec sleep 60'", None, None)
    assert not Path(f"/proc/{number.read_text().strip()}").exists()


# The environment


def test_the_key_is_taken_out_of_the_environment_by_whatever_name():
    environment = {KEY_VARIABLE: KEY, "ELEVEN_API_KEY": KEY, "PATH": "/bin"}
    taken = take_key(environment)
    assert taken is not None
    assert (taken.reveal(), taken.origin) == (KEY, f"the variable {KEY_VARIABLE}")
    assert environment == {"PATH": "/bin"}
    assert take_key(environment) is None


def test_another_programs_key_is_not_used():
    environment = {"ELEVEN_API_KEY": KEY}
    assert take_key(environment) is None
    assert environment == {}


def test_a_taken_key_is_kept_for_the_process_and_not_for_its_children(monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    keys_found = [keys.process_key(CREDENTIAL) for _ in range(2)]
    assert [key and key.reveal() for key in keys_found] == [KEY, KEY]
    assert KEY_VARIABLE not in os.environ


def test_a_copied_environment_leaves_the_processs_own_and_counts_more_than_a_kept_key(monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    keys.process_key(CREDENTIAL)
    monkeypatch.setenv(KEY_VARIABLE, "another")
    key = keys.process_key(CREDENTIAL, dict(os.environ))
    assert key is not None
    assert (key.reveal(), os.environ[KEY_VARIABLE]) == ("another", "another")
