"""``mount.histfs``: mount a history from a line of fstab(5), as the user whose history it is.

mount(8) runs it as ``/sbin/mount.histfs SPEC DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]``
(see EXTERNAL HELPERS there). It ends with 0, or with 32 and one line on standard error.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import click

from histfs.cli.mount import mount

#: mount(8): "mount failure".
_FAILED = 32
#: What a user's programs are found in when mount(8) runs at boot, without a PATH.
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
#: The mount options of the kernel that change nothing here, beside those that `histfs mount -o`
#: ignores itself.
_KERNELS = {
    "async", "sync", "dirsync", "lazytime", "nolazytime", "norelatime", "strictatime",
    "nostrictatime", "diratime", "nodiratime", "atime", "iversion", "noiversion", "mand", "nomand",
    "silent", "loud", "group", "nogroup", "noowner", "nousers", "nosymfollow",
}  # fmt: skip


class Request(NamedTuple):
    """What mount(8) asks for.

    Attributes:
        user: the name of the user whose history it is; None for the calling one.
        command: the arguments of ``histfs``.
        fake: whether nothing is to be mounted (``-f``).
        verbose: whether the command is shown (``-v``).
    """

    user: str | None
    command: Sequence[str]
    fake: bool
    verbose: bool


def main() -> None:
    """Mount, and exit."""
    request = parse(sys.argv[1:])
    line = [sys.executable, "-m", "histfs", *request.command]
    if request.verbose:
        print("mount.histfs:", *line)
    if request.fake:
        return
    account = _account(request.user)
    drops = os.getuid() != account.pw_uid
    try:
        done = subprocess.run(  # noqa: S603 - histfs itself
            line,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd="/",
            env=_environment(account),
            umask=0o077,
            user=account.pw_uid if drops else None,
            group=account.pw_gid if drops else None,
            extra_groups=os.getgrouplist(account.pw_name, account.pw_gid) if drops else None,
        )
    except OSError as error:
        _fail(
            f"{account.pw_name} can't run {sys.executable}: {error.strerror}; install histfs where"
            " every user can read it"
        )
    sys.exit(_FAILED if done.returncode else 0)


def parse(arguments: Sequence[str]) -> Request:
    """Parse the arguments that mount(8) gives.

    Exits with 32 after one line where they can't be used.
    """
    try:
        with _parser.make_context("mount.histfs", list(arguments)) as context:
            given = context.params
    except click.exceptions.Exit as error:  # --help
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message())
    if given["namespace"] is not None:
        _fail("-N is not supported: histfs mounts in the namespace of its caller")
    users, options = _split(",".join(given["options"]))
    place = Path(given["directory"])
    if not place.is_absolute():
        _fail(f"{place}: give an absolute path")
    command = ["mount", *_profiles(given["spec"]), *options]
    # mount -a compares the source in the mount table with that of fstab.
    command += ["-o", f"fsname={given['spec']}", "--", str(place)]
    return Request(users[-1] if users else None, command, given["fake"], given["verbose"])


_parser = click.Command(
    "mount.histfs",
    params=[
        click.Argument(["spec"]),
        click.Argument(["directory"]),
        click.Option(["-o", "options"], multiple=True),
        click.Option(["-f", "fake"], is_flag=True),
        click.Option(["-v", "verbose"], is_flag=True),
        click.Option(["-n", "-s", "ignored"], is_flag=True),
        click.Option(["-t", "type"]),
        click.Option(["-N", "namespace"]),
    ],
)


def _profiles(spec: str) -> list[str]:
    """Return the option for the first field of a line of fstab: one profile, or several."""
    return ["--profiles" if "," in spec else "--profile", spec]


def _split(text: str) -> tuple[list[str], list[str]]:
    """Split mount options into the users that they name, and arguments of ``histfs mount``."""
    flags = {flag: option for option in mount.params for flag in option.opts}
    users, arguments = [], []
    for option in filter(None, text.split(",")):
        name, has_value, value = option.partition("=")
        flag = flags.get(f"--{name.replace('_', '-')}")
        if name == "user" and has_value:
            users.append(value)
        elif name == "remount":
            _fail("remount is not supported: unmount, and mount again")
        elif name in _KERNELS or name.startswith(("x-", "X-", "comment")):
            continue
        elif isinstance(flag, click.Option) and bool(flag.is_flag) is not bool(has_value):
            arguments += [flag.opts[-1]] if flag.is_flag else [flag.opts[-1], value]
        else:
            arguments += ["-o", option]
    return users, arguments


def _account(name: str | None) -> pwd.struct_passwd:
    """Return the account of the user whose history is mounted."""
    if name is None:
        if os.getuid() == 0:
            _fail("whose history is it? Give user=NAME in the options; user=root for that of root")
        return pwd.getpwuid(os.getuid())
    try:
        account = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        _fail(f"user={name}: there is no such user")
    if os.getuid() not in (0, account.pw_uid):
        _fail(f"user={name}: only root can mount the history of another user")
    return account


def _environment(account: pwd.struct_passwd) -> dict[str, str]:
    """Return the environment of a user's login: that of mount(8) is root's, or nearly empty."""
    runtime = Path("/run/user") / str(account.pw_uid)
    inherited = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TZ") if name in os.environ}
    return {
        "PATH": _PATH,
        **inherited,
        "HOME": account.pw_dir,
        "USER": account.pw_name,
        "LOGNAME": account.pw_name,
        "SHELL": account.pw_shell,
        **({"XDG_RUNTIME_DIR": str(runtime)} if runtime.is_dir() else {}),
    }


def _fail(line: str) -> NoReturn:
    print(f"mount.histfs: {line}", file=sys.stderr)
    sys.exit(_FAILED)
