"""A policy that is saved is in force within half a second, however it is saved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.migrated.watching import styles
from tests.migrated.watching.follower import IN_FORCE_S, following
from tests.migrated.watching.styles import ConfigMap, policy

pytestmark = pytest.mark.alone

STYLES: dict[str, Callable[[Path, str], None]] = {
    "in place": styles.in_place,
    "write and rename": styles.write_and_rename,
    "rename from elsewhere": styles.rename_from_elsewhere,
    "backup rename": styles.backup_rename,
    "delete and create": styles.delete_and_create,
    "replaced folder": styles.replaced_folder,
    "removed folder": styles.removed_folder,
    "replaced grandparent": styles.replaced_grandparent,
    "sed -i": styles.sed,
    "vim": styles.vim(),
    "vim, backupcopy=no": styles.vim("backup", "backupcopy=no"),
    "vim, backupcopy=yes": styles.vim("backup", "backupcopy=yes"),
}


def in_time(took: list[float]) -> None:
    """Check the seconds that saves took."""
    assert max(took) <= IN_FORCE_S, took


def folder_of(tmp_path: Path) -> Path:
    folder = tmp_path / "top" / "policy.d"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("style", STYLES)
def test_in_force_in_time(tmp_path: Path, style: str) -> None:
    file = folder_of(tmp_path) / "a.policy"
    file.write_text(policy(0))

    async def follow() -> list[float]:
        async with following(file.parent / "*.policy") as follower:
            return [
                await follower.in_force_after(policy(score), STYLES[style], file, policy(score))
                for score in (1, 2, 3)
            ]

    in_time(asyncio.run(follow()))


def test_a_volume_of_kubernetes(tmp_path: Path) -> None:
    volume = folder_of(tmp_path)
    file, config_map = volume / "a.policy", ConfigMap(volume)
    config_map.write(file, policy(0))

    async def follow() -> list[float]:
        async with following(volume / "*.policy") as follower:
            return [
                await follower.in_force_after(policy(score), config_map.write, file, policy(score))
                for score in (1, 2, 3)
            ]

    in_time(asyncio.run(follow()))


def test_a_link_to_a_link_to_a_file_elsewhere(tmp_path: Path) -> None:
    folder, store = folder_of(tmp_path), tmp_path / "store"
    store.mkdir()
    (store / "one").write_text(policy(0))
    (store / "hop").symlink_to("one")
    (folder / "a.policy").symlink_to(store / "hop")

    def aim_at_another() -> None:
        (store / "hop.new").symlink_to("two")
        (store / "hop.new").rename(store / "hop")

    async def follow() -> list[float]:
        async with following(folder / "*.policy") as follower:
            written = await follower.in_force_after(policy(1), styles.in_place, store / "one", policy(1))
            (store / "two").write_text(policy(2))
            return [written, await follower.in_force_after(policy(2), aim_at_another)]

    in_time(asyncio.run(follow()))


def test_files_come_and_go(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    a, b = folder / "a.policy", folder / "b.policy"

    async def follow() -> list[float]:
        async with following(folder / "*.policy") as follower:
            return [
                await follower.in_force_after(policy(2), styles.in_place, b, policy(2)),
                await follower.in_force_after(policy(1) + policy(2), styles.write_and_rename, a, policy(1)),
                await follower.in_force_after(policy(1), b.unlink),
                await follower.in_force_after("", a.rename, tmp_path / "aside"),
            ]

    in_time(asyncio.run(follow()))


def test_folders_that_do_not_exist_yet(tmp_path: Path) -> None:
    folder = tmp_path / "etc" / "migrate" / "policy.d"

    def install() -> None:
        folder.mkdir(parents=True)
        (folder / "a.policy").write_text(policy(1))

    async def follow() -> list[float]:
        async with following(folder / "*.policy") as follower:
            return [await follower.in_force_after(policy(1), install)]

    in_time(asyncio.run(follow()))


def test_included_files(tmp_path: Path) -> None:
    file, parts, late = folder_of(tmp_path) / "a.policy", tmp_path / "parts", tmp_path / "late.inc"
    parts.mkdir()
    outer = 'monitor-policy { include "../../parts/*.inc" }\n'
    file.write_text(outer)
    (parts / "1.inc").write_text(policy(1))
    late.write_text(policy(4))
    other = 'monitor-policy { include "../../late.inc" }\n'

    async def follow() -> list[float]:
        async with following(file.parent / "*.policy") as follower:
            after, save = follower.in_force_after, styles.in_place
            return [
                await after(outer + policy(2), styles.write_and_rename, parts / "1.inc", policy(2)),
                await after(outer + policy(2) + policy(3), save, parts / "2.inc", policy(3)),
                await after(other + policy(4), save, file, other),
                await after(other + policy(5), save, late, policy(5)),
            ]

    in_time(asyncio.run(follow()))
