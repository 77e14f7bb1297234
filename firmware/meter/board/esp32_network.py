"""The network of an ESP32, brought up and kept up while the meter measures: Wi-Fi, or Ethernet by LAN8720 or W5500.

What MicroPython 1.25 does of itself is not enough: its Wi-Fi tries again at once and for ever, and hides why it failed
while it does. So it is told to try once, and the pauses, their growth and the reasons are kept here. Nothing
waits here but by asyncio; `active(True)` takes the radio some 100 ms, once an attempt.
"""

import asyncio

import machine
import network

ATTEMPT_S = 20
"""How long association and an address by DHCP may take."""
POLL_S = 0.5
BACKOFF_FIRST_S = 2
BACKOFF_LIMIT_S = 120

_FAULTS = (OSError, RuntimeError, ValueError)  # the last two for what the driver has no other name for
_REASONS = {
    15: "the access point refuses the password",  # the four-way handshake timed out
    200: "the access point fell silent",
    201: "no access point of that name is in reach",
    202: "the access point refuses the password",
    203: "the access point took no further station",
    204: "the access point refuses the password",
    210: "the access point's security is none that fits",
    211: "the access point's security is weaker than asked for",
    212: "the access point is too far away",
}
"""By the reason of ESP-IDF's Wi-Fi that `status()` gives; what it has no word for is told by number."""


def link_of(settings):
    """Return the link that *settings* (config.Wifi, Lan8720 or W5500) describe; it is not up yet."""
    return Wifi(settings) if settings.kind == "wifi" else Ethernet(settings)


async def keep(link, random_bytes, emit, report):
    """Keep *link* up until cancelled. `emit(event)` hears when it is, `report(text)` why it is not."""
    backoff_s = BACKOFF_FIRST_S
    while True:
        try:
            link.start()
            await _wait_for(link)
            if link.is_up():
                emit({"event": "network", "link": link.name, "address": link.address()})
                backoff_s = BACKOFF_FIRST_S
                while link.is_up():
                    await asyncio.sleep(POLL_S)
            report("network {}: {}".format(link.name, link.why_down()))
        except _FAULTS as error:
            report("network {}: {}".format(link.name, str(error) or type(error).__name__))
        finally:
            _stop(link, report)
        await asyncio.sleep(backoff_s / 2 + backoff_s * random_bytes(1)[0] / 512)  # not all of a campus at once
        backoff_s = min(2 * backoff_s, BACKOFF_LIMIT_S)


async def _wait_for(link):
    waited_s = 0
    while waited_s < ATTEMPT_S and not link.is_up():
        await asyncio.sleep(POLL_S)
        waited_s += POLL_S


def _stop(link, report):
    try:
        link.stop()
    except _FAULTS as error:
        report("network {}: it does not stop: {}".format(link.name, error))


class Radio:
    """The radio, on while inside the `with`; one that was on stays on."""

    def __enter__(self):
        self._wlan = network.WLAN(network.WLAN.IF_STA)
        self._was_on = self._wlan.active()
        self._wlan.active(True)

    def __exit__(self, *_):
        if not self._was_on:
            self._wlan.active(False)


class Wifi:
    """A station of the access point that *settings* (a config.Wifi) name."""

    def __init__(self, settings):
        self.name = "wifi " + settings.ssid
        self._settings = settings
        self._wlan = None

    def start(self):
        """Begin to connect."""
        settings = self._settings
        network.hostname(settings.hostname)
        self._wlan = network.WLAN(network.WLAN.IF_STA)
        self._wlan.active(True)
        # no attempt but ours; and no naps between beacons, which would delay answers by up to a third of a second
        self._wlan.config(reconnects=0, pm=network.WLAN.PM_NONE)
        self._wlan.connect(settings.ssid, settings.password)

    def is_up(self):
        """Tell whether there is an address."""
        return self._wlan.isconnected()

    def address(self):
        """Return the IP address."""
        return self._wlan.ifconfig()[0]

    def why_down(self):
        """Say what keeps it down."""
        if self._is_associated():
            return "the access point is there, but no address came in {} s: check its DHCP server".format(ATTEMPT_S)
        status = self._wlan.status()
        return _REASONS.get(status, "not connected (status {})".format(status))

    def stop(self):
        """Switch the radio off: the next start is a fresh one."""
        if self._wlan is not None and self._wlan.active():
            self._wlan.disconnect()
            self._wlan.active(False)

    def _is_associated(self):
        try:
            self._wlan.status("rssi")
        except OSError:
            return False
        return True


class Ethernet:
    """A wired interface as *settings* (a config.Lan8720 or W5500) say."""

    def __init__(self, settings):
        self.name = settings.kind
        self._settings = settings
        self._lan = None
        self._fault = None

    def start(self):
        """Begin to connect. The driver can be made once: where that fails, only a restart tries again."""
        if self._fault:
            raise OSError(self._fault)
        network.hostname(self._settings.hostname)
        if self._lan is None:
            try:
                self._lan = (_lan8720 if self._settings.kind == "lan8720" else _w5500)(self._settings)
            except _FAULTS as error:
                self._fault = "no answer from its chip ({}): check pins and power, restart".format(error)
                raise OSError(self._fault) from None
        self._lan.active(True)

    def is_up(self):
        """Tell whether there is an address."""
        return self._lan.isconnected()

    def address(self):
        """Return the IP address."""
        return self._lan.ifconfig()[0]

    def why_down(self):
        """Say what keeps it down."""
        if self._lan.status() == network.ETH_CONNECTED:
            return "the cable is in, but no address came in {} s: check the DHCP server".format(ATTEMPT_S)
        return "no link: check the cable and the switch"

    def stop(self):
        """Let go: the next start negotiates anew."""
        if self._lan is not None:
            self._lan.active(False)


def _lan8720(settings):
    clock_mode = machine.Pin.OUT if settings.ref_clk_out else machine.Pin.IN
    return network.LAN(
        mdc=settings.mdc, mdio=settings.mdio, phy_type=network.PHY_LAN8720, phy_addr=settings.phy_addr,
        ref_clk=settings.ref_clk, ref_clk_mode=clock_mode, power=settings.power, reset=settings.reset,
    )  # fmt: skip


def _w5500(settings):
    bus = machine.SPI(settings.spi, sck=settings.sck, mosi=settings.mosi, miso=settings.miso)
    return network.LAN(
        spi=bus, cs=settings.cs, int=settings.int, reset=settings.reset, phy_type=network.PHY_W5500, phy_addr=0
    )
