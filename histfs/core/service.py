"""What a source declares of its vendor's service, before the source is made.

A source plugin is a callable that makes a `Source` of a `SourceContext`. One that belongs to a
service is marked with `source_of`: histfs then knows where the key may come from, what tells two
accounts apart, which source stands in the root, and what ``histfs doctor`` asks the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from histfs.core.errors import HistfsError
from histfs.core.secret import Secret

if TYPE_CHECKING:
    # The command line needs the names of a service, and no item.
    from histfs.core.source import Source
    from histfs.core.source_context import SourceContext

SourceT = TypeVar("SourceT", bound="Source")


@dataclass(frozen=True, slots=True)
class Credential:
    """Where the key of a service may come from, beside a file or a command that the user names.

    The key is a `Secret`: it is redacted in messages, in the log and on the terminal.

    Attributes:
        variable: an environment variable, such as ``ELEVENLABS_API_KEY``.
        systemd: the name of a systemd credential (systemd.exec(5), ``LoadCredential=``).
        aliases: variables in which other programs of the service expect a key. They are not read,
            and no child process inherits them.
        parts: returns further texts to redact, such as the password in ``USER:PASSWORD``.
        page: the address at which a user makes a key; empty if there is none.
    """

    variable: str
    systemd: str
    aliases: tuple[str, ...] = ()
    parts: Callable[[str], Iterable[str]] = lambda _: ()
    page: str = ""

    def secret(self, value: str, origin: str) -> Secret:
        """Return a key as a `Secret`.

        Args:
            value: the key.
            origin: where it comes from, for a person.
        """
        return Secret(value, origin, also=self.parts(value))


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of ``histfs doctor``.

    Attributes:
        check: what was checked, a word or two.
        level: ``ok``, ``warn`` or ``fail``.
        message: for a person; where something is wrong it ends with what to do.
        error: that the check ended with; its message and its advice come after `message`.
    """

    check: str
    level: str
    message: str = ""
    error: HistfsError | None = None


def _account_id(base_url: str, key: Secret) -> str:
    return f"{base_url}\0{key.reveal()}"


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """A vendor's service; compared by identity.

    Attributes:
        name: a plain name, shown by mount(8) as ``NAME:PROFILE``.
        base_url: the server's address where the user gives none; empty for a service without one.
        regions: further addresses by the names of their regions (``--region``).
        credential: where the key may come from; None for a service without a key.
        root: the name of the source that stands in the root of an account; any other has a folder.
        account_id: identifies an account by base URL and key. A hash
            of it is the name of the account's directory in the cache: the key is not written.
        checks: what ``histfs doctor`` asks the server; it must change nothing there.
        permissions: what ``histfs login`` asks the server: one result for each thing that a key may
            do or not, ``ok``, ``fail`` or, where only a change could tell, ``warn``. It must change
            nothing there, and raises `HistfsError` where the key is wrong.
    """

    name: str
    base_url: str = ""
    regions: Mapping[str, str] = field(default_factory=dict)
    credential: Credential | None = None
    root: str = ""
    account_id: Callable[[str, Secret], str] = _account_id
    checks: Callable[[SourceContext], Iterable[CheckResult]] | None = None
    permissions: Callable[[SourceContext], Iterable[CheckResult]] | None = None


#: The default: no key; the source has a folder.
NO_SERVICE = Service("histfs")


@dataclass(frozen=True, slots=True)
class ServiceSource(Generic[SourceT]):
    """A source plugin of a service; see `source_of`.

    Attributes:
        make: makes the source.
        service: to which it belongs.
    """

    make: Callable[[SourceContext], SourceT]
    service: Service

    def __call__(self, context: SourceContext) -> SourceT:
        """Make the source."""
        return self.make(context)


def source_of(
    service: Service,
) -> Callable[[Callable[[SourceContext], SourceT]], ServiceSource[SourceT]]:
    """Mark a function that makes a source as one of a service (a decorator).

    Args:
        service: the service.
    """

    def mark(make: Callable[[SourceContext], SourceT]) -> ServiceSource[SourceT]:
        return ServiceSource(make, service)

    return mark
