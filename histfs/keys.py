"""Find the API key: a file, a command, systemd's credentials, the environment, `histfs.key_store`.

The result is a `Secret` with its origin, which `histfs status` and `histfs doctor` show.

Threads: `_lock` guards `_taken` and `_unread`; it is held while a key is taken out of the
environment.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import threading
import time
from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path

from histfs.core.bounded_input import InputFailed, opened, read_all
from histfs.core.file_trust import distrust_links
from histfs.core.secret import Secret
from histfs.core.service import Credential
from histfs.settings import NoKey, OptionError, SettingsError

#: Seconds that a command may take; it may ask the user for a password.
COMMAND_TIMEOUT = 60.0
#: Seconds in which a key file must end; it may be a named pipe.
FILE_TIMEOUT = 10.0
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
#: The keys that this process took out of its environment, by variable.
_taken: dict[str, Secret] = {}
#: The variables of other programs that were found, for the message when there is no key.
_unread: set[str] = set()
_lock = threading.Lock()


def take_key(environment: MutableMapping[str, str], credential: Credential) -> Secret | None:
    """Take a key out of an environment, so that no child process inherits it.

    Args:
        environment: the process's environment; loses each variable that may hold such a key.
        credential: names the variables.

    Returns:
        The value of `Credential.variable`; None if it is not set.
    """
    for name in credential.aliases:
        if environment.pop(name, None):
            _unread.add(name)
    value = environment.pop(credential.variable, None)
    if value is None:
        return None
    return credential.secret(value, f"the variable {credential.variable}")


def process_key(
    credential: Credential, environment: MutableMapping[str, str] | None = None
) -> Secret | None:
    """Take a key out of this process's environment, and keep it for later calls.

    So a second account of the process finds the key, and no child process does.

    Args:
        credential: names the variables.
        environment: taken from instead, and not kept; a copy leaves the process's own as it is.
    """
    with _lock:
        key = take_key(os.environ if environment is None else environment, credential)
        if key is not None and environment is None:
            _taken[credential.variable] = key
        return _taken.get(credential.variable) if key is None else key


def credentials_directory() -> Path | None:
    """Return the directory of systemd's credentials for this process; None for none."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(directory) if directory else None


def find_key(
    credential: Credential,
    file: Path | None,
    command: str | None,
    credentials: Path | None,
    variable: Secret | None,
    *,
    stored: Callable[[], Secret | None] = lambda: None,
    login: str = "",
    advice: str = "--api-key-file FILE or --api-key-command CMD",
) -> Secret:
    """Return the API key from the first of these sources that exists.

    Args:
        credential: of the service.
        file: ``--api-key-file``.
        command: ``--api-key-command``.
        credentials: the directory of systemd's credentials, which may not have the key.
        variable: the key of the environment.
        stored: returns the key that ``histfs login`` keeps, or what counts more than that; asked
            only where the sources before it have none.
        login: the command that keeps a key; empty for none.
        advice: how else the user can give a key, for the error.

    Raises:
        NoKey: no source exists, or the command failed.
        SettingsError: the file can't be read, others can read it, or its content is not a key.
    """
    if file is not None:
        # systemd protects its credentials by an access control list; their mode shows its mask.
        own = credentials is None or file.parent.absolute() != credentials.absolute()
        return parse_key(
            credential, read_key_file(file, private=own), f"the file {file.absolute()}"
        )
    if command is not None:
        return _ask(credential, command)
    if credentials is not None and (credentials / credential.systemd).exists():
        path = credentials / credential.systemd
        return parse_key(
            credential, read_key_file(path, private=False), f"systemd's credential {path}"
        )
    key = stored() or variable
    if key is not None:
        return parse_key(credential, key.reveal(), key.origin)
    raise NoKey(_no_key(credential, login, advice))


def _no_key(credential: Credential, login: str, advice: str) -> str:
    """Return the message for a user who has given no key."""
    if not login:
        return f"no API key: set {credential.variable}, or give {advice}"
    unread = sorted(_unread.intersection(credential.aliases))
    found = f" ({', '.join(unread)} is not read)" if unread else ""
    made = f"make one at {credential.page} and" if credential.page else "have one made, and"
    return (
        f"no API key{found}: {made} run {login} (or set {credential.variable}, or give {advice});"
        " histfs mount --demo needs none"
    )


def read_key_file(file: Path, private: bool, what: str = "API key") -> str:
    """Read a key file.

    Args:
        file: the file.
        private: whether to refuse a file that other users can read or write.
        what: is in it, for messages.

    Raises:
        SettingsError: it can't be read, or is refused.
    """
    try:
        with opened(file) as fd:
            if private:
                _check_private(file, os.fstat(fd), what)
            return read_all(fd, FILE_TIMEOUT).decode()
    except UnicodeDecodeError:
        reason = "it is not text"
    except InputFailed as error:
        reason = str(error)
    except OSError as error:
        reason = str(error.strerror)
    raise SettingsError(f"the {what} can't be read from {file}: {reason}")


def _check_private(file: Path, status: os.stat_result, what: str) -> None:
    if refused := distrust_links(file):
        raise SettingsError(f"the {what} file {refused}")
    path, user = shlex.quote(str(file)), os.geteuid()
    if status.st_uid not in (0, user):
        raise SettingsError(
            f"the {what} file {file} belongs to another user ({status.st_uid}): run"
            f" chown {user} {path} && chmod 600 {path}"
        )
    if status.st_mode & _OTHERS:
        raise SettingsError(
            f"the {what} file {file} is open to others (mode {stat.S_IMODE(status.st_mode):04o}):"
            f" run chmod 600 {path}"
        )


def _ask(credential: Credential, command: str) -> Secret:
    """Run a command, without a shell; its standard error goes to the user.

    Returns:
        The first line of its output: password managers print more below.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise OptionError(f"--api-key-command can't be understood: {error}") from None
    if not words:
        raise OptionError("--api-key-command is empty")
    # Without the arguments: one of them may be the key.
    origin = f"the command {words[0]}"
    try:
        status, output = _run(words)
    except InputFailed as error:
        raise NoKey(f"{origin} gave no API key: {error}") from None
    except subprocess.TimeoutExpired:
        raise NoKey(f"{origin} gave no API key in {COMMAND_TIMEOUT:.0f} seconds") from None
    except UnicodeDecodeError:
        raise NoKey(f"{origin} gave no API key: its output is not text") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise NoKey(f"{origin} that gives the API key can't be run: {reason}") from None
    if status < 0:
        raise NoKey(f"{origin} gave no API key: signal {-status} ended it")
    if status:
        raise NoKey(f"{origin} gave no API key: it ended with status {status}")
    return parse_key(credential, output.strip().partition("\n")[0], origin)


def _run(words: Sequence[str]) -> tuple[int, str]:
    """Run a command, and return its exit status and its output."""
    deadline = time.monotonic() + COMMAND_TIMEOUT
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:  # noqa: S603 - the user's own
        try:
            assert process.stdout is not None
            output = read_all(process.stdout.fileno(), COMMAND_TIMEOUT)
            return process.wait(max(0.0, deadline - time.monotonic())), output.decode()
        finally:
            process.kill()


def parse_key(credential: Credential, text: str, origin: str) -> Secret:
    """Return the key that a text holds.

    Args:
        credential: of the service.
        text: the key, perhaps between white space.
        origin: where it comes from, for a person.

    Raises:
        NoKey: the text is empty.
        SettingsError: it can't be a key.
    """
    key = text.strip()
    if not key:
        raise NoKey(f"{origin} holds no API key: it is empty")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError(f"{origin} holds no API key: a key is one word of plain characters")
    return credential.secret(key, origin)
