"""The environment variables that may hold a key; no child process inherits them."""

from __future__ import annotations

#: That which is read.
VARIABLE = "ELEVENLABS_API_KEY"
#: Those of other programs, which are not read.
ALIASES = ("ELEVEN_API_KEY", "ELEVEN_LABS_API_KEY", "XI_API_KEY", "HISTFS_API_KEY")
