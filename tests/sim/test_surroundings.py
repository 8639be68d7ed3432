"""`x-hopcast` about the world around the hosts: how it is read, and what follows for packets."""

from __future__ import annotations

import textwrap

import pytest

from sim import compose
from sim.errors import SpecError
from sim.predict import Prediction, predict
from sim.spec import Firewall, Listener, Spec
from sim.trace import Kind


def spec(machines: str, questions: str = "[]", services: str = "app: {image: busybox}") -> Spec:
    head = f"name: p\nservices:\n  {services}\nx-hopcast:\n"
    return compose.loads(head + textwrap.indent(textwrap.dedent(machines), "  ") + f"\n  questions: {questions}\n",
                         environment={})


def forecast(machines: str, *questions: str, services: str = "app: {image: busybox}") -> Prediction:
    return predict(spec(machines, "[" + ", ".join(f'"{each}"' for each in questions) + "]", services))


def outcomes(found: Prediction) -> list[str]:
    return [answer.outcome.value for answer in found.answers]


WEB = 'web: {image: nginx, ports: ["8080:80"]}'
ROUTER = textwrap.dedent("""
    hosts: {host: {gateway: router}}
    clients:
      router: {address: 192.168.99.1/24, beyond: 203.0.113.7/24, nat: true, forwards: ["443 -> host:8080"]%s}
      friend: {behind: router, address: 203.0.113.9/24, listens: [443]}
""")


# firewalls


def test_a_firewall_is_a_list_of_lines_or_a_text_with_one_a_line() -> None:
    listed = spec('hosts: {host: {firewall: ["-A INPUT -j DROP", "iptables -I DOCKER-USER -j DROP"]}}')
    written = spec("""
        hosts:
          host:
            firewall: |
              # as in rc.local
              iptables -A INPUT -j DROP

              iptables -I DOCKER-USER -j DROP
    """)
    expected = Firewall(before=("-A INPUT -j DROP",), after=("-I DOCKER-USER -j DROP",))
    assert listed.hosts[0].firewall == written.hosts[0].firewall == expected
    said = spec('hosts: {host: {firewall: {after: ["-I FORWARD -j DROP"]}}}')
    assert said.hosts[0].firewall == Firewall(after=("-I FORWARD -j DROP",))


def test_input_guards_the_host_itself_and_docker_user_its_published_ports() -> None:
    rules = 'hosts: {host: {firewall: ["-A INPUT -p tcp --dport %s -j DROP"%s]}}'
    asked = "client -> web:80", "client -> host:22"
    assert outcomes(forecast(rules % (8080, ""), *asked, services=WEB)) == ["reached", "refused"]
    assert outcomes(forecast(rules % (22, ""), *asked, services=WEB)) == ["reached", "timeout"]
    user = ', "-I DOCKER-USER -i eth0 -s 192.168.99.200 -j DROP"'
    found = forecast(rules % (22, user), *asked, services=WEB)
    assert outcomes(found) == ["timeout", "timeout"]
    drops = [step.detail for trace in found.traces for step in trace if step.kind is Kind.DROP]
    assert "filter DOCKER-USER: -s 192.168.99.200/32 -i eth0 -j DROP" in drops


def test_a_policy_of_input_is_the_last_word_of_the_host() -> None:
    rules = 'hosts: {host: {firewall: ["-P INPUT DROP", "-A INPUT -p tcp --dport 22 -j ACCEPT"]}}'
    assert outcomes(forecast(rules, "client -> host:22", "client -> host:23", "client -> host")) == [
        "refused", "timeout", "timeout"]


def test_rules_that_stood_before_the_engine_stand_behind_its_own_in_forward() -> None:
    found = forecast('hosts: {host: {firewall: ["-A FORWARD -j DROP"]}}', "client -> web:80", services=WEB)
    forward = [line for line in found.plumbing.namespaces["host"].rules["filter"] if line.startswith("-A FORWARD")]
    assert forward[-1] == "-A FORWARD -j DROP" and len(forward) > 1
    assert outcomes(found) == ["reached"]


@pytest.mark.parametrize(("rule", "problem"), [
    ("-A INPUT -m recent --set -j DROP", "`recent' is not modelled"),
    ("-A INPUT -p tcp --dprot 22 -j DROP", 'unknown option "--dprot"'),
    ("-A INPTU -j DROP", "No chain/target/match by that name"),
    ("-A DOCKER-USER -j NOWHERE", "Chain 'NOWHERE' does not exist"),
])
def test_a_rule_that_iptables_or_the_model_refuses_is_the_files_mistake(rule: str, problem: str) -> None:
    with pytest.raises(SpecError, match=problem) as caught:
        predict(spec(f'hosts: {{host: {{firewall: ["{rule}"]}}}}'))
    assert caught.value.where == "host host" and rule in caught.value.problem


def test_a_client_has_a_firewall_of_its_own() -> None:
    rule = '"-A OUTPUT -p tcp --dport 8080 -j REJECT --reject-with tcp-reset"'
    assert outcomes(forecast(f"clients: {{client: {{firewall: [{rule}]}}}}", "client -> web:80", services=WEB)) == [
        "refused"]


def test_docker_user_is_there_only_where_the_engine_writes_rules() -> None:
    rules = 'hosts: {host: {engine: {iptables: false}, firewall: ["-I DOCKER-USER -j DROP"]}}'
    with pytest.raises(SpecError, match="No chain/target/match"):
        predict(spec(rules))


# routes and routers


def test_a_container_reaches_a_remote_lan_through_its_hosts_route() -> None:
    machines = """
        hosts: {host: {routes: ["172.30.5.0/24 via vpngw"]}}
        clients:
          vpngw: {address: 192.168.99.1/24, beyond: 172.30.5.1/24}
          nas: {behind: vpngw, address: 172.30.5.20/24, listens: [443]}
          client: {}
    """
    found = forecast(machines, "app -> nas:443", "nas -> host", "client -> nas:443")
    assert outcomes(found) == ["reached", "reached", "network unreachable"]
    assert found.answers[0].seen_as == "192.168.99.101"


def test_a_network_with_the_remote_lans_subnet_hides_it_from_its_containers() -> None:
    machines = """
        hosts: {host: {routes: ["172.18.5.0/24 via vpngw"]}}
        clients:
          vpngw: {address: 192.168.99.1/24, beyond: 172.18.5.1/24}
          nas: {behind: vpngw, address: 172.18.5.20/24, listens: [443]}
    """
    assert outcomes(forecast(machines, "app -> 172.18.5.20:443 timeout 4", "host -> nas:443")) == [
        "host unreachable", "reached"]


def test_a_plain_client_that_is_a_gateway_forwards_nothing_and_what_is_behind_it_is_not_said() -> None:
    machines = 'hosts: {host: {routes: ["10.0.0.0/8 via gw"]}}\nclients: {gw: {address: 192.168.99.1/24%s}}'
    found = forecast(machines % "", "host -> 10.1.2.3:443")
    assert outcomes(found) == ["not said"] and "what is behind gw" in found.answers[0].detail
    assert outcomes(forecast(machines % ", forward: true", "host -> 10.1.2.3:443")) == ["not said"]


def test_masquerade_hides_the_host_and_forwarded_ports_lead_back_in() -> None:
    asked = "web -> 203.0.113.9:443", "friend -> router:443", "friend -> web:80", "friend -> host"
    found = forecast(ROUTER % "", *asked, services=WEB)
    assert outcomes(found) == ["reached", "reached", "reached", "network unreachable"]
    assert [answer.seen_as for answer in found.answers[:3]] == ["203.0.113.7", "203.0.113.9", "203.0.113.9"]
    assert found.answers[2].address == "203.0.113.7"


def test_ones_own_public_name_is_refused_at_the_router_without_hairpin_and_reached_with_it() -> None:
    asked = "web -> 203.0.113.7:443", "client -> 203.0.113.7:443", "friend -> router:443"
    without = forecast(ROUTER % "" + "  client: {gateway: router}\n", *asked, services=WEB)
    assert outcomes(without) == ["refused", "refused", "reached"]
    hairpin = forecast(ROUTER % ", hairpin: true" + "  client: {gateway: router}\n", *asked, services=WEB)
    assert outcomes(hairpin) == ["reached"] * 3
    assert [answer.seen_as for answer in hairpin.answers] == ["192.168.99.1", "192.168.99.1", "203.0.113.9"]


def test_the_net_beyond_a_router_has_an_mtu_of_its_own() -> None:
    narrow = ROUTER.replace("beyond: 203.0.113.7/24", "beyond: {address: 203.0.113.7/24, mtu: 1400}")
    given = spec(narrow % "", '[{from: app, to: friend, size: 1400, df: true}, {from: app, to: friend, size: 1372}]')
    assert given.link_of("friend").mtu == 1400 and given.link_of("router").mtu == 1500
    assert outcomes(predict(given)) == ["message too long", "reached"]


# the internet


def test_internet_true_makes_a_router_with_nat_and_a_machine_that_has_every_public_address() -> None:
    found = forecast("internet: true", "app -> 1.1.1.1:443", "app -> 8.8.8.8:53/udp", "host -> 9.9.9.9",
                     "client -> 1.1.1.1:80", "app -> 1.1.1.1:22", "app -> 10.1.2.3:443")
    assert outcomes(found) == ["reached"] * 4 + ["refused", "timeout"]
    assert {answer.seen_as for answer in found.answers} - {""} == {"203.0.113.2"}
    assert {answer.served_by for answer in found.answers} - {""} == {"internet"}


def test_the_internet_hangs_behind_the_router_that_the_file_has() -> None:
    given = spec(ROUTER % "" + "internet: {listens: [25]}")
    internet = given.client("internet")
    assert internet is not None and internet.behind == "router" and internet.listens == (Listener(port=25),)
    assert given.routes_of("router") == ("default via 203.0.113.1",)
    assert [client.name for client in given.clients] == ["router", "friend", "internet"]


def test_a_gateway_that_is_said_or_denied_is_not_changed_by_the_internet() -> None:
    given = spec("""
        hosts: {host: {gateway: none}, h2: {}}
        internet: true
    """)
    assert given.routes_of("host") == () and given.routes_of("h2") == ("default via 192.168.99.1",)
    assert outcomes(forecast("hosts: {host: {gateway: none}}\ninternet: true", "app -> 1.1.1.1")) == ["not said"]


def test_names_outside_are_those_that_the_file_gives() -> None:
    machines = "internet: true\nnames: {Example.org: 93.184.216.34, box.lan: client}"
    found = forecast(machines, "app -> example.org:443 by name", "app -> box.lan by name", "app -> other.org by name",
                     "host -> example.org:443 by name", "app -> nowhere.invalid by name")
    assert outcomes(found) == ["reached", "reached", "not said", "reached", "no such name"]
    assert [answer.address for answer in found.answers[:2]] == ["93.184.216.34", "192.168.99.200"]


def test_without_a_word_of_the_internet_nothing_is_said_of_it() -> None:
    found = forecast("hosts: {host: {}}", "app -> 1.1.1.1:443", "host -> 1.1.1.1", "app -> example.org:443 by name")
    assert outcomes(found) == ["not said"] * 3
    assert all("x-hopcast" in answer.detail for answer in found.answers)


def test_a_client_without_a_route_to_a_containers_network_is_told_so() -> None:
    assert outcomes(forecast("clients: {client: {}}", "client -> app:80")) == ["network unreachable"]


def test_the_default_questions_ask_for_the_internet_where_there_is_one() -> None:
    text = "name: p\nservices: {app: {image: busybox}}\nx-hopcast: {internet: true}\n"
    asked = [str(question) for question in compose.loads(text, environment={}).questions]
    assert asked == ["p-app-1 -> client ping", "p-app-1 -> internet ping"]


# mistakes


@pytest.mark.parametrize(("machines", "problem"), [
    ("hosts: {host: {gateway: ruoter}}\nclients: {router: {}}", "unknown machine 'ruoter'; did you mean 'router'"),
    ("hosts: {host: {routes: ['10.0.0.0/8 by router']}}\nclients: {router: {}}", "is no route"),
    ("clients: {router: {nat: true}}", "nat without beyond"),
    ("clients: {router: {beyond: {mtu: 1400}}}", "beyond needs an address"),
    ("clients: {router: {beyond: 203.0.113.7}}", "not a subnet in CIDR notation"),
    ("clients: {router: {beyond: 203.0.113.7/24, forwards: ['443']}}", "no forwarded port"),
    ("clients: {router: {beyond: 203.0.113.7/24, forwards: ['70000 -> host']}}", "port 70000 is out of range"),
    ("clients: {router: {beyond: 203.0.113.7/24, forwards: ['1 -> host', '1 -> router']}}", "forwarded twice"),
    ("clients: {nas: {behind: nobody}}", "needs an address"),
    ("clients: {nas: {behind: nobody, address: 10.0.0.1/24}}", "behind 'nobody', which is no client"),
    ("internet: maybe", "neither true nor false"),
    ("internet: {listen: [80]}", "unknown key 'listen' in internet"),
    ("clients: {router: {address: 192.168.99.1/24}}\ninternet: true", "make a router of it"),
    ("names: {'a b': 1.2.3.4}", "'a b' is no name"),
    ("names: {example.org: nobody}", "unknown machine 'nobody'"),
    ("names: {example.org: '::1'}", "IPv4 only"),
    ("hosts: {host: {firewall: [ufw deny 22]}}", "ufw is not modelled"),
    ("hosts: {host: {firewall: {around: []}}}", "unknown key 'around' in a firewall"),
])
def test_a_mistake_about_the_surroundings_is_one_line_with_the_line_and_a_mend(machines: str, problem: str) -> None:
    with pytest.raises(SpecError, match=problem) as caught:
        spec(machines)
    assert caught.value.where.startswith("compose.yaml:") and "\n" not in str(caught.value)


def test_the_internet_asks_no_name_server() -> None:
    with pytest.raises(SpecError, match="asks no name server"):
        spec("internet: true\nnames: {a.org: 1.2.3.4}", '["internet -> a.org by name"]')


def test_a_next_hop_that_is_nobodys_is_noted() -> None:
    notes = spec("hosts: {host: {gateway: 192.168.99.7}}").notes
    assert any("192.168.99.7, the next hop of host" in note for note in notes)
    assert not spec("hosts: {host: {gateway: r}}\nclients: {r: {}}").notes


