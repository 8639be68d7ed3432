"""Which keys of the Compose specification matter to a packet, which don't, and which the model refuses.

Which keys there are at all, and what they look like, is `schema`'s.
"""

from __future__ import annotations

IGNORED_TOP = {"volumes", "configs", "secrets", "models"}

READ_SERVICE = {
    "container_name", "depends_on", "deploy", "dns", "dns_opt", "dns_search", "domainname", "expose", "external_links",
    "extra_hosts", "hostname", "image", "links", "mac_address", "network_mode", "networks", "ports", "profiles",
    "restart", "scale", "sysctls",
}
IGNORED_SERVICE = {
    "annotations", "attach", "blkio_config", "build", "cap_add", "cap_drop", "cgroup", "cgroup_parent", "command",
    "configs", "cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime",
    "cpu_shares", "cpus", "cpuset", "credential_spec", "develop", "device_cgroup_rules", "devices",
    "entrypoint", "env_file", "environment", "gpus", "group_add", "healthcheck", "init", "ipc", "isolation",
    "label_file", "labels", "logging", "mem_limit", "mem_reservation", "mem_swappiness", "memswap_limit",
    "models", "oom_kill_disable", "oom_score_adj", "pid", "pids_limit", "platform", "post_start", "pre_stop",
    "privileged", "pull_policy", "read_only", "runtime", "secrets", "security_opt", "shm_size",
    "stdin_open", "stop_grace_period", "stop_signal", "storage_opt", "tmpfs", "tty", "ulimits", "use_api_socket",
    "user", "userns_mode", "uts", "volume_driver", "volumes", "volumes_from", "working_dir",
}
REFUSED_SERVICE = {
    "provider": "declare a service that is a container",
}

READ_NETWORK = {
    "attachable", "driver", "driver_opts", "enable_ipv4", "enable_ipv6", "external", "internal", "ipam", "name",
}
IGNORED_NETWORK = {"labels"}
READ_ATTACHMENT = {"aliases", "gw_priority", "ipv4_address", "mac_address", "priority"}
REFUSED_ATTACHMENT = {
    "driver_opts": "Hopcast has no driver options for a single endpoint; remove it",
    "interface_name": "it needs a newer engine than the model's; remove it",
    "ipv6_address": "Hopcast models IPv4 only; remove it",
    "link_local_ips": "Hopcast does not model link-local addresses; remove it",
}

DEPLOY = {
    "endpoint_mode", "labels", "mode", "placement", "replicas", "resources", "restart_policy", "rollback_config",
    "update_config",
}
"""Of these only `replicas` counts for Compose; the rest is for a stack (`stack.py`), or for nobody here."""
EXTENSION = {"listens", "host", "stack"}
"""Keys of a service's own x-hopcast."""

KNOWN_IMAGES: dict[str, tuple[str, ...]] = {
    "adminer": ("8080",), "caddy": ("80", "443", "443/udp"), "cassandra": ("9042",), "elasticsearch": ("9200",
    "9300"), "ghost": ("2368",), "grafana/grafana": ("3000",), "httpd": ("80",), "influxdb": ("8086",),
    "jenkins/jenkins": ("8080",), "mariadb": ("3306",), "memcached": ("11211",), "mongo": ("27017",), "mysql":
    ("3306",), "nats": ("4222", "8222"), "neo4j": ("7474", "7687"), "nginx": ("80",), "postgis/postgis":
    ("5432",), "postgres": ("5432",), "prom/prometheus": ("9090",), "rabbitmq": ("5672",), "redis": ("6379",),
    "registry": ("5000",), "traefik": ("80",), "traefik/whoami": ("80",), "valkey/valkey": ("6379",), "wordpress":
    ("80",),
}
"""What well-known images listen on: an image says so with EXPOSE, and no image is pulled to be read."""


def ports_of_image(image: str) -> tuple[str, ...]:
    """Where a well-known image listens: `docker.io/library/redis:7-alpine` is `redis`. Empty for others."""
    name = image.partition("@")[0]
    path, slash, last = name.rpartition("/")
    name = f"{path}{slash}{last.partition(':')[0]}"
    return KNOWN_IMAGES.get(name.removeprefix("docker.io/").removeprefix("library/"), ())
