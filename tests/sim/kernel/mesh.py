"""The namespaces that a routing mesh is made of, by hand, and what sniffers in them saw on a real engine."""

from __future__ import annotations

from dataclasses import dataclass

from sim.fabric.fabric import Fabric
from sim.kernel.netns import Netns
from sim.kernel.tcp import TcpSocket
from sim.kernel.veth import veth_pair
from sim.packet import Packet, Tcp, Udp, dotted, flag_names, ip
from sim.trace import Kind, Step

TASKS = (6, 7, 8)


@dataclass(slots=True)
class Mesh:
    """A balancer and the tasks behind it (by the last byte of their addresses); `outside` may only reach the former."""

    client: Netns
    balancer: Netns
    tasks: dict[int, Netns]
    others: tuple[Netns, ...] = ()

    def flush(self) -> None:
        for netns in (self.client, self.balancer, *self.tasks.values(), *self.others):
            netns.flush()


def _tasks(network: str, overlay: Netns) -> dict[int, Netns]:
    """Task namespaces on `br0` of the overlay's namespace."""
    tasks = {}
    for number in TASKS:
        task = tasks[number] = Netns(f"task{number}")
        _plug(overlay, f"veth{number}", task, f"{network}.{number}")
    return tasks


def _plug(overlay: Netns, port: str, netns: Netns, address: str) -> None:
    mac = ":".join(f"{int(byte):02x}" for byte in address.split("."))
    veth_pair(overlay, port, f"02:00:{mac}", netns, "eth0", f"02:42:{mac}", 1450)
    overlay.enslave("br0", port)
    netns.add_address("eth0", f"{address}/24")


def _balance(netns: Netns, mark: int, network: str, *, weight: int = 1) -> None:
    """IPVS deals a mark out to the tasks; what it sends to the network gets the balancer's own address there."""
    netns.sysctls.update({"net.ipv4.ip_forward": "1", "net.ipv4.vs.conntrack": "1"})
    netns.iptables(f"-t nat -A POSTROUTING -d {network}.0/24 -m ipvs --ipvs -j SNAT --to-source {network}.2")
    netns.ipvs.add_service(mark)
    for number in TASKS:
        netns.ipvs.add_destination(mark, ip(f"{network}.{number}"), weight)


def ingress() -> Mesh:
    """A client, a host that publishes 8088 (tcp and udp), its ingress_sbox, and three tasks that listen on 80.

    All is as the engine of 20.10 writes it. The leg over VXLAN is left out: the tasks are on the host's own overlay.
    """
    client, host, sandbox, overlay = Netns("client"), Netns("h1"), Netns("ingress_sbox"), Netns("ov")
    veth_pair(client, "eth0", "02:00:00:00:99:fe", host, "eth1", "02:00:00:00:99:01")
    client.add_address("eth0", "192.168.99.1/24")
    host.add_address("eth1", "192.168.99.101/24")
    host.sysctls["net.ipv4.ip_forward"] = "1"
    host.add_bridge("docker_gwbridge", "02:42:e7:6f:83:c0")
    host.add_address("docker_gwbridge", "172.18.0.1/16")
    for rule in (
        "-N DOCKER-INGRESS",
        "-A DOCKER-INGRESS -p tcp --dport 8088 -j DNAT --to-destination 172.18.0.2:8088",
        "-A DOCKER-INGRESS -p udp --dport 8088 -j DNAT --to-destination 172.18.0.2:8088",
        "-A DOCKER-INGRESS -j RETURN",
        "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER-INGRESS",
        "-A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER-INGRESS",
        "-A POSTROUTING -o docker_gwbridge -m addrtype --src-type LOCAL -j MASQUERADE",
        "-A POSTROUTING -s 172.18.0.0/16 ! -o docker_gwbridge -j MASQUERADE",
    ):
        host.iptables(f"-t nat {rule}")
    veth_pair(host, "veth4f2a917", "02:00:00:00:00:01", sandbox, "eth1", "02:42:ac:12:00:02")
    host.enslave("docker_gwbridge", "veth4f2a917")
    overlay.add_bridge("br0", "02:00:00:00:00:b0")
    _plug(overlay, "veth0", sandbox, "10.0.0.2")
    sandbox.add_address("eth0", "10.0.0.5/32")
    sandbox.add_address("eth1", "172.18.0.2/16")
    sandbox.add_route("default", dev="eth1", via="172.18.0.1")
    for proto in ("tcp", "udp"):
        sandbox.iptables(f"-t mangle -A PREROUTING -p {proto} --dport 8088 -j MARK --set-mark 256")
    sandbox.iptables("-t mangle -A INPUT -d 10.0.0.5/32 -j MARK --set-mark 256")
    _balance(sandbox, 256, "10.0.0")
    tasks = _tasks("10.0.0", overlay)
    for number, task in tasks.items():
        address = f"10.0.0.{number}"
        for proto in ("tcp", "udp"):
            task.iptables(f"-t nat -A PREROUTING -d {address} -p {proto} --dport 8088 -j REDIRECT --to-port 80")
            task.iptables(f"-A INPUT -d {address} -p {proto} --dport 80 -m conntrack --ctstate NEW,ESTABLISHED "
                          "-j ACCEPT")
            task.iptables(f"-A INPUT -d {address} -p {proto} -j DROP")
            task.iptables(f"-A OUTPUT -s {address} -p {proto} --sport 80 -m conntrack --ctstate ESTABLISHED -j ACCEPT")
            task.iptables(f"-A OUTPUT -s {address} -p {proto} -j DROP")
    return Mesh(client, sandbox, tasks, (host, overlay))


def virtual() -> Mesh:
    """A service's virtual address 10.0.1.5 on an overlay: client .9, the node's load balancer .2, the tasks."""
    overlay, client, balancer = Netns("ov"), Netns("client"), Netns("lb")
    overlay.add_bridge("br0", "02:00:00:00:00:b1")
    _plug(overlay, "veth0", balancer, "10.0.1.2")
    balancer.add_address("eth0", "10.0.1.5/32")
    _plug(overlay, "veth9", client, "10.0.1.9")
    balancer.iptables("-t mangle -A INPUT -d 10.0.1.5/32 -j MARK --set-mark 257")
    _balance(balancer, 257, "10.0.1")
    return Mesh(client, balancer, _tasks("10.0.1", overlay), (overlay,))


def listen(mesh: Mesh) -> dict[int, TcpSocket]:
    listeners = {number: TcpSocket(task, 0, 80) for number, task in mesh.tasks.items()}
    for listener in listeners.values():
        listener.listen()
    return listeners


def connect(mesh: Mesh, address: str, port: int, *, source_port: int = 50001) -> tuple[Fabric, TcpSocket]:
    """The client connects; a tenth of a second later."""
    fabric, sock = Fabric(), TcpSocket(mesh.client, 0, source_port)
    fabric.walk(sock.connect(ip(address), port, 0.0))
    fabric.env.run(until=0.1)
    return fabric, sock


def frames(fabric: Fabric, point: str) -> list[Packet]:
    """The IPv4 packets that a sniffer at `point` sees."""
    return [s.packet for s in fabric.trace()
            if s.kind is Kind.SEEN and s.point == point and s.packet is not None and s.packet.ip is not None]


def ends(packet: Packet) -> str:
    """`10.0.0.2:50001 > 10.0.0.6:8088`"""
    assert packet.ip is not None and isinstance(packet.l4, Tcp | Udp)
    return f"{dotted(packet.ip.src)}:{packet.l4.sport} > {dotted(packet.ip.dst)}:{packet.l4.dport}"


def segment(packet: Packet) -> tuple[str, int, int, int, int]:
    """(flags, seq, ack, length, TTL)"""
    assert packet.ip is not None and isinstance(packet.l4, Tcp)
    return flag_names(packet.l4.flags), packet.l4.seq, packet.l4.ack, len(packet.payload), packet.ip.ttl


def given_to(mesh: Mesh, steps: list[Step]) -> list[int]:
    """The tasks that IPVS chose, one a connection."""
    chosen = [s for s in steps if s.kind is Kind.IPVS_NEW and s.where == mesh.balancer.label]
    return [int(s.detail.rpartition(".")[2].partition(":")[0]) for s in chosen]
