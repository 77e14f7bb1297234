"""Makes a campus known to its ledger: gateway, users, their first money, meters, and each meter's first reading.

Every step looks first whether it is already done, so that a run which broke off is simply repeated. All calls are the
admin's; the ledger decides each of them, and its refusal is what an operator reads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger import cbor
from ledger.api.resources import Receipt
from ledger.genesis import Genesis, Role
from ledger.remote.client import AccountClient, ClientError, LedgerClient, RefusedError
from provisioning import keys
from provisioning.campus import AAIP_PER_AIP, Campus, CampusMeter, CampusUser
from provisioning.errors import EnrolmentError

FINAL_TIMEOUT_S: Final = 60.0
PATIENCE_S: Final = 60.0
"""For the ledger's nodes to answer: they may have been started a moment ago."""
RETRY_S: Final = 1.0
NOT_FOUND: Final = 404
SITE: Final = "campus"
"""The location label on the ledger: names, rooms and addresses stay off it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the admin, and what it is for in words."""

    purpose: str
    module: str
    function: str
    arguments: tuple[cbor.Value, ...]


class Enrolment:
    """The admin's work on one campus, through any of its ledger nodes."""

    def __init__(self, campus: Campus, client: LedgerClient) -> None:
        self._campus = campus
        self._client = client
        admin = _account_with(campus.genesis, Role.ADMIN)
        self._admin = AccountClient(client, campus.genesis.chain_id, admin, keys.read(campus.folder / "admin.key"))

    async def register_accounts(self) -> list[Receipt]:
        """Register the gateway and all users, verify the users, and give each the money of the plan."""
        steps = await self._gateway_steps()
        for user in self._campus.users:
            steps += await self._user_steps(user)
        return await self._perform(steps)

    async def assign_meters(self, public_keys: Mapping[bytes, bytes]) -> list[Receipt]:
        """Assign every meter that the ledger does not know yet to its owner; *public_keys* are by meter id."""
        missing = [meter.plan.label for meter in self._campus.meters if meter.meter_id not in public_keys]
        if missing:
            raise EnrolmentError(
                f"meter {missing[0]!r} has no key yet ({len(missing)} missing): run provision meters or enrolled"
            )
        known = {meter.meter_id for meter in await self._client.meters()}
        steps = [
            _assign_meter(meter, public_keys[meter.meter_id])
            for meter in self._campus.meters
            if meter.meter_id not in known
        ]
        return await self._perform(steps)

    async def find_unbased(self) -> list[bytes]:
        """Return the ids of the meters that have no baseline on the ledger yet."""
        based = {meter.meter_id for meter in await self._client.meters() if meter.baseline is not None}
        return [meter.meter_id for meter in self._campus.meters if meter.meter_id not in based]

    async def rebase_meters(self, first_readings: Mapping[bytes, bytes]) -> list[Receipt]:
        """Set each meter's baseline to its first boundary reading (envelope by meter id), where it has none yet."""
        unbased = set(await self.find_unbased())
        steps = [
            Step(f"baseline of meter {meter_id.hex()}", "registry", "rebase", (meter_id, envelope))
            for meter_id, envelope in first_readings.items()
            if meter_id in unbased
        ]
        return await self._perform(steps)

    async def _gateway_steps(self) -> list[Step]:
        account = self._campus.gateway_account
        if await self._exists(account):
            return []
        public_key = keys.read(self._campus.folder / "gateway" / "account.key").public_key
        return [Step("gateway", "registry", "register_gateway", (account, public_key))]

    async def _user_steps(self, user: CampusUser) -> list[Step]:
        """Return what is left to do for *user*; money goes once, to an account that has none and never spoke."""
        public_key = keys.read(self._campus.folder / "users" / f"{user.account.hex()}.key").public_key
        name = f"user {user.plan.name!r}"
        registration = (user.account, public_key, user.plan.kind, SITE)
        register = Step(name, "registry", "register_user", registration)
        verify = Step(f"verification of {name}", "registry", "verify_user", (user.account,))
        amount_aaip = user.plan.balance_aip * AAIP_PER_AIP
        fund = [Step(f"money of {name}", "money", "transfer", (user.account, amount_aaip))] if amount_aaip else []
        if not await self._exists(user.account):
            return [register, verify, *fund]
        account = await self._client.account(user.account)
        is_fresh = account.nonce == 0 and account.balance_aaip + account.locked_aaip == 0
        return ([] if "user" in account.roles else [verify]) + (fund if is_fresh else [])

    async def _exists(self, account: bytes) -> bool:
        try:
            await self._client.account(account)
        except RefusedError as error:
            if error.status == NOT_FOUND:
                return False
            raise
        return True

    async def _perform(self, steps: Sequence[Step]) -> list[Receipt]:
        """Submit all *steps* in order, wait until each is final, and return their receipts."""
        submitted = [(step, await self._submit(step)) for step in steps]
        waits = [self._client.wait_final(transaction_id, FINAL_TIMEOUT_S) for _, transaction_id in submitted]
        receipts = await asyncio.gather(*waits)
        for (step, _), receipt in zip(submitted, receipts, strict=True):
            if receipt.code != 0:
                raise EnrolmentError(f"the ledger refused the {step.purpose}: {receipt.code_name}: {receipt.text}")
        return list(receipts)

    async def _submit(self, step: Step) -> bytes:
        try:
            return await self._admin.call(step.module, step.function, *step.arguments)
        except RefusedError as error:
            raise EnrolmentError(f"the ledger refused the {step.purpose}: {error}") from error


async def wait_for_ledger(client: LedgerClient, tell: Callable[[str], None], patience_s: float = PATIENCE_S) -> None:
    """Return when a ledger node answers; *tell* once that none does yet. Raises EnrolmentError after *patience_s*."""
    deadline = time.monotonic() + patience_s
    is_told = False
    while True:
        try:
            await client.authorities()
        except ClientError as error:
            if time.monotonic() >= deadline:
                raise EnrolmentError(
                    f"{error}; start the ledger nodes (campusgrid ledger run --config DIR/authorities/NAME/node.toml),"
                    " then run this again"
                ) from error
            if not is_told:
                tell(f"no ledger node answers yet; waiting up to {patience_s:.0f} s for one")
                is_told = True
            await asyncio.sleep(RETRY_S)
        else:
            return


def _assign_meter(meter: CampusMeter, public_key: bytes) -> Step:
    plan = meter.plan
    arguments = (meter.meter_id, meter.account, plan.profile, plan.rated_power_w, public_key, plan.can_export, SITE)
    return Step(f"meter {plan.label!r}", "registry", "assign_meter", arguments)


def _account_with(genesis: Genesis, role: Role) -> bytes:
    found = next((account.id for account in genesis.accounts if role in account.roles), None)
    if found is None:
        raise EnrolmentError(f"genesis has no account with the role {role.name}: it cannot be enrolled")
    return found


def firmware_command(interpreter: Path, firmware: Path) -> list[str]:
    """Return the command that runs the meter firmware in the folder *firmware* under *interpreter*."""
    return [str(interpreter), str(firmware / "meter" / "main.py")]
