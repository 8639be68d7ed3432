"""What dockerd writes with iptables: one file an era of rules, and the interface that the drivers program against."""
