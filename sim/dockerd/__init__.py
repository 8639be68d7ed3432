"""What a Docker Engine plumbs: from the spec's networks and containers to kernel objects, rules, ports and names.

Layer by layer, each after the part of moby that it follows: `daemon` (what the API calls), `ipam`, `network`,
`endpoint`, `sandbox`, `resolution`, `portmap`, `dns`; `drivers/` (one file a network driver), `firewall/` (one file an
era of rules), and `profile`, the one table in which engine generations differ. Follows moby v20.10.24.
"""
