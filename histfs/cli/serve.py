"""``histfs serve``."""

from __future__ import annotations

import errno
import ipaddress
import os
import signal
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from histfs.cli.error_reporting import PortBusy
from histfs.cli.options import (
    WholeNumber,
    build_settings,
    no_trash_option,
    read_only_option,
    trash_option,
    tree_options,
)
from histfs.cli.paths import direct_tree
from histfs.core.secret import Secret
from histfs.core.server_url import is_loopback
from histfs.keys import read_key_file
from histfs.serving.access import Credentials
from histfs.serving.errors import ServeUnavailable
from histfs.serving.front_page import FrontPage
from histfs.settings import OptionError
from histfs.trash import Trash

if TYPE_CHECKING:
    from types import ModuleType

    from histfs.serving.server import ServeOptions

_PORT = 8766
_PASSWORD, _TOKEN = "HISTFS_SERVE_PASSWORD", "HISTFS_SERVE_TOKEN"
_file = click.Path(path_type=Path, dir_okay=False)


@click.command(context_settings={"show_default": True})
@click.option(
    "--bind",
    default="127.0.0.1",
    metavar="ADDRESS[:PORT]",
    help="The address to listen on; another than of loopback needs TLS, and a token or a user.",
)
@click.option(
    "--port",
    type=WholeNumber(0, 65535),
    metavar="PORT",
    show_default=str(_PORT),
    help="The port to listen on; 0 takes a free one.",
)
@click.option("--delete", is_flag=True, help="Let clients delete items, each after a copy of it.")
@click.option(
    "--sizes",
    "listed_sizes",
    type=click.Choice(["exact", "known"]),
    default="exact",
    help="Fetch audio when a client lists its item, so that it has a size; or list no size.",
)
@click.option("--user", metavar="NAME", help="Ask for this user, and a password.")
@click.option(
    "--password-file",
    type=_file,
    metavar="FILE",
    help=f"A file that holds the password; else ${_PASSWORD} is used.",
)
@click.option(
    "--token-file",
    type=_file,
    metavar="FILE",
    help=f"A file that holds a token, which suffices without a user; else ${_TOKEN} is used.",
)
@click.option("--tls-cert", type=_file, metavar="FILE", help="The certificate, with its chain.")
@click.option("--tls-key", type=_file, metavar="FILE", help="The private key of the certificate.")
@read_only_option
@trash_option
@no_trash_option
@tree_options
def serve(
    bind: str,
    port: int | None,
    delete: bool,
    listed_sizes: str,
    **given: Any,  # noqa: ANN401 - click's options
) -> None:
    """Serve your history by WebDAV and HTTP, for machines and programs without FUSE.

    It shows what a mount shows, with directories in place of links, and is read-only without
    --delete. It runs until it is interrupted (Ctrl-C).

    \b
    Examples:
      histfs serve                      # on this machine: http://127.0.0.1:8766/
      rclone copy :webdav:by-date/2024 ~/2024 --webdav-url http://127.0.0.1:8766/
      histfs serve --bind 0.0.0.0:8443 --token-file token --tls-cert cert.pem --tls-key key.pem
    """  # noqa: D301 - the control character is click's
    address, chosen = _address(bind, port)
    credentials = _credentials(given["user"], given["password_file"], given["token_file"])
    tls = _tls(given["tls_cert"], given["tls_key"])
    if not is_loopback(address) and not (credentials and tls):
        raise OptionError(
            f"--bind {bind} is open to other machines: give --tls-cert and --tls-key, and"
            " --token-file, or --user and --password-file"
        )
    if tls is not None:
        _require_usable(*tls)
    settings = build_settings(given)
    if delete and settings.options.read_only:
        raise OptionError("--delete and --read-only exclude each other")
    if delete and settings.trash is not None:
        Trash(settings.trash).open()
    module = _server_module()
    options = module.ServeOptions(
        address, chosen, credentials, tls, delete=delete, exact=listed_sizes == "exact"
    )
    with direct_tree(settings) as tree, _stop_signals() as stopped, ExitStack() as running:
        with _listening(options):
            url = running.enter_context(module.serving(tree, options, FrontPage(tree)))
        how = "items can be deleted" if delete else "read-only"
        click.echo(f"Serving {url} ({how}) until Ctrl-C.")
        sys.stdout.flush()
        stopped.wait()


def _server_module() -> ModuleType:
    """Import what needs the extra.

    Raises:
        ServeUnavailable: it isn't installed.
    """
    try:
        from histfs.serving import server  # noqa: PLC0415
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "histfs":
            raise
        raise ServeUnavailable(
            f"histfs serve needs WsgiDAV and Cheroot ({error}): pip install 'histfs[serve]'"
        ) from error
    return server


def _address(bind: str, port: int | None) -> tuple[str, int]:
    """Return the address, without brackets, and the port."""
    host, separator, own = bind.rpartition(":")
    if not separator or (":" in host and not host.endswith("]")):
        host, own = bind, ""  # no port, or an IPv6 address without brackets
    host = host.strip("[]")
    if host.lower() == "localhost":
        host = "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
        in_bind = int(own) if own else None
    except ValueError:
        raise OptionError(
            f"--bind {bind!r} is not an address such as 127.0.0.1, [::1] or 0.0.0.0:8443"
        ) from None
    if in_bind is not None and port is not None:
        raise OptionError("--bind with a port and --port exclude each other")
    chosen = next((each for each in (in_bind, port) if each is not None), _PORT)
    if not 0 <= chosen <= 65_535:
        raise OptionError(f"--bind {bind!r}: the port is not between 0 and 65535")
    return str(address), chosen


def _credentials(
    user: str | None, password_file: Path | None, token_file: Path | None
) -> Credentials | None:
    """Return what clients must have; None for nothing."""
    password = _secret(password_file, _PASSWORD, "--password-file")
    token = _secret(token_file, _TOKEN, "--token-file")
    if user is not None and (not user or ":" in user):
        raise OptionError(f"--user {user!r} is empty, or has a colon, which HTTP does not allow")
    if (user is None) != (password is None):
        raise OptionError(
            f"--user and a password, from --password-file or ${_PASSWORD}, belong together"
        )
    return None if password is token is None else Credentials(user, password, token)


def _secret(file: Path | None, variable: str, option: str) -> Secret | None:
    """Return a secret from a file, else from the environment, out of which it is taken."""
    found = os.environ.pop(variable, None)
    if file is not None:
        content = read_key_file(file, private=True, what=option.removesuffix("-file").strip("-"))
        text, origin = content.partition("\n")[0].rstrip("\r"), str(file)
    elif found is not None:
        text, origin = found, f"${variable}"
    else:
        return None
    if not text:
        raise OptionError(f"{origin} is empty: {option} needs a line of text")
    return Secret(text, origin)


def _tls(cert: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise OptionError("--tls-cert and --tls-key belong together")
    return cert, key


def _require_usable(cert: Path, key: Path) -> None:
    """Raise OptionError if a server can't use a certificate and its key."""
    try:
        # A key that asks for a passphrase fails: nobody may be there to give it.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=lambda: "")
    except OSError as error:
        reason = error.strerror or error
        raise OptionError(
            f"the certificate {cert} and its key {key} can't be used: {reason}"
        ) from error


@contextmanager
def _listening(options: ServeOptions) -> Iterator[None]:
    """Raise what keeps the server from listening in one line."""
    try:
        yield
    except OSError as error:
        message = (
            f"can't listen on {options.address} port {options.port}: {error.strerror or error}"
        )
        if error.errno == errno.EADDRINUSE:
            raise PortBusy(f"{message}; give another --port, or 0 for a free one") from error
        raise OptionError(message) from error


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set."""
    stopped = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stopped.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
