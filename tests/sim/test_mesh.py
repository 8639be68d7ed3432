"""Swarm's routing mesh as a whole, held against what three real engines (20.10.24, Linux 6.1) plumbed and let through.

One service with three tasks and a published port, one request from outside to the first node, answered on the third.
"""

from __future__ import annotations

import pytest

from sim.predict import Prediction, predict
from sim.spec import Attachment, Client, Container, Host, Listener, Network, Question, Service, ServicePort, Spec
from sim.trace import Kind, Outcome, Trace

HOSTS = ("h1", "h2", "h3")

HOST_NAT = """
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER-INGRESS
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER-INGRESS
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -o docker_gwbridge -m addrtype --src-type LOCAL -j MASQUERADE
-A POSTROUTING -s 172.18.0.0/16 ! -o docker_gwbridge -j MASQUERADE
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker_gwbridge -j RETURN
-A DOCKER -i docker0 -j RETURN
-A DOCKER-INGRESS -p tcp -m tcp --dport 8088 -j DNAT --to-destination 172.18.0.2:8088
-A DOCKER-INGRESS -j RETURN
""".strip().splitlines()

HOST_FILTER = """
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-INGRESS
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker_gwbridge -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker_gwbridge -j DOCKER
-A FORWARD -i docker_gwbridge ! -o docker_gwbridge -j ACCEPT
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A FORWARD -i docker_gwbridge -o docker_gwbridge -j DROP
-A DOCKER-INGRESS -p tcp -m tcp --dport 8088 -j ACCEPT
-A DOCKER-INGRESS -p tcp -m state --state RELATED,ESTABLISHED -m tcp --sport 8088 -j ACCEPT
-A DOCKER-INGRESS -j RETURN
-A DOCKER-ISOLATION-STAGE-1 -i docker_gwbridge ! -o docker_gwbridge -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker_gwbridge -j DROP
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
""".strip().splitlines()

SANDBOX_MANGLE = """
-A PREROUTING -p tcp -m tcp --dport 8088 -j MARK --set-xmark 0x100/0xffffffff
-A INPUT -d 10.0.0.5/32 -j MARK --set-xmark 0x100/0xffffffff
""".strip().splitlines()

TASK_FILTER = """
-A INPUT -d 10.0.0.7/32 -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT
-A INPUT -d 10.0.0.7/32 -p sctp -j DROP
-A INPUT -d 10.0.0.7/32 -p udp -j DROP
-A INPUT -d 10.0.0.7/32 -p tcp -j DROP
-A OUTPUT -s 10.0.0.7/32 -p tcp -m tcp --sport 80 -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A OUTPUT -s 10.0.0.7/32 -p sctp -j DROP
-A OUTPUT -s 10.0.0.7/32 -p udp -j DROP
-A OUTPUT -s 10.0.0.7/32 -p tcp -j DROP
""".strip().splitlines()

SYN = [
    ("h1:eth0", "192.168.99.1:20000 > 192.168.99.101:8088", 64),
    ("h1:docker_gwbridge", "192.168.99.1:20000 > 172.18.0.2:8088", 63),
    ("ingress_sbox@h1:eth1", "192.168.99.1:20000 > 172.18.0.2:8088", 63),
    ("ingress_sbox@h1:eth0", "10.0.0.2:20000 > 10.0.0.8:8088", 62),
    ("ov(ingress)@h1:vxlan0", "10.0.0.2:20000 > 10.0.0.8:8088", 62),
    ("h1:eth0", "192.168.99.101 > 192.168.99.103:4789", 64),
    ("h3:eth0", "192.168.99.101 > 192.168.99.103:4789", 64),
    ("web.3:eth0", "10.0.0.2:20000 > 10.0.0.8:8088", 62),
]
SYNACK = [
    ("web.3:eth0", "10.0.0.8:8088 > 10.0.0.2:20000", 64),
    ("h3:eth0", "192.168.99.103 > 192.168.99.101:4789", 64),
    ("h1:eth0", "192.168.99.103 > 192.168.99.101:4789", 64),
    ("ov(ingress)@h1:vxlan0", "10.0.0.8:8088 > 10.0.0.2:20000", 64),
    ("ingress_sbox@h1:eth0", "10.0.0.8:8088 > 10.0.0.2:20000", 64),
    ("ingress_sbox@h1:eth1", "172.18.0.2:8088 > 192.168.99.1:20000", 63),
    ("h1:docker_gwbridge", "172.18.0.2:8088 > 192.168.99.1:20000", 63),
    ("h1:eth0", "192.168.99.101:8088 > 192.168.99.1:20000", 62),
]


def swarm(*asked: Question, replicas: int = 3, network: bool = False) -> Spec:
    attachments = (Attachment(network="front", aliases=("web",)),) if network else ()
    tasks = tuple(
        Container(name=f"web.{slot}", host=HOSTS[slot % 3 - 1], task_of="web", service="web",
                  listens=(Listener(port=80),), attachments=attachments) for slot in range(1, replicas + 1))
    asker = Container(name="ask", host="h2", attachments=(Attachment(network="front"),))
    return Spec(
        hosts=tuple(Host(name=name, address=f"192.168.99.10{name[1]}/24") for name in HOSTS),
        clients=(Client(address="192.168.99.1/24"),),
        networks=(Network(name="front", driver="overlay", attachable=True),) if network else (),
        services=(Service(name="web", key="web", attachments=attachments,
                          ports=(ServicePort(target=80, published=8088),)),),
        containers=(*((asker,) if network else ()), *tasks), questions=asked)


def to_the_mesh(source: str, address: str) -> Question:
    return Question(source=source, target=address, probe="tcp", port=8088)


@pytest.fixture(scope="module")
def prediction() -> Prediction:
    return predict(swarm(to_the_mesh("client", "192.168.99.101"), to_the_mesh("h1", "127.0.0.1"),
                         to_the_mesh("h2", "192.168.99.102"), to_the_mesh("h3", "192.168.99.101")))


def rules(prediction: Prediction, label: str, table: str) -> list[str]:
    return [line for line in prediction.plumbing.namespaces[label].rules[table] if line.startswith("-A")]


def passing(trace: Trace, flags: str) -> list[tuple[str, str, int]]:
    """(point, addresses, TTL) of the first packet with these TCP flags, each point once, inner and outer."""
    found: dict[tuple[str, str, int], None] = {}
    inside = False
    for step in trace:
        packet = step.packet
        if step.kind is not Kind.SEEN or packet is None or packet.ip is None or packet.l4 is None:
            continue
        text = str(packet)
        mine = f"[{flags}]" in text
        inside = (inside or mine) and (mine or "4789" in text)
        if inside and "4789" in text:
            there = " > ".join(part.rpartition(":")[0] if ":4789" not in part else part
                               for part in text.removeprefix("UDP ").split(" > "))
            found[(step.point, there, packet.ip.ttl)] = None
        elif mine:
            found[(step.point, text.removeprefix("TCP ").partition(" [")[0], packet.ip.ttl)] = None
    return list(found)


def test_the_hosts_rules_lead_a_published_port_to_the_ingress_sandbox(prediction: Prediction) -> None:
    assert rules(prediction, "h1", "nat") == HOST_NAT
    assert rules(prediction, "h1", "filter") == HOST_FILTER


def test_the_ingress_sandbox_marks_balances_and_rewrites_the_source(prediction: Prediction) -> None:
    assert rules(prediction, "ingress_sbox@h1", "mangle") == SANDBOX_MANGLE
    assert "-A POSTROUTING -d 10.0.0.0/24 -m ipvs --ipvs -j SNAT --to-source 10.0.0.3" in rules(
        prediction, "ingress_sbox@h2", "nat")
    sandbox = prediction.plumbing.namespaces["ingress_sbox@h3"]
    assert sandbox.interfaces["eth0"].addresses == ("10.0.0.4/24", "10.0.0.5/32")
    assert sandbox.balanced == [f"fwmark 256 rr -> 10.0.0.{last} masq weight 1" for last in (6, 7, 8)]


def test_a_task_turns_the_published_port_into_its_own_and_lets_nothing_else_in(prediction: Prediction) -> None:
    assert rules(prediction, "web.2", "filter") == TASK_FILTER
    assert "-A PREROUTING -d 10.0.0.7/32 -p tcp -m tcp --dport 8088 -j REDIRECT --to-ports 80" in rules(
        prediction, "web.2", "nat")


def test_a_request_from_outside_takes_the_hops_that_were_captured(prediction: Prediction) -> None:
    trace = next(trace for answer, trace in prediction.ways(0) if answer.served_by == "web.3")
    there, back = passing(trace, "SYN"), passing(trace, "SYN|ACK")
    assert [hop for hop in there if hop in SYN] == SYN
    assert [hop for hop in back if hop in SYNACK] == SYNACK


def test_every_node_answers_and_any_task_may_be_the_one(prediction: Prediction) -> None:
    for index, seen_as in enumerate(("10.0.0.2", "10.0.0.2", "10.0.0.3", "10.0.0.2")):
        answers = [answer for answer, _ in prediction.ways(index)]
        assert {answer.served_by for answer in answers} == {"web.1", "web.2", "web.3"}
        assert {(answer.outcome, answer.seen_as) for answer in answers} == {(Outcome.REACHED, seen_as)}


def test_without_ip_vs_a_published_port_is_refused_and_a_virtual_address_is_nobodys() -> None:
    by_name = Question(source="ask", target="web", probe="tcp", port=80, by="name")
    spec = swarm(to_the_mesh("client", "192.168.99.101"), by_name, network=True)
    reached, lacking = predict(spec), predict(spec, lacking=frozenset({"ip_vs"}))
    assert {answer.outcome for answer in reached.answers} == {Outcome.REACHED}
    assert [answer.outcome for answer in lacking.answers] == [Outcome.REFUSED, Outcome.TIMEOUT]
    assert "mangle" not in lacking.plumbing.namespaces["ingress_sbox@h1"].rules


def test_tasks_of_a_service_are_known_by_its_name_and_not_by_their_own() -> None:
    asked = [Question(source="ask", target=name, probe="tcp", port=80, by="name")
             for name in ("web", "tasks.web", "web.1")]
    prediction = predict(swarm(*asked, network=True))
    assert {answer.address for answer, _ in prediction.ways(0)} == {"10.0.1.4"}
    assert {answer.address for answer, _ in prediction.ways(1)} == {"10.0.1.5", "10.0.1.7", "10.0.1.8"}
    assert prediction.answers[2].outcome is Outcome.NO_SUCH_NAME
