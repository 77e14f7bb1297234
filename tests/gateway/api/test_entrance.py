"""The ways in when the database takes nothing: nobody comes in, and the page says why."""

from __future__ import annotations

from pathlib import Path

import httpx
from fastapi import FastAPI

from gateway.access.audit import Actor
from gateway.access.doorkeeper import Doorkeeper
from gateway.access.roles import Role
from gateway.api import entrance
from gateway.settings import ApiSettings
from gateway.store.database import Database

PASSWORD = "correct horse battery"


async def test_a_log_in_that_cannot_be_logged_is_refused_with_the_reason(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "gateway.sqlite")
    door = await Doorkeeper.over(database)
    link = await door.people.add("anna", Role.OPERATOR, None, Actor("test", ""))
    later = await door.people.add("otto", Role.OPERATOR, None, Actor("test", ""))
    application = FastAPI()
    entrance.add(application, door, ApiSettings())
    served = httpx.ASGITransport(application)
    form = {"password": PASSWORD, "again": PASSWORD}
    async with httpx.AsyncClient(transport=served, base_url="http://gateway") as browser:
        assert (await browser.post(f"/enrol/{link}", data=form)).status_code == 303
        async with database.transaction() as connection:
            await connection.execute("PRAGMA query_only = ON")
        for path, data in (("/login", {"name": "anna", "password": PASSWORD}), (f"/enrol/{later}", form)):
            answer = await browser.post(path, data=data)
            assert (answer.status_code, "set-cookie" in answer.headers) == (503, False)
            assert "Nobody can log in now, for that could not be logged" in answer.text
        assert (await browser.post("/login", data={"name": "anna", "password": "wrong"})).status_code == 401
    await database.close()
