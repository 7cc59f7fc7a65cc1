from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from migrated.streams.addresses import Endpoint
from migrated.streams.authorized import key_text
from migrated.streams.known import KnownGateways, KnownGatewaysError
from sessionlayer.protocol.keys import fingerprint

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
HOME = Endpoint("home", 6448)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "known_gateways"


def test_the_first_key_is_trusted_and_remembered(file: Path) -> None:
    known = KnownGateways(file)
    assert known.judge(HOME, KEY).remember
    known.remember(HOME, KEY)
    assert not known.judge(HOME, KEY).remember
    assert known.judge(HOME, KEY).refusal is None
    assert known.judge(Endpoint("home", 6449), OTHER).remember


def test_a_changed_key_is_refused_with_what_to_do(file: Path) -> None:
    file.write_text(f"# mine\n\nhome:6448 {key_text(KEY)}\n")
    refusal = KnownGateways(file).judge(HOME, OTHER).refusal
    assert refusal is not None
    assert fingerprint(KEY) in refusal
    assert fingerprint(OTHER) in refusal
    assert f"remove the old one from line 3 of {file}" in refusal


def test_a_pin_goes_before_what_is_known(file: Path) -> None:
    known = KnownGateways(file)
    known.remember(HOME, KEY)
    judgement = known.judge(HOME, OTHER, fingerprint(OTHER))
    assert (judgement.refusal, judgement.remember) == (None, True)
    refusal = known.judge(HOME, KEY, fingerprint(OTHER)).refusal
    assert refusal is not None
    assert f"not the pinned {fingerprint(OTHER)}" in refusal


def test_a_new_key_takes_the_place_of_the_old_one_and_comments_stay(file: Path) -> None:
    file.write_text(f"# mine\nhome:6448 {key_text(KEY)}\nother:1 {key_text(KEY)}\n")
    KnownGateways(file).remember(HOME, OTHER)
    assert file.read_text() == f"# mine\nother:1 {key_text(KEY)}\nhome:6448 {key_text(OTHER)}\n"


def test_two_processes_do_not_forget_each_others_keys(file: Path) -> None:
    places = [Endpoint(f"h{number}", 1) for number in range(50)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda place: KnownGateways(file).remember(place, KEY), places))
    assert all(not KnownGateways(file).judge(place, KEY).remember for place in places)


@pytest.mark.parametrize("line", ["home:6448", "home:6448 AAAA", f"home:6448 {key_text(KEY)} x"])
def test_a_wrong_line_is_named(file: Path, line: str) -> None:
    file.write_text(f"other:1 {key_text(KEY)}\n{line}\n")
    with pytest.raises(KnownGatewaysError, match=rf"{file}:2: .*correct or remove the line"):
        KnownGateways(file).judge(HOME, KEY)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(KnownGatewaysError, match="cannot use"):
        KnownGateways(tmp_path / "none" / "known").remember(HOME, KEY)
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(KnownGatewaysError, match="not UTF-8"):
        KnownGateways(tmp_path / "binary").judge(HOME, KEY)
