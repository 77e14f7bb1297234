"""The module `network` (ports/esp32/network_wlan.c, network_lan.c): one station, one wired interface.

An event of the driver comes in its own time: what was asked for shows only when that has passed.
"""

from .chip import CHIP, now_ms

STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 1000, 1001, 1010
PHY_LAN8720, PHY_W5500 = 1, 102
ETH_INITIALIZED, ETH_STARTED, ETH_STOPPED, ETH_CONNECTED, ETH_DISCONNECTED, ETH_GOT_IP = range(6)

_FOUR_WAY_TIMEOUT, _ASSOC_LEAVE, _CONNECTION_FAIL = 15, 8, 205
_BEACON_TIMEOUT, _NO_AP_FOUND, _AUTH_FAIL = 200, 201, 202
_NAMED = (_NO_AP_FOUND, 210, 211, 212)
_MAX_HOSTNAME = 32
_hostname = ["mpy-esp32"]


def hostname(*name: str):
    """Set the name that DHCP tells, or return it."""
    if not name:
        return _hostname[0]
    if len(name[0]) > _MAX_HOSTNAME:
        raise ValueError
    _hostname[0] = name[0]
    return None


class _Station:
    """What the driver knows of the one station, whoever holds a WLAN object."""

    def __init__(self) -> None:
        self.is_active = False
        self.wanted = None  # (ssid, password) of the last connect
        self.is_requested = False
        self.reconnects = 0  # as the driver keeps it: 0 is for ever, else one more than was asked for
        self.tried = 0
        self.reason = 0
        self.begun_ms = None  # of the attempt that runs, or of the association
        self.is_associated = False
        self.has_ip = False

    def advance(self) -> None:
        """Let happen what was due by now."""
        if self.is_associated and not CHIP.air.is_there:
            self._end(_BEACON_TIMEOUT)
        passed_ms = None if self.begun_ms is None else now_ms() - self.begun_ms
        if passed_ms is None:
            return
        if not self.is_associated and passed_ms >= CHIP.air.associate_ms:
            if not CHIP.air.is_there or self.wanted[0] != CHIP.air.ssid:
                self._end(_NO_AP_FOUND)
                return
            if self.wanted[1] != CHIP.air.password:
                self._end(_FOUR_WAY_TIMEOUT)
                return
            self.is_associated = True
        if self.is_associated and CHIP.air.has_dhcp and passed_ms >= CHIP.air.associate_ms + CHIP.air.dhcp_ms:
            self.has_ip = True
            self.reason = 0

    def leave(self) -> None:
        """Disconnect; there is an event only where there was a connection."""
        self.is_requested = False
        if self.begun_ms is not None:
            self._end(_ASSOC_LEAVE)

    def _end(self, reason: int) -> None:
        self.reason = reason
        self.begun_ms = None
        self.is_associated = self.has_ip = False
        if not self.is_requested or not self.is_active:
            return
        if self.reconnects:
            self.tried += 1
            if self.tried >= self.reconnects:
                return
        self.begun_ms = now_ms()


_station = _Station()


class WLAN:
    """The station; the driver has an access point too, which no meter opens."""

    IF_STA, IF_AP = 0, 1
    PM_NONE, PM_PERFORMANCE, PM_POWERSAVE = 0, 1, 2

    def __init__(self, interface: int = 0) -> None:
        if interface not in (WLAN.IF_STA, WLAN.IF_AP):
            raise ValueError("invalid WLAN interface identifier")

    def active(self, *is_wanted: bool) -> bool:
        """Switch the radio; comes back when it is."""
        if is_wanted:
            _station.advance()
            if not is_wanted[0] and _station.is_active:
                _station.is_active = False
                _station.leave()
            elif is_wanted[0] and not _station.is_active:
                _station.is_active = True
                _station.tried = 0
            CHIP.radio_is_on = _station.is_active
        return _station.is_active

    def connect(self, ssid=None, key=None) -> None:
        """Begin to connect; refuses while an attempt runs."""
        _station.advance()
        if not _station.is_active:
            raise OSError("Wifi Not Started")
        if _station.begun_ms is not None:
            raise OSError("Wifi Internal Error")
        if ssid is not None:
            _station.wanted = (ssid, key)
        _station.tried = 0
        _station.is_requested = True
        _station.begun_ms = now_ms()

    def disconnect(self) -> None:
        """Leave, or give the attempt up."""
        if not _station.is_active:
            raise OSError("Wifi Not Started")
        _station.advance()
        _station.leave()

    def isconnected(self) -> bool:
        """Tell whether there is an address."""
        CHIP.heed_console()
        _station.advance()
        return _station.has_ip

    def status(self, *what: str) -> int:
        """Return the state, or "rssi"; a reason of failure stays until the next success."""
        _station.advance()
        station = _station
        if what:
            if what[0] != "rssi":
                raise ValueError("unknown status param")
            if not station.is_associated:
                raise OSError("Wifi Not Connected")
            return -60
        if station.has_ip:
            return STAT_GOT_IP
        if station.reason in _NAMED:
            return station.reason
        if station.reason in (_AUTH_FAIL, _CONNECTION_FAIL):
            return _AUTH_FAIL
        if station.reason == _ASSOC_LEAVE:
            return STAT_IDLE
        if station.is_requested and (station.reconnects == 0 or station.tried < station.reconnects):
            return STAT_CONNECTING
        return station.reason or STAT_IDLE

    def config(self, *names: str, **values: int):
        """Set or return parameters."""
        if names:
            if names[0] != "reconnects":
                raise ValueError("unknown config param")
            return _station.reconnects - 1
        for name, value in values.items():
            if name not in ("reconnects", "pm"):
                raise ValueError("unknown config param")
            if not _station.is_active:
                raise OSError("Wifi Invalid Mode")  # esp_wifi_set_config of a station that is off
            if name == "reconnects":
                _station.reconnects = 0 if value == -1 else value + 1
        return None

    def ifconfig(self) -> tuple:
        """Return (address, mask, gateway, name server)."""
        _station.advance()
        return _addresses("10.0.0.7" if _station.has_ip else "0.0.0.0")  # no interface but a text


_lan = []


def LAN(id=None, *, phy_addr: int, phy_type: int, **pins):
    """Return the wired interface, made by the first call; later ones are not even looked at."""
    if not _lan:
        if not 0 <= phy_addr <= 31:
            raise ValueError("invalid phy address")
        if phy_type not in (PHY_LAN8720, PHY_W5500):
            raise ValueError("invalid phy type")
        known = ("spi", "cs", "int") if phy_type == PHY_W5500 else ("mdc", "mdio", "ref_clk", "ref_clk_mode")
        known += ("power", "reset")
        for name in pins:
            if name not in known:
                raise TypeError("extra keyword arguments given")
        if phy_type == PHY_LAN8720 and (pins.get("mdc") is None or pins.get("mdio") is None):
            raise ValueError("mdc and mdio must be specified")
        if phy_type == PHY_W5500 and type(pins.get("spi")).__name__ != "SPI":
            raise ValueError("expecting a SPI object")
        if phy_type == PHY_LAN8720 and CHIP.model != "ESP32":
            raise OSError("esp_eth_driver_install failed with invalid argument")
        if not CHIP.cable.has_phy:
            raise OSError("esp_eth_driver_install failed")
        _lan.append(_Wired())
    return _lan[0]


class _Wired:
    def __init__(self) -> None:
        self._status = ETH_INITIALIZED
        self._is_active = False
        self._since_ms = 0

    def active(self, *is_wanted: bool) -> bool:
        """Start or stop the interface."""
        if is_wanted and bool(is_wanted[0]) != self._is_active:
            self._is_active = bool(is_wanted[0])
            self._status = ETH_STARTED if self._is_active else ETH_STOPPED
            self._since_ms = now_ms()
        return self._is_active

    def status(self) -> int:
        """Return one of the ETH numbers."""
        if self._is_active:
            if not CHIP.cable.is_in:
                if self._status in (ETH_CONNECTED, ETH_GOT_IP):
                    self._status = ETH_DISCONNECTED
                self._since_ms = now_ms()
            elif now_ms() - self._since_ms >= CHIP.cable.link_ms + CHIP.cable.dhcp_ms and CHIP.cable.has_dhcp:
                self._status = ETH_GOT_IP
            elif now_ms() - self._since_ms >= CHIP.cable.link_ms:
                self._status = ETH_CONNECTED
        return self._status

    def isconnected(self) -> bool:
        """Tell whether there is an address."""
        CHIP.heed_console()
        return self.status() == ETH_GOT_IP and self._is_active

    def ifconfig(self) -> tuple:
        """Return (address, mask, gateway, name server)."""
        return _addresses("10.0.0.8" if self.isconnected() else "0.0.0.0")  # no interface but a text


def _addresses(own: str) -> tuple:
    return own, "255.255.255.0", "10.0.0.1", "10.0.0.1"
