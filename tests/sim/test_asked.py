"""x-hopcast's questions: in threes around a fault, several under one heading; and the faults, links and labels."""

from __future__ import annotations

import pytest

from sim.compose import loads
from sim.errors import SpecError
from sim.spec import Fault, Link, Spec, Underlay

FILE = """name: shop
services:
  web: {image: nginx, ports: ["8080:80"], deploy: {replicas: 2}}
  db: {image: postgres}
x-hopcast:
  stack: true
  hosts: {h1: , h2: {labels: {disk: ssd, zone: 3}, link: {delay: 5ms, rate: 100mbit, loss: 1%, mtu: 1400}}}
  clients: {client: {link: {loss: 0.5%}}}
  underlay: {loss: 0.1%}
  faults: {cut: link down h2, crash: {kind: engine killed, host: h1}}
"""


def asked(*entries: str) -> list[str]:
    lines = "".join(f"    - {entry}\n" for entry in entries)
    return [str(question) for question in spec_of(f"{FILE}  questions:\n{lines}").questions]


def spec_of(text: str) -> Spec:
    return loads(text, file="c.yaml", environment={})


def test_links_labels_and_faults_of_machines_are_read() -> None:
    spec = spec_of(FILE)
    assert spec.hosts[1].link == Link(delay=0.005, rate=1e8, loss=0.01, mtu=1400)
    assert spec.hosts[1].labels == {"disk": "ssd", "zone": "3"}
    assert (spec.hosts[0].link, spec.clients[0].link) == (Link(), Link(loss=0.005))
    assert spec.underlay == Underlay(loss=0.001)
    assert spec.faults == (
        Fault(name="cut", kind="link down", host="h2"), Fault(name="crash", kind="engine killed", host="h1"))


def test_faults_may_be_a_list_of_mappings() -> None:
    text = FILE.replace("{cut: link down h2, crash: {kind: engine killed, host: h1}}",
                        "[{name: away, kind: node left, host: h2}]")
    assert spec_of(text).faults == (Fault(name="away", kind="node left", host="h2"),)


def test_around_a_fault_is_before_during_and_after_it() -> None:
    before = "client -> web:80 tcp (published)"
    assert asked("client -> web:80 around cut") == [before, f"{before}, during cut", f"{before}, after cut"]
    assert asked("{from: client, to: 'web:80', around: cut}") == asked("client -> web:80 around cut")
    assert asked("client -> web:80 during cut") == [f"{before}, during cut"]
    assert asked("{from: client, to: 'web:80', after: crash}") == [f"{before}, after crash"]


def test_around_several_faults_asks_before_once() -> None:
    assert [line.partition("ping by name")[2] for line in asked("web -> db around cut around crash")] == [
        "", ", during cut", ", after cut", ", during crash", ", after crash"]
    assert asked("{from: web, to: db, around: [cut, crash]}") == asked("web -> db around cut around crash")


def test_a_list_of_questions_shares_what_it_says_and_the_nearer_word_counts() -> None:
    spec = spec_of(FILE + """  questions:
    - group: names
      around: cut
      timeout: 0.5
      ask:
        - web -> db ping
        - web -> tasks.db timeout 2
        - {from: web, to: db, port: 5432, during: crash, group: other}
        - client -> h1 after cut
""")
    assert [(str(q), q.group, q.timeout) for q in spec.questions] == [
        ("shop_web.1 -> db ping by name", "names", 0.5),
        ("shop_web.1 -> db ping by name, during cut", "names", 0.5),
        ("shop_web.1 -> db ping by name, after cut", "names", 0.5),
        ("shop_web.1 -> tasks.db ping by name", "names", 2),
        ("shop_web.1 -> tasks.db ping by name, during cut", "names", 2),
        ("shop_web.1 -> tasks.db ping by name, after cut", "names", 2),
        ("shop_web.1 -> db:5432 tcp by name, during crash", "other", 0.5),
        ("client -> h1 ping, after cut", "names", 0.5),
    ]


def test_a_port_of_the_routing_mesh_is_asked_at_any_node() -> None:
    assert asked("client -> web:80 at h2", "{from: client, to: web, port: 8080, at: h2}") == [
        "client -> web:80 tcp (published at h2)"] * 2


BAD: list[tuple[str, str]] = [
    ("web -> db during cat", "questions[0]: unknown fault 'cat'; did you mean 'cut'?"),
    ("web -> db around cat", "questions[0]: unknown fault 'cat'; did you mean 'cut'?"),
    ("{around: cat, ask: [web -> db]}", "unknown fault 'cat'; did you mean 'cut'?"),
    ("web -> db during cut after cut", "during and after exclude each other"),
    ("web -> db during cut around crash", "around says before, during and after"),
    ("{from: web, to: db, when: cut}", "questions[0].when: unknown key 'when' in a question"),
    ("{ask: [web -> db], by: name}", "unknown key 'by' in a list of questions"),
    ("{ask: web}", "should be a list, is 'web'"),
    ("client -> web:80 at h9", "unknown host 'h9'; known: h1, h2"),
    ("client -> web at h2", "at 'h2' chooses the node at which a published port of a swarm service is asked"),
    ("web -> tasks.dbb", "unknown target 'tasks.dbb'; did you mean 'tasks.db'?"),
    ("web -> dbb:80", "unknown target 'dbb'; did you mean 'db'?"),
    ("web -> db by", "'by' wants `name` or `ip`; write it like"),
    ("web -> db during", "'during' wants a fault; write it like"),
    ("web -> db timeout 2s", "'timeout' wants seconds, like 1.5, not '2s'"),
    ("web -> db before cut", "'before' says nothing in a question; a question that names no fault is asked before"),
    ("web -> db during cut during crash", "'cut' and 'crash' exclude each other; ask two questions"),
    ("client -> web:80 direct published", "'direct' and 'published' exclude each other"),
    ("web -> db timeout 1 timeout 2", "'1' and '2' exclude each other"),
]


@pytest.mark.parametrize(("entry", "expected"), BAD)
def test_a_wrong_question_is_one_line_with_its_place(entry: str, expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        asked(entry)
    assert str(caught.value).startswith("c.yaml:12: x-hopcast.questions[0]") and expected in str(caught.value)


FAULTS: list[tuple[str, str]] = [
    ("{cut: link dwn h2}", "c.yaml:10: x-hopcast.faults.cut: unknown kind 'link dwn'; did you mean"),
    ("{cut: link down}", "x-hopcast.faults.cut: a fault needs a host; write it like `cut: link down h2`"),
    ("{cut: h2}", "a fault needs a kind; write it like `cut: link down h2`"),
    ("[{kind: link down, host: h2}]", "x-hopcast.faults[0]: a fault needs a name"),
    ("[{name: cut, kind: link down, hots: h2}]", "unknown key 'hots' in a fault; did you mean 'host'?"),
    ("{cut: link down h9}", "c.yaml:10: x-hopcast.faults.cut: unknown host 'h9'; known: h1, h2"),
    ("[{name: cut, kind: link down, host: h9}]", "x-hopcast.faults[0]: unknown host 'h9'; known: h1, h2"),
    ("{cut: {name: x, kind: link down, host: h2}}", "cut.name: the fault is called 'cut' already; leave the name out"),
    ("{my cut: link down h2}", "x-hopcast.faults.my cut: 'my cut' is no name for a fault"),
    ("[{name: a, kind: link down, host: h1}, {name: a, kind: link down, host: h2}]", "two faults are named 'a'"),
    ("{away: node left h1}", "node left: h1 is the only manager, and the swarm would end with it; let a worker leave"),
]


@pytest.mark.parametrize(("faults", "expected"), FAULTS)
def test_a_wrong_fault_is_one_line_with_its_place(faults: str, expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of(FILE.replace("{cut: link down h2, crash: {kind: engine killed, host: h1}}", faults))
    assert expected in str(caught.value)


def test_a_node_can_leave_or_be_drained_in_a_swarm_only() -> None:
    with pytest.raises(SpecError, match="node drained: the hosts form no swarm"):
        spec_of("services: {web: {}}\nx-hopcast: {hosts: {h1: , h2: }, faults: {d: node drained h2}}")


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("{loss: 1}", "hosts.h1.link.loss: '1' has no unit of %; write it like 0.1%"),
        ("{loss: 101%}", "hosts.h1.link.loss: 101% is more than all; use 0-100%"),
        ("{delay: 5}", "link.delay: '5' has no unit of us, ms, s"),
        ("{mtu: 40}", "hosts.h1.link: mtu 40 is out of range; use at least 68"),
        ("{rate: 0mbit}", "link.rate: a cable with no rate carries nothing; leave it out for no limit"),
        ("{bandwidth: 1mbit}", "unknown key 'bandwidth' in a link"),
    ],
)
def test_a_wrong_link_is_one_line_with_its_place(link: str, expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of(f"services: {{web: {{}}}}\nx-hopcast: {{hosts: {{h1: {{link: {link}}}}}}}")
    assert expected in str(caught.value)
