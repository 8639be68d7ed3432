"""The form of a Compose file: which keys there are, and what kind of value each takes.

Says what compose-spec's schema (2.9 of compose-go) says, for all keys, those that no packet depends on as well: a file
that Compose refuses is refused here. It is asked after files are merged and before short forms are made long.
"""

from __future__ import annotations

from sim.compose.document import Item
from sim.compose.shapes import (
    FLAG,
    NOTHING,
    NUMBER,
    TEXT,
    WHOLE,
    Shape,
    among,
    anything,
    either,
    listed,
    mapping,
    matching,
    named,
    one,
    within,
)
from sim.errors import did_you_mean

NAMES = "^[a-zA-Z0-9._-]+$"

text, flag, whole = one(TEXT), one(FLAG), one(WHOLE)
flag_or_text, number_or_text = one(FLAG, TEXT, called=FLAG), one(NUMBER, TEXT)
whole_or_text = one(WHOLE, TEXT, called=WHOLE)
texts, set_of_texts = listed(text), listed(text, unique=True)
text_or_texts = either(scalar=text, listing=set_of_texts)
pairs = either(listing=set_of_texts, table=named(one(TEXT, NUMBER, FLAG, NOTHING), names="."))
hosts = either(listing=set_of_texts, table=named(either(scalar=text, listing=texts), names="."))
options = named(number_or_text, names=".", others=True)
command = either(scalar=one(TEXT, NOTHING), listing=texts)


def optional(shape: Shape) -> Shape:
    """The same, or nothing."""

    def check(item: Item) -> None:
        if item.value is not None:
            shape(item)

    return check


def _ulimits(item: Item) -> None:
    of = mapping("an ulimit", {"hard": whole_or_text, "soft": whole_or_text}, required=("soft", "hard"))
    named(either(scalar=whole_or_text, table=of), names="^[a-z]+$", others=True)(item)


devices = listed(mapping("a device", {
    "capabilities": set_of_texts, "count": whole_or_text, "device_ids": set_of_texts, "driver": text,
    "options": pairs}, required=("capabilities",)))
mounted = listed(either(scalar=text, table=mapping("a config or secret of a service", {
    "source": text, "target": text, "uid": text, "gid": text, "mode": number_or_text})))
hook = listed(mapping("a hook", {
    "command": command, "user": text, "privileged": flag_or_text, "working_dir": text, "environment": pairs},
    required=("command",)))
limits = listed(mapping("a limit", {"path": text, "rate": whole_or_text}, extensions=False))
weights = listed(mapping("a weight", {"path": text, "weight": whole_or_text}, extensions=False))
updates = mapping("an update", {
    "parallelism": whole_or_text, "delay": text, "failure_action": text, "monitor": text,
    "max_failure_ratio": number_or_text, "order": among("start-first", "stop-first")})

build = either(scalar=text, table=mapping("build", {
    "context": text, "dockerfile": text, "dockerfile_inline": text, "entitlements": texts, "args": pairs, "ssh": pairs,
    "labels": pairs, "cache_from": texts, "cache_to": texts, "no_cache": flag_or_text, "additional_contexts": pairs,
    "network": text, "provenance": flag_or_text, "sbom": flag_or_text, "pull": flag_or_text, "target": text,
    "shm_size": whole_or_text, "extra_hosts": hosts, "isolation": text, "privileged": flag_or_text,
    "secrets": mounted, "tags": texts, "ulimits": _ulimits, "platforms": texts}))
deploy = optional(mapping("deploy", {
    "mode": text, "endpoint_mode": text, "replicas": whole_or_text, "labels": pairs, "rollback_config": updates,
    "update_config": updates,
    "resources": mapping("resources", {
        "limits": mapping("limits", {"cpus": number_or_text, "memory": text, "pids": whole_or_text}),
        "reservations": mapping("reservations", {
            "cpus": number_or_text, "memory": text, "devices": devices,
            "generic_resources": listed(mapping("a resource", {
                "discrete_resource_spec": mapping("a resource", {"kind": text, "value": number_or_text})}))})}),
    "restart_policy": mapping("restart_policy", {
        "condition": text, "delay": text, "max_attempts": whole_or_text, "window": text}),
    "placement": mapping("placement", {
        "constraints": texts, "preferences": listed(mapping("a preference", {"spread": text})),
        "max_replicas_per_node": whole_or_text})}))
attachment = optional(mapping("the attachment to a network", {
    "aliases": set_of_texts, "interface_name": text, "ipv4_address": text, "ipv6_address": text,
    "link_local_ips": set_of_texts, "mac_address": text, "driver_opts": options, "priority": one(NUMBER),
    "gw_priority": one(NUMBER)}))
dependency = mapping("depends_on", {
    "restart": flag_or_text, "required": flag,
    "condition": among("service_started", "service_healthy", "service_completed_successfully")},
    required=("condition",))
port = either(scalar=number_or_text, table=mapping("a port", {
    "name": text, "mode": text, "host_ip": text, "target": whole_or_text, "published": whole_or_text, "protocol": text,
    "app_protocol": text}))
volume = either(scalar=text, table=mapping("a volume", {
    "type": among("bind", "volume", "tmpfs", "cluster", "npipe", "image"), "source": text, "target": text,
    "read_only": flag_or_text, "consistency": text,
    "bind": mapping("bind", {
        "propagation": text, "create_host_path": flag_or_text,
        "recursive": among("enabled", "disabled", "writable", "readonly"), "selinux": among("z", "Z")}),
    "volume": mapping("volume", {"labels": pairs, "nocopy": flag_or_text, "subpath": text}),
    "tmpfs": mapping("tmpfs", {"size": within(0), "mode": number_or_text}),
    "image": mapping("image", {"subpath": text})}, required=("type",)))

SERVICE: dict[str, Shape] = {
    "annotations": pairs, "attach": flag_or_text, "build": build, "cap_add": set_of_texts, "cap_drop": set_of_texts,
    "blkio_config": mapping("blkio_config", {
        "device_read_bps": limits, "device_read_iops": limits, "device_write_bps": limits, "device_write_iops": limits,
        "weight": whole_or_text, "weight_device": weights}, extensions=False),
    "cgroup": among("host", "private"), "cgroup_parent": text, "command": command, "configs": mounted,
    "container_name": text,
    "cpu_count": within(0), "cpu_percent": within(0, 100), "cpu_shares": number_or_text, "cpu_quota": number_or_text,
    "cpu_period": number_or_text, "cpu_rt_period": number_or_text, "cpu_rt_runtime": number_or_text,
    "cpus": number_or_text, "cpuset": text,
    "credential_spec": mapping("credential_spec", {"config": text, "file": text, "registry": text}),
    "depends_on": either(listing=set_of_texts, table=named(dependency, names=NAMES, what="a service")),
    "deploy": deploy, "develop": optional(mapping("develop", {"watch": listed(mapping("watch", {
        "ignore": text_or_texts, "include": text_or_texts, "path": text, "target": text, "exec": anything,
        "action": among("rebuild", "sync", "restart", "sync+restart", "sync+exec"), "initial_sync": flag},
        required=("path", "action")))})),
    "device_cgroup_rules": set_of_texts,
    "devices": listed(either(scalar=text, table=mapping("a device", {
        "source": text, "target": text, "permissions": text}, required=("source",)))),
    "dns": text_or_texts, "dns_opt": set_of_texts, "dns_search": text_or_texts, "domainname": text,
    "entrypoint": command,
    "env_file": either(scalar=text, listing=listed(either(scalar=text, table=mapping("env_file", {
        "path": text, "format": text, "required": flag_or_text}, required=("path",), extensions=False)))),
    "environment": pairs, "expose": listed(number_or_text, unique=True),
    "extends": either(scalar=text, table=mapping("extends", {"service": text, "file": text}, required=("service",),
                                                 extensions=False)),
    "external_links": set_of_texts, "extra_hosts": hosts,
    "gpus": either(scalar=among("all"), listing=listed(named(anything, names=""))),
    "group_add": listed(number_or_text, unique=True),
    "healthcheck": mapping("healthcheck", {
        "disable": flag_or_text, "interval": text, "retries": number_or_text, "timeout": text, "start_period": text,
        "start_interval": text, "test": either(scalar=text, listing=texts)}),
    "hostname": text, "image": text, "init": flag_or_text, "ipc": text, "isolation": text,
    "label_file": either(scalar=text, listing=texts), "labels": pairs, "links": set_of_texts,
    "logging": mapping("logging", {
        "driver": text, "options": named(one(TEXT, NUMBER, NOTHING), names=".", others=True)}),
    "mac_address": text, "mem_limit": number_or_text, "mem_reservation": whole_or_text,
    "mem_swappiness": whole_or_text, "memswap_limit": number_or_text,
    "models": either(listing=set_of_texts, table=named(optional(mapping("a model of a service", {
        "endpoint_var": text, "model_var": text})), names=NAMES, others=True)),
    "network_mode": text,
    "networks": either(listing=set_of_texts, table=named(attachment, names=NAMES, what="a network")),
    "oom_kill_disable": flag_or_text, "oom_score_adj": within(-1000, 1000), "pid": one(TEXT, NOTHING),
    "pids_limit": number_or_text, "platform": text, "ports": listed(port, unique=True), "post_start": hook,
    "pre_stop": hook, "privileged": flag_or_text, "profiles": set_of_texts,
    "provider": mapping("provider", {"type": text, "options": named(anything, names="")}, required=("type",)),
    "pull_policy": matching("always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])+",
                            "use always, missing or never"),
    "pull_refresh_after": text, "read_only": flag_or_text, "restart": text, "runtime": text, "scale": whole_or_text,
    "secrets": mounted, "security_opt": set_of_texts, "shm_size": number_or_text, "stdin_open": flag_or_text,
    "stop_grace_period": text, "stop_signal": text, "storage_opt": named(anything, names=""), "sysctls": pairs,
    "tmpfs": text_or_texts, "tty": flag_or_text, "ulimits": _ulimits, "use_api_socket": flag, "user": text,
    "userns_mode": text, "uts": text, "volumes": listed(volume, unique=True), "volumes_from": set_of_texts,
    "working_dir": text,
}
SERVICE_MENDS = {"net": "it is called network_mode since Compose 2"}
external = either(scalar=flag_or_text, table=mapping("external", {"name": text}))
NETWORK: dict[str, Shape] = {
    "name": text, "driver": text, "driver_opts": options, "external": external, "internal": flag_or_text,
    "enable_ipv4": flag_or_text, "enable_ipv6": flag_or_text, "attachable": flag_or_text, "labels": pairs,
    "ipam": mapping("ipam", {
        "driver": text, "options": named(text, names="."), "config": listed(mapping("ipam.config", {
            "subnet": text, "ip_range": text, "gateway": text, "aux_addresses": named(text, names=".")}))}),
}
FILED: dict[str, Shape] = {"name": text, "environment": text, "file": text, "labels": pairs, "template_driver": text,
                           "external": either(scalar=flag_or_text, table=anything)}
include = listed(either(scalar=text, table=mapping("include", {
    "path": text_or_texts, "env_file": text_or_texts, "project_directory": text}, extensions=False)))
TOP: dict[str, Shape] = {
    "version": text, "name": text, "include": include,
    "services": named(mapping("a service", SERVICE, mends=SERVICE_MENDS), names=NAMES, what="a service"),
    "networks": named(optional(mapping("a network", NETWORK)), names=NAMES, others=True),
    "volumes": named(optional(mapping("a volume", {
        "name": text, "driver": text, "driver_opts": options, "external": external, "labels": pairs})),
        names=NAMES, what="a volume"),
    "secrets": named(mapping("a secret", {**FILED, "driver": text, "driver_opts": options}), names=NAMES,
                     what="a secret"),
    "configs": named(mapping("a config", {**FILED, "content": text}), names=NAMES, what="a config"),
    "models": named(mapping("a model", {
        "name": text, "model": text, "context_size": whole, "runtime_flags": texts}, required=("model",)),
        names=NAMES, others=True),
}


def validate(root: Item) -> None:
    """Raises SpecError at the first thing that has no place in a Compose file, or another form."""
    for key, item in root.mapping().items():
        shape = TOP.get(key)
        if shape is not None:
            shape(item)
        elif not key.startswith("x-"):
            item.fail(f"unknown key {key!r}", did_you_mean(key, {*TOP, "x-hopcast"}))
