"""What a cut cable, a killed engine and a worker that left do to reachability (the same are asked of real engines in
tests/experiments/test_faults_live.py)."""


from sim import faults, topology
from sim.kernel.bridge import Bridge
from sim.predict import predict
from sim.trace import DropReason, Kind
from sim.underlay import WIRE
from sim.world import build


def outcomes(builder, *lines):
    """Each line around the builder's only fault: (before, during, after)."""
    fault = builder.spec().faults[0].name
    for line in lines:
        builder = builder.ask(f"{line} around {fault}")
    prediction = predict(builder.spec(), observed=True)
    names = [answer.outcome.name for answer in prediction.answers]
    assert prediction.questions == list(builder.spec().questions)
    return [tuple(names[at:at + 3]) for at in range(0, len(names), 3)]


def one_host(kind):
    return (topology("t").network("front")
            .container("web", networks=["front"], ports=["8080:80"], restart="always")
            .container("peer", networks=["front"], restart="unless-stopped")
            .container("gone", networks=["front"], ports=["8081:80"])
            .fault("f", kind, "host"))


def swarm(kind, host="h2"):
    return (topology("t").host("h1").host("h2").host("h3").network("ov", driver="overlay", attachable=True)
            .network("local")
            .container("a1", networks=["ov"], host="h1", listens=[80])
            .container("a2", networks=["ov"], host="h2", listens=[80], ports=["8080:80"], restart="always")
            .container("b2", networks=["ov"], host="h2", listens=[80])
            .container("a3", networks=["ov"], host="h3", listens=[80])
            .container("l2", networks=["local"], host="h2", listens=[80])
            .container("m2", networks=["local"], host="h2")
            .fault("f", kind, host))


def test_cut_cable_parts_a_host_from_the_others_and_not_from_its_containers() -> None:
    assert outcomes(one_host("link down"), "client -> web:80", "host -> web:80 by ip", "peer -> web:80",
                    "peer -> client") == [
        ("REACHED", "TIMEOUT", "REACHED"), ("REACHED", "REACHED", "REACHED"), ("REACHED", "REACHED", "REACHED"),
        ("REACHED", "TIMEOUT", "REACHED")]


def test_without_carrier_nothing_passes_the_tap_and_arp_fails_after_three_seconds() -> None:
    builder = one_host("link down").ask("host -> client timeout 4 during f")
    prediction = predict(builder.spec())
    assert prediction.answers[0].outcome.name == "HOST_UNREACHABLE"
    trace = prediction.traces[0]
    assert not [s for s in trace if s.kind is Kind.SEEN and s.point == "host:eth0"]
    assert [s.detail for s in trace.drops() if s.reason is DropReason.LINK_DOWN] == ["eth0 has no carrier"] * 3


def test_macvlan_containers_do_not_even_hear_each_other_when_the_parent_has_no_carrier() -> None:
    builder = (topology("t").network("mac", driver="macvlan", subnet="192.168.99.0/24", options={"parent": "eth0"})
               .container("m1", networks=["mac"]).container("m2", networks=["mac"]).fault("f", "link down", "host"))
    assert outcomes(builder, "m1 -> m2 by ip") == [("REACHED", "TIMEOUT", "REACHED")]


def test_swarm_gives_up_a_node_that_it_does_not_hear_and_its_names_go() -> None:
    assert outcomes(swarm("link down"), "a1 -> a2:80", "a1 -> a2:80 by ip", "a2 -> b2:80", "a2 -> a1", "a1 -> a3") == [
        ("REACHED", "NO_SUCH_NAME", "REACHED"), ("REACHED", "TIMEOUT", "REACHED"), ("REACHED", "REACHED", "REACHED"),
        ("REACHED", "NAME_UNANSWERED", "REACHED"), ("REACHED", "REACHED", "REACHED")]


def test_tunnels_come_back_as_they_were_with_the_cable() -> None:
    world = build(swarm("link down").spec())
    before = world.plumbing()
    faults.inject(world, world.spec.faults[0])
    assert world.namespaces["ov(ov)@h2"].neighbours.permanent() == []
    assert world.plumbing() != before
    faults.mend(world, world.spec.faults[0])
    assert world.plumbing().namespaces == before.namespaces


def test_rules_of_a_killed_engine_go_on_and_its_proxies_do_not() -> None:
    """From outside a published port is DNAT; from the container's own network it is docker-proxy."""
    assert outcomes(one_host("engine killed"), "client -> web:80", "peer -> host:8080", "host -> 127.0.0.1:8080") == [
        ("REACHED", "REACHED", "REACHED"), ("REACHED", "REFUSED", "REACHED"), ("REACHED", "REFUSED", "REACHED")]


def test_names_need_the_daemon_and_bridges_do_not() -> None:
    assert outcomes(one_host("engine killed"), "peer -> web:80", "peer -> web:80 by ip") == [
        ("REACHED", "NAME_UNANSWERED", "REACHED"), ("REACHED", "REACHED", "REACHED")]


def test_engine_that_starts_again_ends_what_has_no_restart_policy() -> None:
    assert outcomes(one_host("engine killed"), "peer -> gone:80", "client -> gone:80", "gone -> peer") == [
        ("REACHED", "NAME_UNANSWERED", "NO_SUCH_NAME"), ("REACHED", "REACHED", "REFUSED"),
        ("REACHED", "NAME_UNANSWERED", "NOT_RUNNING")]


def test_container_that_shares_a_namespace_starts_again_only_after_its_owner() -> None:
    builder = (topology("t").network("front").container("web", networks=["front"])
               .container("side", mode="container:web", restart="always")
               .container("own", mode="host", restart="always")
               .fault("f", "engine killed", "host"))
    assert outcomes(builder, "side -> host", "own -> client") == [
        ("REACHED", "REACHED", "NOT_RUNNING"), ("REACHED", "REACHED", "REACHED")]


def test_addresses_on_a_bridge_begin_anew_and_those_of_a_swarm_go_on() -> None:
    builder = swarm("engine killed").ask("a1 -> a2:80 around f").ask("a1 -> b2 by ip after f")
    prediction = predict(builder.spec())
    assert [answer.address for answer in prediction.answers] == ["10.0.1.4", "", "10.0.1.9", "10.0.1.6"]
    assert prediction.answers[-1].outcome.name == "TIMEOUT"  # docker inspect still shows it


def test_manager_that_starts_again_gives_the_lowest_free_address() -> None:
    builder = (topology("t").host("h1").host("h2").network("ov", driver="overlay", attachable=True)
               .container("a1", networks=["ov"], host="h1", listens=[80], restart="always")
               .container("a2", networks=["ov"], host="h2", listens=[80]).fault("f", "engine killed", "h1"))
    prediction = predict(builder.ask("a2 -> a1:80 around f").spec())
    assert [answer.address for answer in prediction.answers] == ["10.0.1.2", "", "10.0.1.2"]


def test_rules_of_an_engine_that_started_again_are_those_of_its_first_start() -> None:
    spec = swarm("engine killed").spec()
    spec = spec.model_copy(update={"containers": tuple(
        box.model_copy(update={"restart": "always"}) for box in spec.containers)})
    world = build(spec)
    before = world.namespaces["h2"].snapshot()
    faults.inject(world, spec.faults[0])
    assert world.namespaces["h2"].snapshot().rules == before.rules
    faults.mend(world, spec.faults[0])
    after = world.namespaces["h2"].snapshot()
    assert (after.rules, after.interfaces, after.listeners) == (before.rules, before.interfaces, before.listeners)


def test_killed_engine_is_forgotten_by_its_swarm_but_forgets_nobody() -> None:
    spec = swarm("engine killed").spec()
    world = build(spec)
    tunnels = world.namespaces["ov(ov)@h2"].neighbours.permanent()
    faults.inject(world, spec.faults[0])
    assert world.namespaces["ov(ov)@h2"].neighbours.permanent() == tunnels
    assert len(world.namespaces["ov(ov)@h1"].neighbours.permanent()) == 2
    prediction = predict(swarm("engine killed").ask("a2 -> a1:80 by ip during f").spec())
    assert prediction.answers[0].outcome.name == "TIMEOUT"
    assert any(s.kind is Kind.DECAP and s.where == "ov(ov)@h1" for s in prediction.traces[0])  # the SYN gets there


def test_worker_that_leaves_takes_its_containers_off_the_swarms_networks_for_good() -> None:
    assert outcomes(swarm("node left"), "a1 -> a2:80", "a1 -> a2:80 by ip", "a2 -> client", "client -> h2:8080") == [
        ("REACHED", "NO_SUCH_NAME", "NO_SUCH_NAME"), ("REACHED", "NO_TARGET", "NO_TARGET"),
        ("REACHED", "NET_UNREACHABLE", "NET_UNREACHABLE"), ("REACHED", "REFUSED", "REFUSED")]


def test_engine_that_leaves_a_swarm_forgets_the_names_of_its_own_bridges() -> None:
    assert outcomes(swarm("node left"), "m2 -> l2:80", "m2 -> l2:80 by ip") == [
        ("REACHED", "NO_SUCH_NAME", "NO_SUCH_NAME"), ("REACHED", "REACHED", "REACHED")]


def test_a_fault_leaves_its_traces_for_the_next_one() -> None:
    builder = swarm("node left").fault("g", "engine killed", "h2").ask("m2 -> l2:80 by ip after f")
    builder = builder.ask("m2 -> l2:80 by ip after g").ask("a1 -> a2:80 by ip after g")
    assert [a.outcome.name for a in predict(builder.spec()).answers] == ["REACHED", "NOT_RUNNING", "REACHED"]


def test_sniffers_stay_where_they_are_told_to_when_bridges_are_made_anew() -> None:
    world = build(one_host("engine killed").spec())
    world.sniff(True)
    faults.inject(world, world.spec.faults[0])
    faults.mend(world, world.spec.faults[0])
    assert all(d.promiscuous for d in world.namespaces["host"].devices.values() if isinstance(d, Bridge))
    assert world.namespaces[WIRE].devices["host"].carrier
