"""The names that programs import, and what costs nothing until it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import sessionlayer as migrate
from sessionlayer.application import functions

ROOT = Path(__file__).parents[3]


def test_every_name_is_there_and_listed() -> None:
    assert sorted(migrate.__all__) == list(migrate.__all__)
    assert dir(migrate) == list(migrate.__all__)
    assert all(getattr(migrate, name) for name in migrate.__all__)


def test_another_name_is_not() -> None:
    with pytest.raises(AttributeError, match="no attribute `suspend`"):
        getattr(migrate, "suspend")  # noqa: B009


def test_a_program_with_threads_imports_neither_asyncio_nor_cryptography() -> None:
    program = (
        "import sys, socket, sessionlayer as migrate\n"
        "migrate.continued(), migrate.available(), migrate.complete, migrate.internal, migrate.system\n"
        "migrate.get_session(socket.socket(), optional=True).store('a', b'b')\n"
        "print(*sorted({'asyncio', 'cryptography', 'logging', 'concurrent', 'pathlib'} & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": str(ROOT), "MIGRATE_APPLICATION_SOCKET": "/nowhere"}
    told = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path[1:]}\n{program}"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (told.stdout, told.stderr) == ("\n", "")


def test_functions_have_names() -> None:
    @migrate.function("interface-one")
    def one() -> None:
        """Do nothing."""

    assert functions.name_of(one) == functions.name_of("interface-one") == "interface-one"
    assert functions.find("interface-one") is one
    assert functions.find("interface-none") is None
    with pytest.raises(ValueError, match="did you mean `interface-one`"):
        migrate.internal("interface-ome")
    with pytest.raises(ValueError, match="another function under the name"):
        migrate.function("interface-one")(lambda: None)


def test_descriptors_have_names_of_their_own() -> None:
    assert migrate.system(descriptors={"pty": 7}).numbers() == (7,)
    for name in ("", "connection", "x" * 256):
        with pytest.raises(ValueError, match="can't name a descriptor"):
            migrate.system(descriptors={name: 7})


def test_tags_say_what_is_there() -> None:
    assert migrate.python_tag() == migrate.Tag(
        "interpreter", "CPython", f"{sys.version_info.major}.{sys.version_info.minor}"
    )
    (tag,) = migrate.package_tags("msgspec")
    assert (tag.id, tag.name) == ("package", "msgspec")
    with pytest.raises(ValueError, match="`no-such-package` is not installed"):
        migrate.package_tags("no-such-package")
