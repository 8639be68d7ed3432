"""The world around the hosts on a real engine: firewalls, routers with and without NAT, a remote LAN, the internet."""

from __future__ import annotations

from sim import compose
from tests.experiments.test_verify_live import agreed, pytestmark

__all__ = ["pytestmark"]

FILE = """
name: around
services:
  web: {image: nginx, ports: ["443:443"], x-hopcast: {listens: [443]}}
  app: {image: busybox}
  agent: {image: nginx, network_mode: host, x-hopcast: {listens: [9100, 9200]}}
networks: {default: {ipam: {config: [{subnet: 172.18.0.0/16}]}}}
x-hopcast:
  hosts:
    host:
      routes: ["172.30.5.0/24 via vpngw", "172.18.5.0/24 via vpngw"]
      firewall:
        - -P INPUT DROP
        - -A INPUT -i lo -j ACCEPT
        - -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
        - -A INPUT -p tcp -m multiport --dports 9100,9300 -m comment --comment "the agent" -j ACCEPT
        - -A INPUT -p tcp --dport 9200 -j REJECT --reject-with tcp-reset
        - -I DOCKER-USER -i eth0 -s 192.168.99.201 -j DROP
  clients:
    router: {address: 192.168.99.1/24, beyond: 203.0.113.7/24, nat: true, hairpin: %s, forwards: ["8443 -> host:443"]}
    vpngw: {address: 192.168.99.2/24, beyond: 172.30.5.1/24}
    nas: {behind: vpngw, address: 172.30.5.20/24, listens: [443, 53/udp]}
    friend: {address: 192.168.99.200/24, firewall: "-A OUTPUT -p tcp --dport 9100 -j REJECT"}
    foe: {address: 192.168.99.201/24}
  internet: true
  names: {example.org: 93.184.216.34, nas.lan: nas}
  questions:
    - friend -> web:443
    - foe -> web:443
    - friend -> host:9100
    - foe -> host:9100
    - foe -> host:9200
    - foe -> host:9300
    - foe -> host
    - app -> 203.0.113.7:8443
    - internet -> router:8443
    - internet -> web:443
    - app -> 1.1.1.1:443
    - app -> 8.8.8.8:53/udp
    - app -> 1.1.1.1:22
    - app -> 10.1.2.3:443 timeout 0.5
    - app -> example.org:443 by name
    - agent -> example.org ping by name
    - app -> nas:443
    - app -> nas.lan:53/udp by name
    - nas -> host
    - app -> 172.18.5.20:443 timeout 0.5
    - host -> 172.18.5.20:443 timeout 0.5
"""


def test_firewalls_routers_a_remote_lan_and_the_internet_behave_as_predicted() -> None:
    result = agreed(compose.loads(FILE % "true", environment={}))
    found = {str(question): answer.outcome.value
             for question, answer in zip(result.spec.questions, result.prediction.answers, strict=True)}
    assert len(found) == 21 and {"reached", "refused", "timeout"} == set(found.values())
    assert result.seconds["all"] < 60, result.seconds


def test_a_router_without_hairpin_refuses_ones_own_public_address() -> None:
    spec = compose.loads(FILE % "false", environment={})
    asked = [question for question in spec.questions if question.target == "203.0.113.7"]
    result = agreed(spec.model_copy(update={"questions": tuple(asked)}))
    assert [answer.outcome.value for answer in result.prediction.answers] == ["refused"]
