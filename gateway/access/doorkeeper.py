"""Who is at the door: log-in with a password, sessions, keys, and how often each may ask. Knows nothing of HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.access import passwords
from gateway.access.audit import AuditLog
from gateway.access.failures import Failures
from gateway.access.keys import Keys
from gateway.access.limits import Limiter, network_of
from gateway.access.passwords import Hasher
from gateway.access.people import Invitation, People, Person
from gateway.access.roles import AT_THIS_MACHINE, Access
from gateway.access.secrets import read_secret
from gateway.access.sessions import Sessions
from gateway.errors import AccessError
from gateway.store.database import Database

LOGINS_PER_S: Final = 1 / 30
LOGIN_BURST: Final = 10
"""Of one address: passwords tried in vain. Links, sessions and keys have 256 random bits, which nobody guesses."""
REQUESTS_PER_S: Final = 100
REQUEST_BURST: Final = 400
"""Of one session, one key, or one address without either."""


@dataclass(slots=True)
class Doorkeeper:
    """The parts of access control, made once per gateway. `secret` (32 bytes) seals cursors."""

    people: People
    sessions: Sessions
    keys: Keys
    audit: AuditLog
    failures: Failures
    secret: bytes
    hasher: Hasher = field(default_factory=Hasher)
    logins: Limiter = field(default_factory=lambda: Limiter(LOGINS_PER_S, LOGIN_BURST))
    requests: Limiter = field(default_factory=lambda: Limiter(REQUESTS_PER_S, REQUEST_BURST))

    @classmethod
    async def over(cls, database: Database, now: Callable[[], float] = time.time) -> Doorkeeper:
        """Return the door of the gateway whose store is *database*."""
        secret = await read_secret(database, "cursor")
        return cls(
            People(database, now), Sessions(database, now), Keys(database, now), AuditLog(database),
            Failures(database, now), secret,
        )  # fmt: skip

    async def log_in(self, name: str, password: str, origin: str) -> str | None:
        """Return the token of a new session, or None: whatever was wrong takes as long and is told to nobody.

        Raises BusyError.
        """
        person = await self.people.find(name)
        is_welcome = person is not None and person.disabled_at is None
        is_right = await self.hasher.verify(person.password if person and is_welcome else None, password)
        token = await self.sessions.open(person, origin) if person is not None and is_right else None
        if token is None:
            await self.failures.note(person.name if person else None, origin)
        else:
            self.logins.give_back(network_of(origin))
        return token

    async def enrol(self, invitation: Invitation, name: str, password: str, origin: str) -> str:
        """Use up *invitation* and return the token of its person's session; raises AccessError or BusyError."""
        passwords.check(password, invitation.person.name if invitation.person else name)
        person: Person = await self.people.accept(invitation, name, await self.hasher.hash(password), origin)
        token = await self.sessions.open(person, origin)
        if token is None:
            raise AccessError("your password is saved, but an admin has changed your access meanwhile; log in")
        return token

    def must_wait_to_log_in(self, address: str) -> float:
        """Return 0, or after how many seconds *address* may try again; counts as a try, unless it then succeeds."""
        return self.logins.take(network_of(address), time.monotonic())

    def must_wait(self, access: Access | None, address: str) -> float:
        """Return 0, or after how many seconds the same one may ask again; counts as a request.

        Without a login all who ask are one, on this machine: a limit would set them against each other.
        """
        if access is AT_THIS_MACHINE:
            return 0.0
        name = network_of(address) if access is None else f"{access.name}/{access.session}"
        return self.requests.take(name, time.monotonic())
