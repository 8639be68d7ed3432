"""Names, references and addresses that an engine takes or refuses: what the goldens of refusals have no case for."""

from __future__ import annotations

import pytest

from sim.dockerd import refusals
from sim.errors import PlumbError, SpecError
from tests.sim.dockerd.engines import engine, network, on, port


@pytest.mark.parametrize("image", [
    "nginx", "nginx:1.25-alpine", "library/nginx", "ghcr.io/a/b_c--d:Tag_1", "localhost/x", "localhost:5000/x/y:z",
    "REG.example.com:443/a", "a@sha256:" + "0" * 64, "my-reg:5000/app:v1@sha256:" + "a" * 64, "hopcast/responder",
])
def test_an_image_that_docker_can_read_is_taken(image: str) -> None:
    refusals.check_image(image)


@pytest.mark.parametrize(
    "image", ["a b", "a//b", "nginx:é", "nginx:" + "x" * 129, "-a", "a/", ":latest", "a:b:c", "a@sha256:0"])
def test_an_image_that_docker_can_not_read_is_no_reference(image: str) -> None:
    with pytest.raises(PlumbError, match=r"^invalid reference format$"):
        refusals.check_image(image)


@pytest.mark.parametrize("image", ["UPPER", "Library/nginx", "ghcr.io/Owner/app"])
def test_a_repository_is_in_lower_case(image: str) -> None:
    with pytest.raises(PlumbError, match="repository name must be lowercase"):
        refusals.check_image(image)


@pytest.mark.parametrize("subnet", ["240.0.0.0/8", "127.0.0.0/8", "255.255.255.0/24", "169.254.0.0/16", "8.8.8.0/24"])
def test_a_subnet_to_whose_gateway_the_kernel_has_a_route_is_taken(subnet: str) -> None:
    daemon = engine()
    daemon.network_create(network("app", subnet=subnet))
    daemon.container_run(on("app", name="one"))


def test_an_internal_network_of_groups_has_no_gateway_to_be_reached() -> None:
    daemon = engine()
    daemon.network_create(network("app", subnet="10.7.0.0/24"))
    daemon.network_create(network("odd", subnet="224.1.0.0/16"))
    daemon.container_run(on("app", "odd", name="one"))  # eth0's gateway is that of app


@pytest.mark.parametrize("length", [63, 64])
def test_a_hostname_of_64_bytes_is_taken(length: int) -> None:
    engine().container_run(on(name="one", hostname="a" * length))


@pytest.mark.parametrize("address", ["224.0.0.1", "255.255.255.255", "192.168.99.255", "172.17.255.255", "127.1.2.3"])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_port_can_be_published_at_a_groups_or_a_broadcast_address(address: str, protocol: str) -> None:
    engine().container_run(on(name="one", ports=[port(80, 8080, host_ip=address, protocol=protocol)]))


@pytest.mark.parametrize("address", ["192.168.99.0", "240.0.0.1", "0.0.0.1", "192.168.99.102"])
def test_a_port_can_not_be_published_where_nobody_is(address: str) -> None:
    with pytest.raises(PlumbError, match="cannot assign requested address"):
        engine().container_run(on(name="one", ports=[port(80, 8080, host_ip=address)]))


@pytest.mark.parametrize("name", ["br.1", "br-é", "-x", "br#1", "1", "x" * 15, "br$x", "br;x"])
def test_a_bridge_takes_any_name_that_the_kernel_takes(name: str) -> None:
    engine().network_create(network("app", options={"com.docker.network.bridge.name": name}))


@pytest.mark.parametrize("name", ['br"q', "br'q", "br\\q", "br+", "!x", "br@x", "br(x)"])
def test_a_bridges_name_that_iptables_could_misread_is_refused_by_name(name: str) -> None:
    with pytest.raises(SpecError, match="not modelled"):
        network("app", options={"com.docker.network.bridge.name": name})


def test_no_interface_has_the_address_of_nobody() -> None:
    with pytest.raises(SpecError, match="no interface can have it"):
        on(name="one", mac_address="00:00:00:00:00:00")


def test_a_bridges_name_with_a_number_to_come_is_looked_for_in_vain() -> None:
    with pytest.raises(PlumbError, match=r"failed to add IPv4 address 172\.18\.0\.1/16 to bridge: no such device"):
        engine().network_create(network("app", options={"com.docker.network.bridge.name": "br%d"}))


@pytest.mark.parametrize("subnet", ["10.0.0.0/1", "10.0.0.0/4"])
def test_a_subnet_that_begins_at_0_0_0_0_has_no_route(subnet: str) -> None:
    daemon = engine()
    daemon.network_create(network("app", subnet=subnet))
    with pytest.raises(PlumbError, match=r"route for the gateway 0\.0\.0\.1 could not be found: network is"):
        daemon.container_run(on("app", name="one"))
