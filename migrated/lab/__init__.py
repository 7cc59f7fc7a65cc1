"""Hosts, links and routers made of network namespaces."""
