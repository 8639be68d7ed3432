"""Takes the goldens anew from a real Docker Engine (`make goldens`; needs root, dockerd 20.10, busybox-static).

Each `rules-20.10/NAME.yaml` is a topology in the spec's own words. A throw-away engine (engine.py) gets it deployed as
Compose does (create on the first network, connect the others, start); what then stands in every namespace is written to
`NAME.json` beside it, with canonical names (sim/spec.py). `refusals.yaml` has topologies that dockerd refuses; the
answers go to `refusals.json`. Tests compare the model with the JSON files and never start an engine.

    .venv/bin/python tests/goldens/regenerate.py [NAME ...]
"""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import docker
import yaml

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from engine import IMAGE, Engine  # noqa: E402

from sim import spec  # noqa: E402

GOLDENS = HERE / "rules-20.10"
HOST = "host"
ENVIRONMENT = ("eth0", "wire")
"""The host's devices that are the harness's own, not dockerd's."""

Json = dict[str, Any]


def flags_of(engine: spec.Engine) -> list[str]:
    """dockerd's command line for a spec.Engine."""
    given: list[str] = []
    for flag, value in (
        ("userland-proxy", engine.userland_proxy), ("iptables", engine.iptables), ("ip-forward", engine.ip_forward),
        ("ip-masq", engine.ip_masq), ("icc", engine.icc),
    ):
        if not value:
            given.append(f"--{flag}=false")
    if engine.bip:
        given.append(f"--bip={engine.bip}")
    if engine.mtu != 1500:
        given.append(f"--mtu={engine.mtu}")
    return given + [f"--default-address-pool=base={base},size={size}" for base, size in engine.default_address_pools]


class Deployment:
    """Networks and containers of one topology on one engine, and what was seen there."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.api = engine, engine.client.api
        self.ids: dict[str, str] = {"bridge": ""}
        self.warnings: list[str] = []

    def network_create(self, network: spec.Network) -> None:
        body: Json = {
            "Name": network.name, "CheckDuplicate": True, "Driver": network.driver, "Internal": network.internal,
            "Options": network.options,
        }
        if network.subnet or network.gateway or network.ip_range or network.aux_addresses:
            pool: Json = {"Subnet": network.subnet, "Gateway": network.gateway, "IPRange": network.ip_range}
            pool = {key: value for key, value in pool.items() if value}
            pool["AuxiliaryAddresses"] = {f"aux{i}": a for i, a in enumerate(network.aux_addresses)}
            body["IPAM"] = {"Driver": "default", "Config": [pool]}
        self.ids[network.name] = self.post("/networks/create", body)["Id"]

    def container_run(self, box: spec.Container) -> None:
        attachments = box.attachments
        mode = attachments[0].network if box.mode == "networks" else box.mode
        bindings: dict[str, list[dict[str, str]]] = {}
        for port in box.ports:
            host_ip = "" if port.host_ip == "0.0.0.0" else port.host_ip
            bindings.setdefault(f"{port.container_port}/{port.protocol}", []).append(
                {"HostIp": host_ip, "HostPort": str(port.host_port or "")})
        exposed: Json = {key: {} for key in bindings} | {f"{e.port}/{e.protocol}": {} for e in box.expose}
        body: Json = {
            "Image": IMAGE, "Cmd": ["sleep", "9999"], "Hostname": box.hostname, "ExposedPorts": exposed,
            "MacAddress": box.mac_address,
            "HostConfig": {
                "NetworkMode": mode, "PortBindings": bindings, "Dns": box.dns, "DnsSearch": box.dns_search,
                "DnsOptions": box.dns_opt, "ExtraHosts": box.extra_hosts, "Sysctls": box.sysctls,
            },
        }
        if attachments:
            body["NetworkingConfig"] = {"EndpointsConfig": {mode: self.endpoint(attachments[0], box)}}
        answer = self.post(f"/containers/create?name={box.name.replace(' ', '%20')}", body)
        self.warnings += answer["Warnings"] or []
        for attachment in attachments[1:]:
            self.post(f"/networks/{attachment.network}/connect",
                      {"Container": answer["Id"], "EndpointConfig": self.endpoint(attachment, box)})
        self.post(f"/containers/{answer['Id']}/start", {})

    @staticmethod
    def endpoint(attachment: spec.Attachment, box: spec.Container) -> Json:
        aliases = [*attachment.aliases, *([box.service] if box.service else [])]
        ipam = {"IPv4Address": attachment.ipv4_address} if attachment.ipv4_address else None
        return {"Aliases": aliases or None, "IPAMConfig": ipam, "MacAddress": attachment.mac_address}

    def post(self, path: str, body: Json) -> Json:
        response = self.api._post_json(self.api._url("{0}", "").rstrip("/") + path, data=body)
        self.api._raise_for_status(response)
        return dict(response.json()) if response.content else {}

    # what was seen

    def seen(self, boxes: list[spec.Container]) -> Json:
        names = {f"br-{ident[:12]}": f"br({name})" for name, ident in self.ids.items()}
        links = {HOST: json.loads(self.engine.inside("ip", "-d", "-j", "addr"))}
        pids, hosts, resolv = {}, {}, {}
        states = {box.name: self.api.inspect_container(box.name) for box in boxes}
        idents = {state["Id"][:12]: f"id({name})" for name, state in states.items()}
        for box in boxes:
            state = states[box.name]
            pid = pids[box.name] = state["State"]["Pid"]
            hosts[box.name] = self.read(box, "/etc/hosts", idents)
            resolv[box.name] = self.read(box, "/etc/resolv.conf", idents)
            if box.mode == "host" or box.mode.startswith("container:"):
                continue
            links[box.name] = json.loads(self.engine.inside("ip", "-d", "-j", "addr", pid=pid))
            host_end = {link["ifindex"]: link["ifname"] for link in links[HOST]}
            for link in links[box.name]:
                if link.get("linkinfo", {}).get("info_kind") != "veth":
                    continue
                network = next(net for net, seen in state["NetworkSettings"]["Networks"].items()
                               if link["addr_info"] and seen["IPAddress"] == link["addr_info"][0]["local"])
                names[host_end[link["link_index"]]] = f"veth({box.name}@{network})"
        table: Json = {"warnings": self.warnings, "namespaces": {}}
        for label, devices in links.items():
            pid = pids.get(label)
            table["namespaces"][label] = {
                "interfaces": interfaces(label, devices, names),
                "routes": sorted(routes(self.engine.inside("ip", "-j", "route", pid=pid), names)),
                "rules": rules(self.engine.inside("iptables-save", pid=pid), names, inside=pid is not None),
                "sysctls": self.sysctls(label, devices, names, pid),
            }
        table["namespaces"][HOST]["listeners"] = listeners(
            self.engine.inside("cat", "/proc/net/tcp"), self.engine.inside("cat", "/proc/net/udp"))
        table["resolution"] = {name: {"resolv.conf": resolv[name], "hosts": hosts[name]} for name in hosts}
        return table

    def read(self, box: spec.Container, path: str, idents: dict[str, str]) -> list[str]:
        created = self.api.exec_create(box.name, ["cat", path])
        text = self.api.exec_start(created["Id"]).decode()
        for ident, name in idents.items():
            text = text.replace(ident, name)
        return [" ".join(line.split()) for line in text.splitlines() if line.strip() and "ip6" not in line]

    def sysctls(self, label: str, devices: list[Json], names: dict[str, str], pid: int | None) -> dict[str, str]:
        keys = ["net.ipv4.ip_forward"]
        if label == HOST:
            keys += [f"net/ipv4/conf/{link['ifname']}/route_localnet" for link in devices
                     if link.get("linkinfo", {}).get("info_kind") == "bridge"]
        seen = {}
        for key in keys:
            path = "/proc/sys/" + (key if "/" in key else key.replace(".", "/"))
            value = self.engine.inside("cat", path, pid=pid).strip()
            seen[canonical(key.replace("/", "."), names)] = value
        return seen


def canonical(text: str, names: dict[str, str]) -> str:
    return re.sub(r"\b(br-[0-9a-f]{12}|veth[0-9a-f]{7})\b", lambda m: names.get(m[0], m[0]), text)


def interfaces(label: str, devices: list[Json], names: dict[str, str]) -> Json:
    seen = {}
    for link in devices:
        if label == HOST and link["ifname"] in ENVIRONMENT:
            continue
        name = names.get(link["ifname"], link["ifname"])
        master = link.get("master", "")
        info = link.get("linkinfo", {})
        random = label == HOST and name != "lo"
        seen[name] = {
            "mac": f"mac({label}:{name})" if random else link["address"], "mtu": link["mtu"],
            "master": names.get(master, master), "up": "UP" in link["flags"],
            "addresses": [f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["family"] == "inet"],
            "hairpin": bool(info.get("info_slave_data", {}).get("hairpin")),
        }
    return seen


def routes(text: str, names: dict[str, str]) -> list[list[str]]:
    return [
        [r["dst"], canonical(r["dev"], names), r.get("gateway", ""), r.get("prefsrc", "")] for r in json.loads(text)
    ]


def rules(text: str, names: dict[str, str], *, inside: bool) -> dict[str, list[str]]:
    """iptables-save without comments and counters. The DNS's random ports inside a container become UDP and TCP."""
    tables: dict[str, list[str]] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
            tables[table] = []
        elif line[0] in ":-":
            line = canonical(re.sub(r" \[\d+:\d+\]$", "", line), names)
            if inside:
                symbol = "UDP" if "-p udp" in line else "TCP"
                line = re.sub(r"(--to-destination 127\.0\.0\.11:|--sport )\d+", rf"\g<1>{symbol}", line)
            tables[table].append(line)
    return tables


def listeners(tcp: str, udp: str) -> list[list[Any]]:
    """What listens in the host's namespace: (protocol, address, port)."""
    seen = []
    for protocol, text, state in (("tcp", tcp, "0A"), ("udp", udp, "07")):
        for line in text.splitlines()[1:]:
            fields = line.split()
            if fields[3] == state:
                address, port = fields[1].split(":")
                octets = reversed(bytes.fromhex(address))
                seen.append([protocol, ".".join(map(str, octets)), int(port, 16)])
    return sorted(seen)


def load(path: Path) -> tuple[spec.Host, list[spec.Network], list[spec.Container], list[str]]:
    given = yaml.safe_load(path.read_text())
    return (
        spec.Host(**given.get("host", {})),
        [spec.Network(**n) for n in given.get("networks", [])],
        [spec.Container(**c) for c in given.get("containers", [])],
        given.get("resolv_conf", ["nameserver 192.168.99.53"]),
    )


def take(path: Path) -> None:
    host, networks, boxes, resolv_conf = load(path)
    with Engine(flags_of(host.engine), addresses=[host.address], resolv_conf="\n".join(resolv_conf) + "\n") as engine:
        deployment = Deployment(engine)
        for network in networks:
            deployment.network_create(network)
        for box in boxes:
            deployment.container_run(box)
        golden = deployment.seen(boxes)
        golden["engine"] = engine.client.version()["Version"]
    path.with_suffix(".json").write_text(dump(golden))


def unchecked(model: Any, given: Json) -> Any:
    """A spec object without the spec's checks: what is refused here shall be refused by the engine."""
    parts = {"attachments": spec.Attachment, "ports": spec.PublishedPort, "expose": spec.Listener}
    return model.model_construct(**{
        key: tuple(unchecked(parts[key], part) for part in value) if key in parts else value
        for key, value in given.items()})


def dump(golden: Json) -> str:
    """One line for each leaf list or short table, so that a diff of two goldens reads well."""
    text = json.dumps(golden, indent=1, sort_keys=True)
    return re.sub(r"\[\s+((?:\"[^\"]*\"|\d+)(?:,\s+(?:\"[^\"]*\"|\d+)){0,3})\s+\]",
                  lambda m: "[" + re.sub(r",\s+", ", ", m[1]) + "]", text) + "\n"


def with_ids_hidden(text: str) -> str:
    """Ids, the names that are drawn from them, and times become `…`."""
    text = re.sub(r"\b[0-9a-f]{64}\b", "…", text)
    text = re.sub(r'time="[^"]*"', 'time="…"', text)
    return re.sub(r"\b(d[im]-|veth)[0-9a-f]{7,12}\b", r"\1…", text)


def take_refusals(path: Path) -> None:
    answers = {}
    cases: Json = yaml.safe_load(path.read_text())
    with Engine([], addresses=[spec.Host().address], resolv_conf="nameserver 192.168.99.53\n") as engine:
        for name, case in cases.items():
            deployment = Deployment(engine)
            answers[name] = ""
            try:
                for network in case.get("networks", []):
                    deployment.network_create(unchecked(spec.Network, network))
                for box in case.get("containers", []):
                    deployment.container_run(unchecked(spec.Container, box))
            except docker.errors.APIError as refused:
                answers[name] = with_ids_hidden(refused.explanation)
            for box in engine.client.containers.list(all=True):
                box.remove(force=True)
            engine.client.networks.prune()
    path.with_suffix(".json").write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n")


def main(wanted: list[str]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the engine is stopped as after an error
    for path in sorted(GOLDENS.glob("*.yaml")):
        if wanted and path.stem not in wanted:
            continue
        print(path.stem, flush=True)
        (take_refusals if path.stem == "refusals" else take)(path)


if __name__ == "__main__":
    main(sys.argv[1:])
