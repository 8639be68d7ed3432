"""What draining a node does to a swarm's tasks, their addresses and what every engine knows of them (the same is asked
of real engines in tests/live/test_faults.py and by experiments/scenarios/drain.yaml)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import compose, faults, topology
from sim.build import Topology
from sim.errors import SpecError
from sim.phases import phases
from sim.predict import predict
from sim.spec import Fault, Move
from sim.world import World, build

WORKERS = ["node.role == worker"]
ON_H2 = ["node.hostname == h2"]


def swarm() -> Topology:
    return (topology("t").host("h1").host("h2").host("h3").network("ov", driver="overlay", attachable=True)
            .container("shell", networks=["ov"], host="h1"))


def drained(builder: Topology, host: str = "h2") -> tuple[World, Fault]:
    """A world in which the node is drained, and by what."""
    world = build(builder.fault("f", "node drained", host).spec())
    faults.inject(world, world.spec.faults[-1])
    return world, world.spec.faults[-1]


def outcomes(builder: Topology, *lines: str) -> list[list[str]]:
    """Each line around the draining of h2: before, during, after."""
    builder = builder.fault("f", "node drained", "h2")
    for line in lines:
        builder = builder.ask(f"{line} around f")
    names = [answer.outcome.name for answer in predict(builder.spec()).answers]
    return [names[at:at + 3] for at in range(0, len(names), 3)]


def rules(world: World, label: str, table: str) -> str:
    return "\n".join(world.namespaces[label].snapshot().rules.get(table, []))


def test_task_of_a_drained_node_moves_with_new_addresses_behind_the_last_ones_and_does_not_move_back() -> None:
    builder = swarm().service("web", networks=["ov"], replicas=2, constraints=WORKERS, ports=["8080:80"])
    world, fault = drained(builder)
    assert fault.moves == (Move(task="web.1", host="h3"),)
    # ov: .2 shell, .3 its balancer, .4 VIP, .5 web.1, .6 balancer of h2, .7 web.2, .8 balancer of h3
    assert world.address_of("web.1", "ov") == "10.0.1.9"
    assert "web.1" in world.daemons["h3"].sandboxes and "web.1" not in world.daemons["h2"].sandboxes
    faults.mend(world, fault)
    assert world.address_of("web.1", "ov") == "10.0.1.9" and "web.1" in world.daemons["h3"].sandboxes
    assert world.swarm is not None and world.swarm.networks["ov"].names["tasks.web"] == ["10.0.1.7", "10.0.1.9"]


def test_address_that_was_given_back_is_forgotten_by_every_engine() -> None:
    world, _ = drained(swarm().service("web", networks=["ov"], replicas=2, constraints=WORKERS, ports=["8080:80"]))
    for label, netns in world.namespaces.items():
        assert not [line for line in netns.neighbours.permanent() if line.startswith(("10.0.1.5 ", "10.0.0.6 "))], label
        lines = [line for device in netns.devices.values() for line in device.remote_lines()]
        assert not [line for line in lines if line.startswith(("02:42:0a:00:01:05 ", "02:42:0a:00:00:06 "))], label
        assert not [line for line in netns.ipvs.lines() if "10.0.1.5 " in line or "10.0.0.6 " in line], label
    assert world.namespaces["ingress_sbox@h2"].ipvs.lines() == [
        "fwmark 256 rr -> 10.0.0.7 masq weight 1", "fwmark 256 rr -> 10.0.0.8 masq weight 1"]


def test_node_without_anybody_on_a_network_leaves_it_and_stays_on_ingress() -> None:
    world, fault = drained(swarm().service("web", networks=["ov"], replicas=2, constraints=WORKERS, ports=["8080:80"]))
    assert {"ov(ov)@h2", "lb(ov)@h2", "web.1"} & set(world.namespaces) == {"web.1"}
    assert {"ov(ingress)@h2", "ingress_sbox@h2"} <= set(world.namespaces)
    assert "ov" not in world.daemons["h2"].networks
    remotes = world.namespaces["ov(ov)@h1"].devices["vxlan0"].remote_lines()
    assert not [line for line in remotes if line.endswith("192.168.99.102")]
    faults.mend(world, fault)
    assert "ov(ov)@h2" not in world.namespaces


def test_plain_container_stays_on_a_drained_node_and_its_network_with_it() -> None:
    builder = (swarm().container("box", networks=["ov"], host="h2", listens=[80])
               .service("web", networks=["ov"], replicas=2, constraints=WORKERS))
    world, _ = drained(builder)
    assert "box" in world.daemons["h2"].sandboxes and "lb(ov)@h2" in world.namespaces
    assert outcomes(builder, "shell -> box:80 by name", "box -> shell") == [["REACHED"] * 3] * 2


def test_mesh_answers_on_a_drained_node_and_a_port_in_mode_host_does_not() -> None:
    builder = (swarm().service("web", networks=["ov"], replicas=2, constraints=WORKERS, ports=["8080:80"])
               .service("metrics", networks=["ov"], mode="global", listens=[9100],
                        ports=[{"target": 9100, "published": 9100, "protocol": "tcp", "mode": "host"}]))
    assert outcomes(builder, "client -> h2:8080", "shell -> web:80 by name", "client -> h2:9100", "client -> h3:9100",
                    "metrics.h2 -> shell", "shell -> metrics.h2 by ip", "web.1 -> shell") == [
        ["REACHED"] * 3, ["REACHED"] * 3, ["REACHED", "REFUSED", "REACHED"], ["REACHED"] * 3,
        ["REACHED", "NOT_RUNNING", "REACHED"], ["REACHED", "NO_TARGET", "REACHED"], ["REACHED"] * 3]


def test_task_without_another_node_waits_with_the_addresses_that_it_has_already() -> None:
    builder = (swarm().service("db", networks=["ov"], constraints=ON_H2)
               .fault("g", "node drained", "h2"))
    spec = builder.spec()
    assert spec.faults[0].moves == (Move(task="db.1"),)
    world = build(spec)
    assert world.address_of("db.1", "ov") == "10.0.1.5"
    faults.inject(world, spec.faults[0])
    assert world.address_of("db.1", "ov") is None and not world.runs("db.1")
    assert world.swarm is not None and world.swarm.networks["ov"].pool.request().exploded == "10.0.1.8"
    faults.mend(world, spec.faults[0])
    assert world.address_of("db.1", "ov") == "10.0.1.7"
    assert world.namespaces["lb(ov)@h2"].devices["eth0"].addresses[0][0] & 0xFF == 9


def test_service_without_tasks_has_no_name_no_mark_and_no_published_port() -> None:
    builder = swarm().service("db", networks=["ov"], constraints=ON_H2, ports=["5432:80"])
    world, fault = drained(builder)
    assert world.swarm is not None and not {"db", "tasks.db"} & world.swarm.networks["ov"].names.keys()
    assert world.namespaces["ingress_sbox@h1"].ipvs.lines() == [] == world.namespaces["lb(ov)@h1"].ipvs.lines()
    assert "5432" not in rules(world, "h1", "nat") + rules(world, "h1", "filter")
    assert "-A DOCKER-INGRESS -j RETURN" in rules(world, "h1", "nat")
    assert ("tcp", "0.0.0.0", 5432) not in world.namespaces["h1"].daemon_listeners
    sandbox = world.namespaces["ingress_sbox@h1"].snapshot()
    assert [line for line in sandbox.rules["mangle"] if line.startswith("-A")] == []
    assert len([line for line in sandbox.rules["nat"] if "-m ipvs" in line]) == 1
    assert not [address for address in sandbox.interfaces["eth0"].addresses if address.endswith("/32")]
    faults.mend(world, fault)
    assert outcomes(builder, "client -> h1:5432", "shell -> db:80 by name", "shell -> tasks.db:80 by name") == [
        ["REACHED", "REFUSED", "REACHED"], *[["REACHED", "NO_SUCH_NAME", "REACHED"]] * 2]


def test_service_whose_only_task_moves_gets_another_mark_and_the_same_rules() -> None:
    builder = swarm().service("db", networks=["ov"], constraints=WORKERS, ports=["5432:80"])
    before = build(builder.spec())
    world, _ = drained(builder)
    assert [line.split(" ->")[0] for line in before.namespaces["lb(ov)@h1"].ipvs.lines()] == ["fwmark 257 rr"]
    marks = {line.split(" ->")[0] for label in ("lb(ov)@h1", "ingress_sbox@h1")
             for line in world.namespaces[label].ipvs.lines()}
    assert marks == {"fwmark 258 rr", "fwmark 259 rr"}
    assert rules(world, "h1", "nat") == rules(before, "h1", "nat")
    assert world.namespaces["h1"].daemon_listeners == before.namespaces["h1"].daemon_listeners


def test_tasks_that_would_move_at_the_same_time_are_refused_for_their_order_is_drawn() -> None:
    builder = swarm().service("web", networks=["ov"], constraints=ON_H2, replicas=1)
    two = builder.service("api", networks=["ov"], constraints=["node.hostname != h1"], replicas=2)
    moving = two.service("more", networks=["ov"], constraints=["node.hostname != h1"], replicas=4)
    with pytest.raises(SpecError, match=r"fault f: the swarm moves .*more\.\d, more\.\d at the same time, and draws"):
        moving.fault("f", "node drained", "h2").spec()
    with pytest.raises(SpecError, match=r"fault f: when h2 is active again the swarm starts web\.1, g\.h2 at the same"):
        builder.service("g", networks=["ov"], mode="global").fault("f", "node drained", "h2").spec()
    with pytest.raises(SpecError, match=r"fault f: the swarm gives new addresses to .*web\.1.* at the same time"):
        builder.service("s", networks=["ov"], constraints=["node.hostname != h1"], replicas=2).fault(
            "f", "node drained", "h2").spec()


def test_file_is_blamed_at_the_line_of_the_fault() -> None:
    text = """
services:
  web: {image: nginx, networks: [ov], deploy: {replicas: 4, placement: {constraints: [node.role == worker]}}}
networks: {ov: {driver: overlay}}
x-hopcast:
  stack: true
  hosts: {h1: {}, h2: {}, h3: {}}
  faults:
    f: node drained h2
"""
    with pytest.raises(SpecError, match=r":9: .*faults\.f: the swarm moves \S+_web\.1, \S+_web\.3 at the same time"):
        compose.loads(text)


def test_other_faults_of_a_swarm_with_services_are_refused_with_what_else_there_is() -> None:
    spec = swarm().service("web", networks=["ov"]).fault("f", "link down", "h2").ask("shell -> web during f").spec()
    with pytest.raises(SpecError, match="fault f: link down is not modelled in a swarm with services"):
        predict(spec)


def test_fault_of_a_hand_made_spec_must_say_where_tasks_go() -> None:
    spec = swarm().service("web", networks=["ov"], constraints=ON_H2).spec()
    spec = spec.model_copy(update={"faults": (Fault(name="f", kind="node drained", host="h2"),)})
    with pytest.raises(SpecError, match=r"fault f: nothing is said of where task web\.1 goes"):
        faults.inject(build(spec), spec.faults[0])


def test_second_drain_finds_tasks_where_the_first_one_moved_them() -> None:
    builder = (swarm().service("web", networks=["ov"], constraints=WORKERS)
               .fault("one", "node drained", "h2").fault("two", "node drained", "h3").ask("shell -> web during two"))
    spec = builder.spec()
    assert [fault.moves for fault in spec.faults] == [
        (Move(task="web.1", host="h3"),), (Move(task="web.1", host="h2"),)]
    assert [(p.when, p.fault.name if p.fault else "") for p in phases(spec, spec.questions)] == [
        ("before", ""), ("during", "one"), ("after", "one"), ("during", "two"), ("after", "two")]
    assert [answer.outcome.name for answer in predict(spec).answers] == ["REACHED"]


@settings(max_examples=15)
@given(host=st.sampled_from(["h1", "h2", "h3"]), replicas=st.integers(1, 3), plain=st.booleans(), mend=st.booleans(),
       dnsrr=st.booleans())
def test_every_engine_knows_exactly_the_endpoints_of_the_others(
    host: str, replicas: int, plain: bool, mend: bool, dnsrr: bool
) -> None:
    builder = swarm().service("web", networks=["ov"], replicas=replicas, ports=[] if dnsrr else ["8080:80"],
                              endpoint_mode="dnsrr" if dnsrr else "vip")
    builder = builder.container("box", networks=["ov"], host="h3") if plain else builder
    world, fault = drained(builder, host)
    if mend:
        faults.mend(world, fault)
    assert world.swarm is not None
    for name, shared in world.swarm.networks.items():
        there = [(each, e) for each, daemon in world.daemons.items() for e in daemon.endpoints
                 if e.network.name == name]
        assert {str(peer.address) for peer in shared.peers} == {str(e.address) for _, e in there}
        for each, daemon in world.daemons.items():
            overlay = f"ov({name})@{each}"
            assert (overlay in world.namespaces) == (name in daemon.networks) == any(at == each for at, _ in there)
            if overlay in world.namespaces:
                known = {line.split()[0] for line in world.namespaces[overlay].neighbours.permanent()}
                assert known == {str(e.address) for at, e in there if at != each}
