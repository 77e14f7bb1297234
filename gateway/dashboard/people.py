"""The page of an admin on people: invite, give another role, shut out and let in again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from fastapi import Request
from nicegui import ui

from gateway.access.issuing import owners, require_owner
from gateway.access.people import LINK_LIFETIME_S, Person, require_another
from gateway.access.roles import PERSONAL_ROLES, Permission, Role
from gateway.dashboard.frame import Site, keep_fresh
from gateway.dashboard.parts import RolePicker, Secret, field, row_button
from gateway.dashboard.visit import Visit

MAX_SHOWN: Final = 200
_MOODS: Final = {"active": "cg-good", "invited": "cg-warn", "disabled": "cg-bad"}


def add(site: Site) -> None:
    """Add the page."""

    @ui.page("/people", title="People · campusgrid gateway")
    async def show(request: Request) -> None:
        with site.page(request, "/people") as visit:
            page = PeoplePage(site, visit)
        await page.refresh()
        keep_fresh(visit, page.refresh)


class PeoplePage:
    """Who may log in, and what an admin can do about it."""

    def __init__(self, site: Site, visit: Visit) -> None:
        self._people = site.door.people
        self._site = site
        self._visit = visit
        self._shown: tuple[object, ...] = ()
        with ui.element("section").classes("cg-panel"):
            ui.html("<h2>Invite somebody</h2>", sanitize=False)
            with ui.element("div").classes("cg-form"):
                self._name = field("Name", maxlength=64).on("keydown.enter", visit.guarded(self._invite))
                self._role = RolePicker(PERSONAL_ROLES, Role.OPERATOR, site.overview.roster)
                ui.button("Invite", on_click=visit.guarded(self._invite)).props("unelevated no-caps")
            self._link = Secret()
        with ui.element("section").classes("cg-panel"):
            ui.html("<h2>People</h2>", sanitize=False)
            with ui.element("div").classes("cg-form"):
                self._find = field("Find by a part of the name").on_value_change(self.refresh)
            self._rows = ui.element("ul").classes("cg-rows")
            self._more = ui.label().classes("cg-soft")

    async def refresh(self) -> None:
        """Show everybody, if anything has changed."""
        wanted = (self._find.value or "").casefold()
        everybody = [person for person in await self._people.all() if wanted in person.name]
        shown = tuple((one.name, one.role, one.account, one.state) for one in everybody)
        if shown == self._shown:
            return
        self._shown = shown
        self._rows.clear()
        with self._rows:
            for person in everybody[:MAX_SHOWN]:
                self._add_row(person)
        self._more.text = f"{len(everybody) - MAX_SHOWN} more: type a part of the name"
        self._more.visible = len(everybody) > MAX_SHOWN

    def _add_row(self, person: Person) -> None:
        with ui.element("li"):
            with ui.element("div").classes("cg-what"):
                ui.label(person.name).classes("cg-name")
                ui.label(person.state).classes(_MOODS[person.state])
                ui.label(self._describe(person)).classes("cg-soft")
            with ui.element("div").classes("cg-buttons"):
                if person.name == self._visit.access.name:
                    ui.label("This is you.").classes("cg-soft")
                elif person.disabled_at is not None:
                    self._add_button("Let in again", person, self._enable)
                else:
                    self._add_button("New link", person, self._renew)
                    self._add_button("Change role", person, self._change_role)
                    self._add_button("Shut out", person, self._disable)

    def _add_button(self, name: str, person: Person, work: Callable[[Person], Awaitable[None]]) -> None:
        row_button(name, person.name, self._visit.guarded(partial(work, person)))

    def _describe(self, person: Person) -> str:
        if person.account is None:
            return person.role
        meters = owners(self._site.overview.roster).get(person.account, ())
        return f"{person.role} of {', '.join(meters) or 'no meter'} (account {person.account.hex()})"

    async def _invite(self) -> None:
        name = self._name.value or ""
        actor = await self._visit.actor(Permission.PEOPLE)
        require_owner(self._site.overview.roster, self._role.account)
        self._show_link(name.casefold(), await self._people.add(name, self._role.role, self._role.account, actor))
        self._name.value = ""
        await self.refresh()

    async def _renew(self, person: Person) -> None:
        actor = await self._visit.actor(Permission.PEOPLE)
        self._show_link(person.name, await self._people.renew_link(person.name, actor))

    async def _change_role(self, person: Person) -> None:
        with self._visit.client.content, ui.dialog() as dialog, ui.card().classes("cg-dialog"):
            ui.label(f"Another role for {person.name}? Their sessions and own API keys end.")
            picker = RolePicker(PERSONAL_ROLES, person.role, self._site.overview.roster, person.account)
            with ui.row().classes("cg-buttons"):
                ui.button("Cancel", on_click=lambda: dialog.submit(False)).props("flat no-caps")
                ui.button("Save role", on_click=lambda: dialog.submit(True)).props("unelevated no-caps")
        is_wanted, role, account = bool(await dialog), picker.role, picker.account
        dialog.delete()
        if is_wanted:
            actor = await self._visit.actor(Permission.PEOPLE)
            require_another(self._visit.access, person.name)
            require_owner(self._site.overview.roster, account)
            await self._people.change_role(person.name, role, account, actor)
            await self._finish(f"{person.name} is {role} now.")

    async def _disable(self, person: Person) -> None:
        question = f"Shut {person.name} out? Their sessions, links and own API keys are worth nothing from then on."
        if await self._visit.confirm(question, "Shut out"):
            actor = await self._visit.actor(Permission.PEOPLE)
            require_another(self._visit.access, person.name)
            await self._people.disable(person.name, actor)
            await self._finish(f"{person.name} is shut out.")

    async def _enable(self, person: Person) -> None:
        await self._people.enable(person.name, await self._visit.actor(Permission.PEOPLE))
        await self._finish(f"{person.name} may log in again.")

    async def _finish(self, done: str) -> None:
        self._visit.tell(done)
        await self.refresh()

    def _show_link(self, name: str, link: str) -> None:
        hours = LINK_LIFETIME_S // 3600
        self._link.show(
            f"Give this link to {name}. It works once, for {hours} hours, and is shown here alone.",
            f"{self._site.settings.base_url}enrol/{link}",
        )
