"""NetworkManager's word for which links are metered.

Rule: each signal only names a device to look at again, so that none has to be understood, heard twice or kept
in order. A restart of NetworkManager, as in an update, takes back nothing: its last word counts for
`RESTART_S` more.

Source: NetworkManager's D-Bus reference, interfaces ``org.freedesktop.NetworkManager`` and
``org.freedesktop.NetworkManager.Device``, type ``NMMetered``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass

from monitors.dbus import Service
from monitors.services import (
    PROPERTIES,
    BusError,
    Call,
    Ownership,
    RefusedError,
    ServiceSource,
    Signal,
    Wanted,
)

NAME = "org.freedesktop.NetworkManager"
PATH = "/org/freedesktop/NetworkManager"
DEVICE = f"{NAME}.Device"

RESTART_S = 10.0
"""How long NetworkManager's last word counts after it went away."""

STARTING_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""NetworkManager takes its name before it has anything to answer with: pauses between the first questions."""

DEVICE_LIMIT = 4096
LONGEST_NAME = 15
"""Bytes of a link's name (IFNAMSIZ)."""

_METERED = {0: None, 1: True, 2: False, 3: True, 4: False}
"""NMMetered: unknown, yes, no, and its guesses of the two, from the kind of link and what DHCP says."""

_TELLING = frozenset({"Metered", "Interface", "IpInterface"})

_SIGNALS = (
    Wanted(interface=NAME, member="DeviceAdded", signature="o"),
    Wanted(interface=NAME, member="DeviceRemoved", signature="o"),
    Wanted(interface=PROPERTIES, member="PropertiesChanged", signature="sa{sv}as", first=DEVICE),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Device:
    """A device: the link that carries its packets, and whether it is metered; ``None`` if that is unknown."""

    interface: str
    metered: bool | None


def open_service() -> ServiceSource:
    """Return NetworkManager on the system bus, not yet connected."""
    return Service(NAME, *_SIGNALS)


async def metered_links(
    open_manager: Callable[[], ServiceSource] = open_service, restart_s: float = RESTART_S
) -> AsyncGenerator[Mapping[str, bool] | None, None]:
    """Yield which links are metered, by name, now and whenever that may have changed.

    Links of which NetworkManager doesn't know are left out; ``None`` says that it does not run.

    Args:
        open_manager: opens NetworkManager.
        restart_s: how long its last word counts after it went away, in seconds.

    Raises:
        BusError: there is no bus, or it failed, or NetworkManager answers what can't be understood.
    """
    loop = asyncio.get_running_loop()
    async with open_manager() as manager:
        devices: dict[str, _Device] | None = None
        forget_at: float | None = None
        while True:
            news = await manager.receive(forget_at)
            if not news:
                devices, forget_at = None, None
            for each in news:
                if isinstance(each, Signal):
                    await _heed(manager, each, devices or {})
                elif each is Ownership.STARTED:
                    devices, forget_at = await _all_devices(manager), None
                elif devices is not None:
                    forget_at = loop.time() + restart_s
            yield None if devices is None else _links(devices)


def _links(devices: Mapping[str, _Device]) -> Mapping[str, bool]:
    return {device.interface: device.metered for device in devices.values() if device.metered is not None}


async def _heed(manager: ServiceSource, signal: Signal, devices: dict[str, _Device]) -> None:
    """Look at the device of which a signal speaks, if it may be another than it was."""
    match signal.member, signal.body:
        case "DeviceAdded", (str(path),):
            await _look(manager, path, devices)
        case "DeviceRemoved", (str(path),):
            devices.pop(path, None)
        case "PropertiesChanged", (_, dict(changed), list(invalid)) if _TELLING & {*changed, *invalid}:
            await _look(manager, signal.path, devices)


async def _all_devices(manager: ServiceSource) -> dict[str, _Device]:
    (paths,) = await _device_paths(manager)
    assert isinstance(paths, list)  # the answer was `ao`
    devices: dict[str, _Device] = {}
    for path in paths:
        await _look(manager, path, devices)
    return devices


async def _device_paths(manager: ServiceSource) -> tuple[object, ...]:
    call = Call(path=PATH, interface=NAME, member="GetDevices", answer="ao")
    for pause_s in STARTING_S:
        try:
            return await manager.call(call)
        except RefusedError:
            await asyncio.sleep(pause_s)
    return await manager.call(call)


async def _look(manager: ServiceSource, path: str, devices: dict[str, _Device]) -> None:
    """Set what is known of a device to what it says now; forget one that is there no longer."""
    try:
        (told,) = await manager.call(
            Call(
                path=path,
                interface=PROPERTIES,
                member="GetAll",
                signature="s",
                body=(DEVICE,),
                answer="a{sv}",
            )
        )
    except RefusedError:
        devices.pop(path, None)
        return
    if len(devices) == DEVICE_LIMIT and path not in devices:
        raise BusError(f"NetworkManager tells of more than {DEVICE_LIMIT} devices")
    assert isinstance(told, dict)  # the answer was `a{sv}`
    devices[path] = _device(told)


def _device(told: Mapping[str, object]) -> _Device:
    # A modem's `Interface` is the serial line that commands it; its packets leave by another.
    name, metered = told.get("IpInterface") or told.get("Interface"), told.get("Metered")
    if not isinstance(name, str) or type(metered) is not int:
        raise BusError(f"NetworkManager describes a device by {(name, metered)!r:.80}")
    # A telephone that is not connected is known by its Bluetooth address, which no link can have as a name.
    is_link = 0 < len(name.encode()) <= LONGEST_NAME
    return _Device(interface=name, metered=_METERED.get(metered) if is_link else None)
