"""Parts that several pages have. All can be used from the keyboard: each field has a label, each button a name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from nicegui import ui

from gateway.access.issuing import owners
from gateway.access.roles import Role
from gateway.roster import Roster


def field(label: str, *, maxlength: int = 256, example: str | None = None) -> ui.input:
    """Make a line of text with its label."""
    made = ui.input(label, placeholder=example).classes("cg-field")
    return made.props(f"outlined dense maxlength={maxlength} autocomplete=off spellcheck=false autocapitalize=none")


def row_button(name: str, subject: str, work: Callable[[], Awaitable[None]]) -> None:
    """Make a button of a row; who hears the page hears about whom it is, too."""
    ui.button(name, on_click=work).props(f'outline dense no-caps aria-label="{name}: {subject}"')


class RolePicker:
    """A role, and for a tenant whose meters they are: the account's."""

    def __init__(self, roles: Sequence[Role], chosen: Role, roster: Roster, account: bytes | None = None) -> None:
        accounts = {one.hex(): _name_account(one, labels) for one, labels in sorted(owners(roster).items())}
        known = account.hex() if account is not None and account.hex() in accounts else None
        self._role = ui.select({str(role): str(role) for role in roles}, value=str(chosen), label="Role")
        self._account = ui.select(accounts, value=known, label="Whose meters", with_input=True)
        for one in (self._role, self._account):
            one.classes("cg-field").props("outlined dense options-dense")
        self._account.bind_visibility_from(self._role, "value", value=str(Role.TENANT))

    @property
    def role(self) -> Role:
        """The role chosen."""
        return Role(str(self._role.value))

    @property
    def account(self) -> bytes | None:
        """The account chosen, None for other roles than tenant."""
        value: Any = self._account.value
        return bytes.fromhex(value) if self.role is Role.TENANT and value else None


class Secret:
    """Something that is shown once, to be copied; hidden until then."""

    def __init__(self) -> None:
        with ui.element("div").classes("cg-secret").props("role=status") as self._box:
            self._text = ui.label()
            with ui.element("div").classes("cg-form"):
                self._value = field("To copy").props("readonly")
                self._value.on("focus", js_handler="(event) => event.target.select()", args=[])
                ui.button("Copy", on_click=self._copy).props("unelevated no-caps")
                ui.button("Done", on_click=self.hide).props("flat no-caps")
        self._box.visible = False

    def show(self, text: str, value: str) -> None:
        """Show *value*, and above it what it is."""
        self._text.text, self._value.value, self._box.visible = text, value, True

    def hide(self) -> None:
        """Forget it."""
        self._value.value, self._box.visible = "", False

    def _copy(self) -> None:
        ui.clipboard.write(self._value.value)
        ui.notify("Copied.", type="positive", timeout=2000)


class Pager:
    """A list by pages, the newest first. *load* takes where the page before ended, and returns HTML and its own end."""

    def __init__(self, load: Callable[[int | None], Awaitable[tuple[str, int | None]]], empty: str) -> None:
        self._load = load
        self._starts: list[int | None] = [None]
        self._next: int | None = None
        self._content = ui.html("", sanitize=False)
        self._empty = ui.label(empty).classes("cg-empty")
        with ui.element("div").classes("cg-buttons"):
            self._newer = ui.button("Newer", on_click=self._go_back).props("outline dense no-caps")
            self._older = ui.button("Older", on_click=self._go_on).props("outline dense no-caps")

    async def refresh(self) -> None:
        """Show the page anew."""
        self._content.content, self._next = await self._load(self._starts[-1])
        has_rows = "<td" in self._content.content
        self._content.visible, self._empty.visible = has_rows, not has_rows
        self._newer.visible, self._older.visible = len(self._starts) > 1, self._next is not None

    async def _go_on(self) -> None:
        self._starts.append(self._next)
        await self.refresh()

    async def _go_back(self) -> None:
        self._starts.pop()
        await self.refresh()


def _name_account(account: bytes, labels: Collection[str]) -> str:
    shown = ", ".join(list(labels)[:3]) + (f" and {len(labels) - 3} more" if len(labels) > 3 else "")
    return f"{shown} ({account.hex()})"
