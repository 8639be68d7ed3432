"""A container's sysctls: which ones the model obeys, which can't change a packet's fate, and which it refuses.

What the engine refuses (settings that are not a namespace's own, those of the network where the container is on the
host's) is left to it, simulated or real: `sim/dockerd/sysctls.py`.
The names are those of Linux's Documentation/networking/ip-sysctl.rst and nf_conntrack-sysctl.rst.
"""

from __future__ import annotations

import re

from sim.errors import SpecError

OBEYED = re.compile(
    r"net\.ipv4\.(ip_forward|ip_default_ttl|ip_local_port_range|icmp_echo_ignore_(all|broadcasts)|tcp_syn_retries"
    r"|tcp_syn_linear_timeouts|conf\.[^.]+\.(accept_local|arp_announce|arp_filter|arp_ignore|forwarding|route_localnet"
    r"|rp_filter))")
"""Those that `sim/kernel` reads."""
NEUTRAL = {
    "net.ipv4.ip_no_pmtu_disc": ("0",),
    "net.ipv4.tcp_ecn": ("0", "2"),
    "net.ipv4.tcp_mtu_probing": ("0",),
    "net.netfilter.nf_conntrack_tcp_loose": ("1",),
}
"""Others that would matter, but not with these values."""
IDLE = re.compile(
    r"kernel\..*|fs\.mqueue\..*|net\.bridge\..*|net\.core\..*|net\.ipv6\..*|net\.mptcp\..*|net\.unix\..*"
    r"|net\.ipv4\.conf\.default\..*"
    r"|net\.ipv4\.conf\.[^.]+\.(accept_redirects|accept_source_route|arp_accept|arp_notify|bootp_relay|disable_policy"
    r"|disable_xfrm|force_igmp_version|igmpv[23]_unsolicited_report_interval|log_martians|promote_secondaries"
    r"|secure_redirects|send_redirects|shared_media|src_valid_mark|tag)"
    r"|net\.ipv4\.icmp_(ignore_bogus_error_responses|echo_enable_probe)"
    r"|net\.ipv4\.igmp_.*|net\.ipv4\.ipfrag_.*"
    r"|net\.ipv4\.(ip_autobind_reuse|ip_dynaddr|ip_early_demux|ip_local_reserved_ports|ip_nonlocal_bind"
    r"|ip_unprivileged_port_start|ping_group_range|udp_early_demux|udp_rmem_min|udp_wmem_min)"
    r"|net\.ipv4\.tcp_(abort_on_overflow|adv_win_scale|app_win|autocorking|backlog_ack_defer|challenge_ack_limit"
    r"|comp_sack_.*|congestion_control|dsack|early_demux|early_retrans|ecn_fallback|fack|fastopen.*|fin_timeout|frto"
    r"|invalid_ratelimit|keepalive_(intvl|probes|time)|limit_output_bytes|max_reordering|max_syn_backlog|max_tw_buckets"
    r"|min_rtt_wlen|min_tso_segs|moderate_rcvbuf|no_metrics_save|no_ssthresh_metrics_save|notsent_lowat|orphan_retries"
    r"|pacing_.*|plb_.*|recovery|reordering|retrans_collapse|retries[12]|rfc1337|rmem|sack|slow_start_after_idle|stdurg"
    r"|synack_retries|syncookies|thin_linear_timeouts|timestamps|tso_.*|tw_reuse|tw_reuse_delay|window_scaling|wmem"
    r"|workaround_signed_windows)"
    r"|net\.netfilter\.nf_(conntrack_(acct|checksum|events|log_invalid|timestamp|max|buckets|count|expect_max)"
    r"|log\..*|hooks_lwtunnel)")
"""What decides nothing here: buffers, timers longer than a question, IPv6, other programs' rights. `conf.default` is
for devices that are made later, and a container has its own before. How fast TCP is, is another matter."""


def canonical(sysctls: dict[str, str]) -> dict[str, str]:
    """With the names written with dots: `net/ipv4/conf/eth0.1/tag` is `net.ipv4.conf.eth0/1.tag` (sysctl.d(5))."""
    return {_dots(name): value for name, value in sysctls.items()}


def _dots(name: str) -> str:
    first = re.search(r"[./]", name)
    return name.translate(str.maketrans("./", "/.")) if first and first[0] == "/" else name


def check(name: str, value: str) -> None:
    """A sysctl whose part in a packet's fate is known. Raises SpecError."""
    if not name.startswith("net.") or OBEYED.fullmatch(name) or idle(name, value):
        return
    except_for = f" other than {' or '.join(NEUTRAL[name])}" if name in NEUTRAL else ""
    raise SpecError(f"sysctl {name}{except_for} is not modelled, and may decide what becomes of a packet",
                    mend="remove it")


def idle(name: str, value: str) -> bool:
    """Can't it change what becomes of a packet?"""
    return IDLE.fullmatch(name) is not None or value.strip() in NEUTRAL.get(name, ())
