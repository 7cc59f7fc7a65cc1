"""Ports of well known services, for hosts without a services database."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

WELL_KNOWN_SERVICES: Mapping[str, int] = MappingProxyType(
    {
        "bgp": 179,
        "dns": 53,
        "domain": 53,
        "ftp": 21,
        "ftp-data": 20,
        "http": 80,
        "http-alt": 8080,
        "https": 443,
        "imap": 143,
        "imap2": 143,
        "imaps": 993,
        "irc": 6667,
        "ircs": 6697,
        "kerberos": 88,
        "ldap": 389,
        "ldaps": 636,
        "mqtt": 1883,
        "mqtts": 8883,
        "mysql": 3306,
        "nfs": 2049,
        "nntp": 119,
        "ntp": 123,
        "pop3": 110,
        "pop3s": 995,
        "postgresql": 5432,
        "redis": 6379,
        "rsync": 873,
        "rtsp": 554,
        "sip": 5060,
        "sips": 5061,
        "smtp": 25,
        "smtps": 465,
        "snmp": 161,
        "ssh": 22,
        "submission": 587,
        "submissions": 465,
        "svn": 3690,
        "telnet": 23,
        "tftp": 69,
        "whois": 43,
        "xmpp-client": 5222,
        "xmpp-server": 5269,
    }
)
"""Service name to port.

Source: IANA Service Name and Transport Protocol Port Number Registry; ``dns``,
``ircs``, ``mqtts`` and ``smtps`` are what people write.
"""
