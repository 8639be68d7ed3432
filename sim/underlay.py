"""The machines around the engines, plumbed: cables, switches, addresses, routes, routers' rules, operators' firewalls.

The wire is one switch; the net beyond each router is another one. All switches are in the namespace `@wire`, where the
port of a machine has its name, and that of a router's far side is `NAME:eth1`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sim.errors import PlumbError, SpecError
from sim.kernel.netns import Netns
from sim.kernel.veth import cable
from sim.packet import cidr, dotted, ip
from sim.spec import FAR, Spec, Underlay

WIRE, NAMESERVER = "@wire", "@dns"
"""Labels of the underlay's own namespaces: no container, host or client can be called so."""
SWITCH = "switch"


def plumb(spec: Spec, new_netns: Callable[[str], Netns]) -> None:
    """Every host and client, the wire and its name server; no engine runs yet. SpecError for what iptables refuses."""
    wire = new_netns(WIRE)
    wire.sysctls["net.bridge.bridge-nf-call-iptables"] = "0"
    switches = {"": SWITCH} | {client.name: f"{SWITCH}:{client.name}" for client in spec.clients if client.router}
    for name in switches.values():
        wire.add_bridge(name, f"mac({WIRE}:{name})")
    nameserver = spec.nameserver()
    behind = {client.name: client.behind for client in spec.clients}
    machines = {machine.name: machine.address for machine in spec.machines} | {NAMESERVER: nameserver}
    for name, address in machines.items():
        netns = new_netns(name)
        uplink, *others = spec.nics_of(name)
        _join(netns, uplink, address, wire, name, switches[behind.get(name, "")], spec.link_of(name))
        for nic in others:
            _join(netns, nic, "", wire, f"{name}:{nic}", SWITCH, spec.link_of(name))
        netns.nameservers = [dotted(cidr(nameserver)[0])]
        client = spec.client(name)
        if client and client.router:
            far = spec.far_link(client.router)
            _join(netns, FAR, client.router.address, wire, f"{name}:{FAR}", switches[name], far)
        for line in spec.routes_of(name):
            _route(netns, line, uplink)
        if client and client.forwards:
            netns.sysctls["net.ipv4.ip_forward"] = "1"
        if client and client.everywhere:
            netns.add_local_route("0.0.0.0/0")
        iptables(netns, client.rules if client else (), f"client {name}")


def iptables(netns: Netns, lines: Iterable[str], where: str) -> None:
    """What an operator tells a machine's iptables. SpecError in the tool's words."""
    for line in lines:
        try:
            netns.iptables(line)
        except PlumbError as error:
            raise SpecError(f"`iptables {line}`: {error.refusal}", where=where, mend="mend the rule") from None


def _join(netns: Netns, device: str, address: str, wire: Netns, port: str, switch: str, link: Underlay) -> None:
    """A cable from a machine's device to a switch, and its address, if it has one."""
    cable(netns, device, f"mac({netns.label}:{device})", wire, port, f"mac({WIRE}:{port})",
          mtu=link.mtu, delay=link.delay, rate=link.rate, loss=link.loss)
    wire.enslave(switch, port)
    if address:
        netns.add_address(device, address)


def _route(netns: Netns, line: str, uplink: str) -> None:
    """By the device on whose net the gateway is."""
    subnet, _, via = (part.strip() for part in line.partition(" via "))
    link = netns.routes.lookup(ip(via))
    netns.add_route(subnet, dev=link.dev if link else uplink, via=via)
