"""From `docker network inspect` and `docker service inspect`, as an engine 20.10.24 answered, to comparable lines."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from docker.errors import APIError, DockerException

from live.deployment import Deployment
from live.inspect import inspect
from live.names import Names
from sim.errors import LabError
from sim.spec import Host, Spec

ALPHA = {
    "Name": "alpha", "Id": "n1", "Scope": "swarm", "Driver": "overlay", "Internal": False, "Attachable": True,
    "Ingress": False, "Labels": {},
    "IPAM": {"Driver": "default", "Options": None, "Config": [{"Subnet": "10.0.1.0/24", "Gateway": "10.0.1.1"}]},
    "Options": {"com.docker.network.driver.overlay.vxlanid_list": "4097"},
    "Containers": {
        "5856fd52fa91": {"Name": "demo-red-1", "MacAddress": "02:42:0a:00:01:02", "IPv4Address": "10.0.1.2/24"},
        "lb-alpha": {"Name": "alpha-endpoint", "MacAddress": "02:42:0a:00:01:03", "IPv4Address": "10.0.1.3/24"}},
    "Peers": [{"Name": "5eb26ce63b60", "IP": "192.168.99.101"}],
}
GWBRIDGE = {
    "Name": "docker_gwbridge", "Id": "n2", "Scope": "local", "Driver": "bridge", "Internal": False,
    "Attachable": False, "Ingress": False, "Options": None,
    "IPAM": {"Config": [{"Subnet": "10.9.0.0/16", "IPRange": "10.9.4.0/24",
                         "AuxiliaryAddresses": {"aux1": "10.9.4.2", "aux0": "10.9.4.1"}}]},
    "Containers": {
        "5856fd52fa91": {"Name": "gateway_f8edfd24fe1f", "MacAddress": "02:42:AC:12:00:03",
                         "IPv4Address": "172.18.0.3/16"},
        "ingress-sbox": {"Name": "gateway_ingress-sbox", "MacAddress": "7a:00:00:00:00:01",
                         "IPv4Address": "172.18.0.2/16"}},
}
HOST = {
    "Name": "host", "Id": "n3", "Scope": "local", "Driver": "host", "IPAM": {"Config": []}, "Options": {},
    "Containers": {"77": {"Name": "lone", "MacAddress": "", "IPv4Address": ""}},
}
UNALLOCATED = {"Name": "two", "Id": "n4", "Scope": "swarm", "Driver": "", "IPAM": {"Config": None}, "Options": None,
               "Containers": None}
SERVICE = {
    "ID": "s1", "Spec": {"Name": "web", "Mode": {"Replicated": {"Replicas": 3}}},
    "Endpoint": {
        "Spec": {"Mode": "vip"},
        "Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8088, "PublishMode": "ingress"},
                  {"Protocol": "udp", "TargetPort": 53, "PublishMode": "host"}],
        "VirtualIPs": [{"NetworkID": "n1", "Addr": "10.0.1.5/24"}]},
}
GLOBAL = {"ID": "s2", "Spec": {"Name": "all", "Mode": {"Global": {}}, "EndpointSpec": {"Mode": "dnsrr"}},
          "Endpoint": {"Spec": {}}}


class Api:
    """An engine that has these objects."""

    def __init__(self, networks: list[dict[str, Any]], services: list[dict[str, Any]] | None) -> None:
        self.known = {network["Id"]: network for network in networks}
        self.listed = services

    def networks(self) -> list[dict[str, Any]]:
        return [{"Id": ident} for ident in self.known]

    def inspect_network(self, ident: str) -> dict[str, Any]:
        return self.known[ident]

    def services(self) -> list[dict[str, Any]]:
        if self.listed is None:
            raise APIError("refused", response=SimpleNamespace(status_code=503))
        return self.listed

    def inspect_service(self, ident: str) -> dict[str, Any]:
        return next(service for service in self.listed or () if service["ID"] == ident)


def said(*networks: dict[str, Any], services: list[dict[str, Any]] | None = None) -> list[str]:
    client = SimpleNamespace(api=Api(list(networks), services))
    spec = SimpleNamespace(hosts=Spec(hosts=(Host(name="h1"),)).hosts, services=("web",))
    deployment = SimpleNamespace(spec=spec, containers={"red1": "5856fd52fa91", "lone": "77"},
                                 machines=SimpleNamespace(engine=lambda host: client))
    names = Names(macs={"7a:00:00:00:00:01": "mac(h1:x)"})
    return inspect(cast(Deployment, deployment), names)["h1"]


def test_a_swarm_network_is_told_with_its_endpoints_and_peers_and_containers_by_their_labels() -> None:
    assert said(ALPHA) == [
        "network alpha: overlay swarm 10.0.1.0/24 gateway 10.0.1.1 attachable",
        "network alpha: option com.docker.network.driver.overlay.vxlanid_list=4097",
        "network alpha: container red1 10.0.1.2/24 02:42:0a:00:01:02",
        "network alpha: container alpha-endpoint 10.0.1.3/24 02:42:0a:00:01:03",
        "network alpha: peer 192.168.99.101"]


def test_gateway_endpoints_that_the_engine_names_by_an_id_are_called_by_the_containers_label() -> None:
    assert said(GWBRIDGE) == [
        "network docker_gwbridge: bridge local 10.9.0.0/16 range 10.9.4.0/24 aux 10.9.4.1,10.9.4.2",
        "network docker_gwbridge: container gateway_red1 172.18.0.3/16 02:42:ac:12:00:03",
        "network docker_gwbridge: container gateway_ingress-sbox 172.18.0.2/16 mac(h1:x)"]


def test_networks_without_addresses_have_none_to_tell() -> None:
    assert said(HOST) == ["network host: host local", "network host: container lone"]
    assert said(UNALLOCATED) == ["network two: swarm"]


def test_a_manager_tells_of_services_and_a_worker_does_not() -> None:
    assert said(ALPHA, services=[SERVICE, GLOBAL])[5:] == [
        "service web: replicated 3", "service web: endpoint vip", "service web: port tcp 8088 -> 80 ingress",
        "service web: port udp 0 -> 53 host", "service web: vip alpha 10.0.1.5/24",
        "service all: global", "service all: endpoint dnsrr"]
    assert len(said(ALPHA, services=None)) == 5


def test_an_engine_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: Api) -> None:
        raise DockerException("connection refused")

    monkeypatch.setattr(Api, "networks", gone)
    with pytest.raises(LabError, match="h1"):
        said(ALPHA)
