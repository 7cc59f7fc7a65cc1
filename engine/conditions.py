"""The conditions of an `on`, compiled to tests on one connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, assert_never

from engine.attachment import AddressNumber, address_number
from engine.patterns import glob
from engine.session import Connection
from policylang.ast import Condition, Glob, Name, NumberRange, Prefix, SetReference, Value
from policylang.values import host_name


class Traits(NamedTuple):
    """What conditions ask about one connection, in the form in which they compare it."""

    proto: str
    local: AddressNumber
    local_port: int
    remote: AddressNumber
    remote_port: int
    user: str | None
    app: str | None
    role: str
    hosts: tuple[str, ...]
    session: str


Subject = int | str | AddressNumber
Test = Callable[[Traits], bool]


def traits_of(connection: Connection, session: str) -> Traits:
    """Return the traits of a connection of the session of that name.

    Raises:
        ValueError: an address is not one.
    """
    hosts = connection.remote_hosts
    return Traits(  # by position: by name it takes half as long again
        connection.proto.lower(),
        address_number(connection.local_address),
        connection.local_port,
        address_number(connection.remote_address),
        connection.remote_port,
        connection.user,
        connection.app,
        connection.role,
        tuple(map(host_name, hosts)) if hosts else (),
        session,
    )


def _app_names(traits: Traits) -> tuple[str, ...]:
    """A program goes by its path and by the last part of it."""
    return () if traits.app is None else (traits.app, traits.app.rpartition("/")[2])


# One entry per key of an `on`: what of a connection the values are compared with.
# An empty answer means that nobody knows.
SUBJECTS: dict[str, Callable[[Traits], tuple[Subject, ...]]] = {
    "proto": lambda traits: (traits.proto,),
    "port": lambda traits: (traits.remote_port,),
    "l-port": lambda traits: (traits.local_port,),
    "any-port": lambda traits: (traits.remote_port, traits.local_port),
    "remote-ip": lambda traits: (traits.remote,),
    "local-ip": lambda traits: (traits.local,),
    "user": lambda traits: () if traits.user is None else (traits.user,),
    "app": _app_names,
    "role": lambda traits: (traits.role,),
    "remote-host": lambda traits: traits.hosts,
    "session": lambda traits: (traits.session,),
}


# One entry per key of an `on`: the traits that it asks about.
FIELDS: dict[str, tuple[str, ...]] = {
    "proto": ("proto",),
    "port": ("remote_port",),
    "l-port": ("local_port",),
    "any-port": ("remote_port", "local_port"),
    "remote-ip": ("remote",),
    "local-ip": ("local",),
    "user": ("user",),
    "app": ("app",),
    "role": ("role",),
    "remote-host": ("hosts",),
    "session": ("session",),
}


def compile_condition(condition: Condition) -> Test:
    """Return the test for one ``KEY VALUES`` pair.

    What is not known makes a condition false, negated or not: unknown is not bad.
    """
    read = SUBJECTS[condition.key]
    matchers = tuple(_compile_value(condition.key, value) for value in condition.values)
    wanted = not condition.negated

    def test(traits: Traits) -> bool:
        subjects = read(traits)
        for subject in subjects:
            for match in matchers:
                if match(subject):
                    return wanted
        return bool(subjects) and not wanted

    return test


def text_of(key: str, text: str) -> str:
    """Return a name or pattern that a policy gives for a key, as it is compared."""
    return host_name(text) if key == "remote-host" else text


def _compile_value(key: str, value: Value) -> Callable[[Subject], bool]:
    """Return the test of one value against one subject."""
    match value:
        case NumberRange():
            return lambda subject: (
                value.low <= subject <= value.high if isinstance(subject, int) else subject == value.text
            )
        case Prefix():
            family, shift = value.network.version, value.network.max_prefixlen - value.network.prefixlen
            number = int(value.network.network_address) >> shift
            return lambda subject: (
                isinstance(subject, tuple) and subject[0] == family and subject[1] >> shift == number
            )
        case Name():
            return text_of(key, value.text).__eq__
        case Glob():
            matches = glob(text_of(key, value.text))
            return lambda subject: isinstance(subject, str) and bool(matches(subject))
        case SetReference():
            raise AssertionError("sets are resolved by the checker")
        case _:
            assert_never(value)
