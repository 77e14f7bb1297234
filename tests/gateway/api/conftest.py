from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from gateway.access.audit import Actor
from gateway.access.doorkeeper import Doorkeeper
from gateway.access.keys import Keys, Scope
from gateway.access.roles import Role
from gateway.store.database import Database
from tests.gateway.plant import Plant, account, ended

PASSWORD = "correct horse battery"
TENANT = 2
"""The number of the meter whose owner is the tenant of these tests."""


@pytest.fixture(scope="module")
def shared_plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A plant with a running gateway without a login, for all tests of a file that do not change it."""
    folder: Path = tmp_path_factory.mktemp("api")
    with ended(Plant(folder / "plant", meters=1)) as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def api(shared_plant: Plant) -> Iterator[httpx.Client]:
    """A client of the shared gateway's API."""
    with httpx.Client(base_url=f"http://127.0.0.1:{shared_plant.api_port}", trust_env=False) as client:
        yield client


@dataclass(frozen=True, slots=True)
class Guarded:
    """A running gateway with a login, and ways in. Each client has a loopback address of its own, and its limits."""

    plant: Plant
    keys: dict[Role, str]

    def client(self, key: str | None = None, address: str = "127.0.0.1") -> httpx.Client:
        """Return a client with an API key, or a stranger."""
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.plant.api_port}",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            transport=httpx.HTTPTransport(local_address=address),
            trust_env=False,
        )

    def as_role(self, role: Role) -> httpx.Client:
        """Return a client with the key of *role*."""
        return self.client(self.keys[role])

    @contextmanager
    def enrolled(self, name: str, role: Role, address: str, owner: bytes | None = None) -> Iterator[httpx.Client]:
        """Add a person, have them choose their password in their link's form, and give their browser."""
        link = asyncio.run(_with_door(self.plant, lambda door: door.people.add(name, role, owner, Actor("test", ""))))
        with self.client(address=address) as browser:
            answer = browser.post(f"/enrol/{link}", data={"password": PASSWORD, "again": PASSWORD})
            assert answer.status_code == 303, answer.text
            yield browser

    def add_key(self, scope: Scope) -> str:
        """Return a new key."""
        return asyncio.run(_with_door(self.plant, lambda door: door.keys.add(scope, None, Actor("test", ""))))


async def _with_door(plant: Plant, work: Callable[[Doorkeeper], Awaitable[str]]) -> str:
    database = await Database.open_beside(plant.store)
    try:
        return await work(await Doorkeeper.over(database))
    finally:
        await database.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A gateway with three meters, a login, and one API key for each role."""
    with ended(Plant(tmp_path_factory.mktemp("guarded") / "plant", meters=3, login="required")) as plant:
        plant.start()
        yield Guarded(plant, asyncio.run(_make_keys(plant)))


async def _make_keys(plant: Plant) -> dict[Role, str]:
    database = await Database.open_beside(plant.store)
    try:
        keys = Keys(database)
        return {
            role: await keys.add(
                Scope(f"for {role}", role, account(TENANT) if role is Role.TENANT else None, is_read_only=False),
                None, Actor("test", ""),
            )
            for role in Role
        }  # fmt: skip
    finally:
        await database.close()
