"""Four authorities as real processes, every directed link between them in our hands, each on a clock of its own."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from hil.ports import free_ports
from hil.resources.stepped_clock import SteppedClock
from ledger.genesis import GenesisAccount, Role
from tests.ledger.faults.links import Links, Passage
from tests.ledger.faults.schedule import PLACES, TWIN_OF
from tests.ledger.node.network import NAMES, Network, account_key, make_network, node_toml

CLIENTS = tuple(bytes.fromhex("cc000000000000") + bytes([number]) for number in range(3))
BALANCE_AAIP = 10**21
TWIN = len(NAMES)
"""The place of the second process that runs with the keys of `TWIN_OF`."""


@dataclass
class Campus:
    """The processes of one run, by their places. `lives` counts each node's data directories, `lost` keeps old ones."""

    network: Network
    links: Links
    clocks: dict[int, SteppedClock]
    lives: dict[int, int] = field(default_factory=lambda: dict.fromkeys(PLACES, 0))
    lost: list[tuple[int, Path]] = field(default_factory=list)
    busy: dict[int, asyncio.Lock] = field(default_factory=lambda: {place: asyncio.Lock() for place in [*PLACES, TWIN]})

    def is_running(self, place: int) -> bool:
        process = self.network.processes.get(place)
        return process is not None and process.poll() is None

    def start(self, place: int) -> None:
        if not self.is_running(place):
            self.network.processes.pop(place, None)
            self.network.start(place)

    def kill(self, place: int) -> bool:
        """Kill -9, and tell whether there was something to kill."""
        return self.is_running(place) and self.network.stop(place, signal.SIGKILL) == -signal.SIGKILL

    def signal(self, place: int, number: int) -> bool:
        if not self.is_running(place):
            return False
        self.network.processes[place].send_signal(number)
        return True

    def lose_data(self, place: int) -> bool:
        """Take the data directory of a killed node away, and keep it; tell whether there was one."""
        directory = self.network.directory(place)
        kept = directory / f"lost-{self.lives[place]}"
        if not (directory / "data").exists():
            return False
        shutil.move(directory / "data", kept)
        self.lost.append((place, kept))
        self.lives[place] += 1
        return True

    def say_that_the_chain_runs(self, place: int) -> None:
        """Tell a node that finds no data that it is not the chain which begins."""
        settings = self.network.directory(place) / "node.toml"
        if not settings.read_text().startswith("joins"):
            settings.write_text("joins = true\n" + settings.read_text())

    def part_twins(self, random: Random) -> None:
        """Have each of the others talk with one of the two processes that share a key."""
        for name in (NAMES[place] for place in PLACES if place != TWIN_OF):
            copy, other = random.sample([TWIN_OF, TWIN], 2)
            self.links.relays[name, NAMES[TWIN_OF]].lead_to(self.network.peer_ports[copy])
            self.links.set({self.network.names[copy]}, {name}, Passage.OPEN)
            self.links.set({self.network.names[other]}, {name}, Passage.CUT)

    async def heal(self) -> None:
        """End everything that is wrong: one process for each authority, all links open, all clocks right."""
        everyone = set(self.network.names)
        self.kill(TWIN)
        self.links.set(everyone, everyone, Passage.OPEN)
        for (_, target), relay in self.links.relays.items():
            relay.lead_to(self.network.peer_ports[NAMES.index(target)])
        for place in PLACES:
            self.clocks[place].step(-self.clocks[place].offset_s)
            async with self.busy[place]:
                self.signal(place, signal.SIGCONT)
                self.start(place)


@contextlib.asynccontextmanager
async def opened(root: Path, *, with_twin: bool) -> AsyncIterator[Campus]:
    """Lay out and start everything under *root*; at the end every process of it is dead."""
    accounts = tuple(GenesisAccount(one, account_key(one).public_key, Role.USER, BALANCE_AAIP) for one in CLIENTS)
    network, links = make_network(root, more_accounts=accounts), Links()
    clocks = {place: SteppedClock(root / f"clock-{place}") for place in [*PLACES, TWIN]}
    network.programs = {place: clock.program for place, clock in clocks.items()}
    if with_twin:
        _add_twin(network)
    for place, name in enumerate(network.names):
        await _wire(network, links, place, name)
    campus = Campus(network, links, clocks)
    try:
        for place in PLACES:
            network.start(place)
        yield campus
    finally:
        for place in list(network.processes):
            campus.kill(place)
        await links.close()


def _add_twin(network: Network) -> None:
    """Copy an authority's keys and certificate into a directory of their own."""
    name = f"{NAMES[TWIN_OF]}-twin"
    shutil.copytree(network.directory(TWIN_OF), network.root / "authorities" / name)
    peer_port, api_port = free_ports(2)
    network.names.append(name)
    network.peer_ports.append(peer_port)
    network.api_ports.append(api_port)


async def _wire(network: Network, links: Links, place: int, name: str) -> None:
    """Write the node's settings anew, so that it dials the others through our relays."""
    seat = TWIN_OF if place == TWIN else place
    ports = []
    for other, peer in enumerate(NAMES):
        if other == seat:
            ports.append(network.peer_ports[place])
        else:
            ports.append(await links.add(name, peer, network.peer_ports[other]))
    api_ports = list(network.api_ports[: len(NAMES)])
    api_ports[seat] = network.api_ports[place]
    (network.directory(place) / "node.toml").write_text(node_toml(seat, [*ports, *api_ports]))
