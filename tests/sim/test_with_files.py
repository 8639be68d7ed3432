"""What is said beside a Compose file: `--with`, `--stack`, `-q`; and what x-hopcast says of external networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.compose import load, loads
from sim.compose.document import Item
from sim.compose.with_files import laid_over
from sim.errors import SpecError
from sim.predict import predict
from sim.spec import Listener, Spec
from sim.trace import Outcome

COMPOSE = """
services:
  web: {image: nginx, x-hopcast: {listens: [80], host: h1}}
  db: {image: postgres}
x-hopcast:
  hosts: {h1: {engine: {icc: false}}, h2: {}}
  questions: [web -> db:5432]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    return tmp_path


def beside(project: Path, *texts: str, **more: Any) -> Spec:
    files = [project / f"{number}.yaml" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    return load(project / "compose.yaml", beside=files, environment={"PORT": "8000"}, **more)


def test_a_file_beside_says_what_could_stand_under_x_hopcast(project: Path) -> None:
    spec = beside(project, "services: {web: {listens: ['${PORT}'], host: h2}}\nquestions: [db -> web:8000]")
    assert (spec.containers[0].host, spec.containers[0].listens) == ("h2", (Listener(port=8000),))
    assert [str(question) for question in spec.questions] == [f"{spec.name}-db-1 -> web:8000 tcp by name"]


def test_mappings_are_merged_and_lists_take_each_others_place(project: Path) -> None:
    spec = beside(project, "hosts: {h1: {engine: {mtu: 1400}}}", "{hosts: {h1: {engine: {mtu: 1300}}}, questions: []}")
    assert (spec.hosts[0].engine.icc, spec.hosts[0].engine.mtu, len(spec.hosts)) == (False, 1300, 2)
    assert spec.questions == ()


def test_a_file_beside_may_have_the_key_itself(project: Path) -> None:
    assert beside(project, "x-hopcast: {clients: {laptop: {}}}").clients[0].name == "laptop"


@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        ("services:\n  webb: {listens: [80]}", "0.yaml:2: services.webb", "did you mean 'web'?"),
        ("services:\n  web:\n    listens: [99999]", "0.yaml:3: services.web.listens", "out of range"),
        ("networks: {front: {driver: bridge}}", "0.yaml:1: networks.front", "unknown network 'front'"),
        ("questions:\n- web -> dbb", "0.yaml:2: questions[0]", "did you mean 'db'?"),
        ("hots: {}", "0.yaml:1: hots", "did you mean 'hosts'?"),
        ("x-hopcast: {}\nhosts: {}", "0.yaml:2: hosts", "beside x-hopcast"),
        (COMPOSE, "0.yaml", "give it as FILE or with -f"),
        ("- web", "0.yaml:1", "its top level should be a mapping"),
    ],
)
def test_what_is_wrong_in_a_file_beside_is_blamed_on_its_own_line(
    project: Path, text: str, where: str, problem: str
) -> None:
    with pytest.raises(SpecError) as caught:
        beside(project, text)
    assert where in str(caught.value)
    assert problem in str(caught.value)


def test_questions_of_the_command_line_take_the_place_of_the_files(project: Path) -> None:
    spec = beside(project, questions=["db -> web:80 by ip", "web -> db ping"])
    assert [question.target for question in spec.questions] == [f"{spec.name}-web-1", "db"]


@pytest.mark.parametrize("line", ["web > db", "", "web -> dbb:5432", "web -> db:99999"])
def test_a_wrong_question_of_the_command_line_says_that_it_is_one(project: Path, line: str) -> None:
    with pytest.raises(SpecError, match=r"-q: ") as caught:
        beside(project, questions=[line])
    assert str(caught.value).startswith("-q: ")


def test_stack_is_said_by_the_command_line_as_by_the_file(project: Path) -> None:
    (project / "compose.yaml").write_text("services: {web: {image: nginx}}")
    assert [box.task_of for box in load(project, stack=True, environment={}).containers] == [
        f"{load(project, environment={}).name}_web"]


def test_the_command_line_comes_after_every_file_beside(project: Path) -> None:
    (project / "compose.yaml").write_text("services: {web: {image: nginx}}")
    spec = beside(project, "{stack: false, questions: []}", stack=True, questions=["client -> web:80"])
    assert spec.services and len(spec.questions) == 1


TREES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8)


def item(tree: Any) -> Item:
    if isinstance(tree, dict):
        return Item({key: item(value) for key, value in tree.items()}, "f", 1)
    return Item([item(value) for value in tree] if isinstance(tree, list) else tree, "f", 1)


def leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """Path -> what stands there, of all that is no mapping with something in it."""
    if not isinstance(tree, dict) or not tree:
        return {path: tree}
    return {key: value for name, inner in tree.items() for key, value in leaves(inner, f"{path}/{name}").items()}


def plain(of: Item) -> Any:
    if isinstance(of.value, dict):
        return {key: plain(value) for key, value in of.value.items()}
    return [plain(value) for value in of.value] if isinstance(of.value, list) else of.value


@given(TREES, TREES)
def test_all_that_is_said_later_holds_and_of_the_rest_all_that_it_does_not_touch(below: Any, above: Any) -> None:
    found = leaves(plain(laid_over(item(below), item(above))))
    said = {path: value for path, value in leaves(above).items() if value != {}}
    assert {path: found[path] for path in said} == said
    if isinstance(above, dict) and isinstance(below, dict):
        untouched = {path: value for path, value in leaves(below).items()
                     if not any(path == other or path.startswith(f"{other}/") or other.startswith(f"{path}/")
                                for other in leaves(above))}
        assert {path: found[path] for path in untouched} == untouched
        assert laid_over(item(below), item({})) == item(below)


# external networks

EXTERNAL = """
services: {{pihole: {{image: busybox, networks: {{{key}: {{{fixed}}}}}, x-hopcast: {{listens: [53/udp]}}}}}}
networks: {{{key}: {{external: true}}}}
x-hopcast: {{{said} questions: [client -> pihole:53/udp, host -> pihole:53/udp]}}
"""


def external(key: str, fixed: str = "", said: str = "") -> Spec:
    return loads(EXTERNAL.format(key=key, fixed=fixed, said=said and f"networks: {{{key}: {{{said}}}}},"),
                 environment={})


def test_an_external_macvlan_is_one_when_x_hopcast_says_so() -> None:
    spec = external("mv", "ipv4_address: 192.168.99.50", "driver: macvlan, parent: eth0, subnet: 192.168.99.0/24")
    network = spec.networks[0]
    assert (network.name, network.driver, network.options) == ("mv", "macvlan", {"parent": "eth0"})
    assert [answer.outcome for answer in predict(spec).answers] == [Outcome.REACHED, Outcome.TIMEOUT]


def test_an_external_bridge_takes_every_key_of_ipam_in_either_form() -> None:
    short = external("lan", "ipv4_address: 10.9.1.7",
                     "subnet: 10.9.0.0/16, gateway: 10.9.0.9, ip_range: 10.9.1.0/24, internal: true, "
                     "driver_opts: {com.docker.network.bridge.name: br-lan}")
    long = external("lan", "ipv4_address: 10.9.1.7",
                    "ipam: {config: [{subnet: 10.9.0.0/16, gateway: 10.9.0.9, ip_range: 10.9.1.0/24}]}, internal: true,"
                    " driver_opts: {com.docker.network.bridge.name: br-lan}")
    assert short.networks == long.networks
    assert (short.networks[0].gateway, short.networks[0].internal) == ("10.9.0.9", True)


def test_an_external_network_that_nothing_is_said_of_is_assumed_to_be_a_bridge_aloud() -> None:
    spec = external("proxy")
    assert spec.networks[0].driver == "bridge"
    assert any("nothing says what it is: assumed a user-defined bridge" in note for note in spec.notes)


@pytest.mark.parametrize("key", ["macvlan101", "my_mac_vlan", "ipvlan-lan", "vlan20", "swarm-net", "traefik_overlay"])
def test_an_external_network_whose_name_speaks_of_another_driver_is_never_taken_for_a_bridge(key: str) -> None:
    with pytest.raises(SpecError, match=r"its name speaks of .*x-hopcast: \{networks:"):
        external(key)


@pytest.mark.parametrize(
    ("fixed", "said", "why"),
    [
        ("ipv4_address: 10.0.0.7", "", r"where it is external: x-hopcast: \{networks: \{lan: \{subnet: …\}\}\}"),
        ("", "driver: macvlann", "did you mean 'macvlan'"),
        ("", "driver: bridge, parent: eth0", "driver option 'parent' is not one"),
        ("", "subnet: 10.9.0.0/16, ipam: {}", "ipam beside a subnet"),
        ("", "gateway: 10.9.0.1", "without a subnet"),
        ("", "subnett: 10.9.0.0/16", "did you mean 'subnet'"),
        ("", "driver: macvlan, parent: eth0, driver_opts: {parent: eth1}", "given twice"),
    ],
)
def test_what_x_hopcast_says_wrongly_of_an_external_network_is_refused(fixed: str, said: str, why: str) -> None:
    with pytest.raises(SpecError, match=why):
        external("lan", fixed, said)


def test_x_hopcast_says_nothing_of_a_network_that_the_file_makes() -> None:
    with pytest.raises(SpecError, match="this file makes this one"):
        loads("{services: {a: {image: busybox, networks: [n]}}, networks: {n: {}}, "
              "x-hopcast: {networks: {n: {driver: bridge}}}}", environment={})
