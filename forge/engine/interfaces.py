"""The network interface by which this machine reaches another."""

from __future__ import annotations

import fcntl
import socket
import struct

_SIOCGIFADDR = 0x8915
_ANY_PORT = 9


def interface_towards(host: str) -> str:
    """Return the name of the interface on the way to `host`, which may be this machine; Linux only.

    Gloo would take the one that this machine's own name resolves to, which often is the loopback interface.

    Raises:
        OSError: the name does not resolve, or there is no way.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, _ANY_PORT))  # sends nothing: it only chooses the way
        own_address = probe.getsockname()[0]
        for _, name in socket.if_nameindex():
            if _address_of(probe, name) == own_address:
                return name
    raise OSError(f"no interface has the address {own_address}, by which {host} is reached")


def _address_of(any_socket: socket.socket, interface: str) -> str | None:
    request = struct.pack("256s", interface.encode()[:15])
    try:
        answer = fcntl.ioctl(any_socket.fileno(), _SIOCGIFADDR, request)
    except OSError:  # it has no IPv4 address
        return None
    return socket.inet_ntoa(answer[20:24])
