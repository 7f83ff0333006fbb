"""The page on semantics claims the errors that the code has, and its session is what happens."""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from histfs.core.errors import _ERRNO
from tests.support.mounts import mounted

SOURCE = (Path(__file__).parent.parent / "man" / "histfs-semantics.7").read_text()
_END = "== end of command =="


def errors(section: str) -> set[str]:
    return set(re.findall(r"^\.It Bq Er (E[A-Z]+)$", section, re.MULTILINE))


def session() -> list[tuple[str, str]]:
    """Return the commands of all examples, each with the output that the page shows."""
    shown = "\n".join(re.findall(r"^\.Bd -literal.*?\n(.*?)\n\.Ed$", SOURCE, re.DOTALL | re.M))
    text = shown.replace(r"\-", "-").replace(r"\(aq", "'").replace(r"\e", "\\")
    commands = re.findall(r"^\$ (.*)\n?((?:(?!\$ ).*\n?)*)", f"{text}\n", re.MULTILINE)
    return [(command, output.strip("\n")) for command, output in commands]


def test_the_page_explains_each_error_and_claims_no_other():
    section = SOURCE.split(".Sh ERROR NUMBERS\n")[1].split("\n.Sh ")[0]
    own, kernels = map(errors, section.split("What the kernel, or libfuse, answers"))
    assert own == {errno.errorcode[code] for code in _ERRNO.values()}
    assert set(re.findall(r"\bEr (E[A-Z]+)", SOURCE)) == own | kernels


@pytest.mark.fuse
def test_the_session_of_the_page_is_what_happens(simulator, tmp_path, binding):
    if shutil.which("rsync") is None and os.environ.get("HISTFS_REQUIRE_FUSE") != "1":
        pytest.skip("rsync is not installed")
    commands = session()
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "histfs").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m histfs "$@"\n')
    (tools / "histfs").chmod(0o755)
    (tmp_path / "history").symlink_to("mnt")
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "HISTFS_TRASH": str(tmp_path / "trash"),
        "LC_ALL": "C",
        "PATH": f"{tools}:{os.environ['PATH']}",
        "TZ": "UTC",
    }
    script = "".join(f"{command}\necho '{_END}'\n" for command, _ in commands)
    with mounted(simulator, tmp_path, binding):
        done = subprocess.run(
            ["sh"],
            input=script,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            env=environment,
            text=True,
            timeout=60,
        )
    outputs = [output.strip("\n") for output in done.stdout.split(f"{_END}\n")][:-1]
    seen = [(command, output) for (command, _), output in zip(commands, outputs, strict=True)]
    assert seen == commands
