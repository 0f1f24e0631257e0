"""What acts on the nodes of a lab on this very machine, whoever made them: departments, services, probes, the switch.

A node is a process whose namespaces are its own. The backends that make such nodes (`namespace`, `docker`) share this room and
never import each other.
"""
