"""The keys that ``histfs login`` keeps: in the system's keyring, or in files for the user alone.

    CONFIG/keys/PROFILE.CREDENTIAL              the key, mode 0600
    CONFIG/keys/PROFILE.CREDENTIAL.in-keyring   empty: the keyring has the key

So a command without a stored key asks no keyring, and one whose keyring is locked says so.

Threads: called by the thread of a command, before anything is mounted.
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import platformdirs

from histfs.core.secret import Secret
from histfs.core.service import Credential
from histfs.keys import credentials_directory, find_key, parse_key, read_key_file
from histfs.settings import DEFAULT_PROFILE, NoKey, SettingsError

#: The name of histfs in the keyring.
_SERVICE = "histfs"

log = logging.getLogger(__name__)


def stored_key(credential: Credential, profile: str) -> Secret | None:
    """Return the key that is kept for a profile; None if there is none.

    Raises:
        NoKey: the keyring that keeps it can't be read, or has lost it.
        SettingsError: the file that keeps it can't be read, or others can read it.
    """
    file = _file(credential, profile)
    if file.exists():
        return parse_key(credential, read_key_file(file, private=True), f"histfs login ({file})")
    if not _marker(file).exists():
        return None
    keyring = _keyring()
    if keyring is None:
        raise NoKey(
            "the API key is in the system's keyring, and there is none here: run histfs login"
            " again, or give --api-key-file FILE"
        )
    try:
        text = keyring.get_password(_SERVICE, file.name)
    except Exception as error:  # each backend has exceptions of its own
        raise NoKey(f"the system's keyring can't be read: unlock it ({error})") from error
    if text is None:
        raise NoKey("the API key is no longer in the system's keyring: run histfs login again")
    return parse_key(credential, text, "histfs login (the system's keyring)")


def account_key(
    credential: Credential,
    profile: str,
    file: Path | None,
    command: str | None,
    variable: Secret | None,
) -> Secret:
    """Return the key of an account: of a file, a command, systemd's credentials, or one of two.

    These two are the variable and the key that ``histfs login`` keeps: for a profile the kept one
    counts more, as the variable is for no profile; without a profile it counts less.

    Args:
        credential: of the service.
        profile: its name; empty for none.
        file: ``--api-key-file``.
        command: ``--api-key-command``.
        variable: the key of the environment.

    Raises:
        As `find_key`.
    """

    def stored() -> Secret | None:
        own = stored_key(credential, profile or DEFAULT_PROFILE)
        return own if profile or variable is None else variable

    login = f"histfs login --profile {profile}" if profile else "histfs login"
    return find_key(
        credential, file, command, credentials_directory(), variable, stored=stored, login=login
    )


def has_key(credential: Credential, profile: str) -> bool:
    """Return whether a key is kept for a profile; it is not read."""
    file = _file(credential, profile)
    return file.exists() or _marker(file).exists()


def store_key(credential: Credential, profile: str, key: Secret) -> str:
    """Keep a key for a profile, in place of one that was kept before.

    Returns:
        Where it is, for a person.

    Raises:
        SettingsError: it can't be kept.
    """
    file, keyring = _file(credential, profile), _keyring()
    if keyring is not None:
        try:
            keyring.set_password(_SERVICE, file.name, key.reveal())
        except Exception as error:  # noqa: BLE001 - each backend has exceptions of its own
            log.warning("the system's keyring can't be used, so a file keeps the key: %s", error)
        else:
            _write(_marker(file), "")
            file.unlink(missing_ok=True)
            return f"the system's keyring ({keyring.get_keyring().name})"
    _write(file, f"{key.reveal()}\n")
    _marker(file).unlink(missing_ok=True)
    return f"{file} (mode 0600)"


def forget_key(credential: Credential, profile: str) -> list[str]:
    """Remove the key that is kept for a profile.

    Returns:
        Where it was, for a person; empty if none was kept.

    Raises:
        SettingsError: it can't be removed.
    """
    file, places = _file(credential, profile), []
    try:
        if file.exists():
            file.unlink()
            places.append(str(file))
        if _marker(file).exists():
            if (keyring := _keyring()) is None:
                raise SettingsError("the key is in the system's keyring, and there is none here")
            try:
                keyring.delete_password(_SERVICE, file.name)
            except keyring.errors.PasswordDeleteError:
                pass  # it is not there any more
            except Exception as error:  # each backend has exceptions of its own
                raise SettingsError(f"the system's keyring can't be changed: {error}") from error
            _marker(file).unlink()
            places.append("the system's keyring")
    except OSError as error:
        raise SettingsError(f"{file} can't be removed: {error.strerror}") from error
    return places


def _file(credential: Credential, profile: str) -> Path:
    directory = platformdirs.user_config_path("histfs") / "keys"
    return directory / f"{profile}.{credential.systemd}"


def _marker(file: Path) -> Path:
    return file.with_name(f"{file.name}.in-keyring")


def _keyring() -> Any:  # noqa: ANN401 - a module
    """Return the module keyring; None where it isn't installed, or has nothing to keep a key in."""
    try:
        import keyring  # noqa: PLC0415 - an extra; it takes a while to import
    except ImportError:
        return None
    # The backends that keep nothing have priorities of 0 and below.
    return keyring if keyring.get_keyring().priority > 0 else None


def _write(file: Path, text: str) -> None:
    """Write a file for the user alone, whole or not at all."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.parent.chmod(0o700)
        descriptor, name = tempfile.mkstemp(dir=file.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as part:
                part.write(text)
                part.flush()
                os.fsync(descriptor)
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SettingsError(f"the key can't be kept in {file}: {error.strerror}") from error
