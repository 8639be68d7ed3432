"""What the extensions of iptables share: the errors in the tool's words, and the reading and printing of option values.

Follows iptables 1.8.9 with the nf_tables backend (libxtables/xtables.c). Names of services and protocols are a short
literal, so that a prediction does not depend on the /etc/services of the machine that makes it.
"""

from __future__ import annotations

from sim.errors import PlumbError
from sim.kernel.hooks import Test
from sim.packet import cidr, dotted, ip

VERSION = "iptables v1.8.9 (nf_tables)"

SERVICES = {"ftp": 21, "ssh": 22, "smtp": 25, "domain": 53, "http": 80, "ntp": 123, "https": 443, "http-alt": 8080}
PROTOCOLS = {"all": 0, "icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51,
             "sctp": 132, "udplite": 136}
PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items() if number}


def usage(problem: str) -> PlumbError:
    """A mistake in the command line (the tool's exit code 2)."""
    return PlumbError(f"{VERSION}: {problem}")


def refused(problem: str) -> PlumbError:
    """The kernel or the ruleset says no (exit code 1)."""
    return PlumbError(f"iptables: {problem}.")


def failed(command: str, errno: str, where: str) -> PlumbError:
    """The nf_tables transaction was refused (exit code 4)."""
    return PlumbError(f"{VERSION}:  {command} failed ({errno}): {where}")


def one_only(extension: str, option: str, given: object) -> None:
    """Most options may be given once."""
    if given:
        raise usage(f'{extension}: option "{option}" can only be used once.')


def not_inverted(extension: str, option: str, inverted: bool) -> None:
    if inverted:
        raise usage(f'{extension}: option "{option}" cannot be inverted.')


def number(text: str, most: int = 0xFFFFFFFF) -> int | None:
    """A number as C writes them (0x10, 010, 16); None when it is none, or too large."""
    try:
        value = int(text, 8) if len(text) > 1 and text[0] == "0" and text.isdigit() else int(text, 0)
    except ValueError:
        return None
    return value if 0 <= value <= most else None


def port(text: str) -> int:
    """A port by number or by service name."""
    value = SERVICES.get(text, number(text, 65535))
    if value is None:
        raise usage(f"invalid port/service `{text}' specified")
    return value


def port_range(text: str, *, problem: str = "invalid portrange (min > max)") -> tuple[int, int]:
    """`80`, `80:90`, `:90` or `80:`."""
    low, colon, high = text.partition(":")
    first = port(low) if low else 0
    last = (port(high) if high else 65535) if colon else first
    if first > last:
        raise usage(problem)
    return first, last


def ports_text(ports: tuple[int, int]) -> str:
    return str(ports[0]) if ports[0] == ports[1] else f"{ports[0]}:{ports[1]}"


def network(text: str) -> tuple[int, int]:
    """`1.2.3.4`, `1.2.3.4/8`, `1.2.3.4/255.0.0.0` to (network, mask)."""
    host, slash, length = text.partition("/")
    if slash and "." in length:
        try:
            mask = ip(length)
        except ValueError:
            raise usage(f"invalid mask `{length}' specified") from None
    else:
        value = number(length, 32) if slash else 32
        if value is None:
            raise usage(f"invalid mask `{length}' specified")
        mask = cidr(f"0.0.0.0/{value}")[1]
    if host == "0":
        host = "0.0.0.0"
    try:
        return ip(host) & mask, mask
    except ValueError:
        raise usage(f"host/network `{host}' not found") from None


def network_text(address: int, mask: int) -> str:
    """As iptables-save prints it: always with the mask, by its length when it has one."""
    inverse = ~mask & 0xFFFFFFFF
    return f"{dotted(address)}/{mask.bit_count() if not inverse & inverse + 1 else dotted(mask)}"


def protocol(text: str) -> int:
    value = PROTOCOLS.get(text.lower(), number(text, 255))
    if value is None:
        raise usage(f'unknown protocol "{text}" specified')
    return value


def quoted(text: str) -> str:
    """xtables_save_string: bare when it is made of letters, digits, `-` and `_` only, otherwise quoted and escaped."""
    if text and all(c.isascii() and (c.isalnum() or c in "-_") for c in text):
        return text
    return '"' + "".join("\\" + c if c in "\\\"'" else c for c in text) + '"'


def inverted_mark(inverted: bool) -> str:
    return "! " if inverted else ""


def device_test(name: str, inverted: bool, attribute: str) -> Test | None:
    """Compare one of HookState's devices with a name; a final `+` matches any rest. None when the rule says nothing.

    `! -i +` never matches, as in the nf_tables backend.
    """
    if name == "+":
        return (lambda packet, state: False) if inverted else None
    if name.endswith("+"):
        prefix = name[:-1]
        return lambda packet, state: getattr(state, attribute).startswith(prefix) is not inverted
    if inverted:
        return {
            "indev": lambda packet, state: state.indev != name,
            "outdev": lambda packet, state: state.outdev != name,
            "physin": lambda packet, state: state.physin != name,
            "physout": lambda packet, state: state.physout != name,
        }[attribute]
    return {
        "indev": lambda packet, state: state.indev == name,
        "outdev": lambda packet, state: state.outdev == name,
        "physin": lambda packet, state: state.physin == name,
        "physout": lambda packet, state: state.physout == name,
    }[attribute]


def device_name(text: str) -> str:
    if not text:
        raise usage("Empty interface is likely to be undesired")
    # `br(NETWORK)` stands for a name that dockerd draws: 15 characters of the real one, whatever the network's are
    if len(text) > 15 and "(" not in text:
        raise usage(f"interface name `{text}' must be shorter than IFNAMSIZ (15)")
    return text
