"""Keys and the vault: what is sealed opens with the same key in the same place, and nowhere else."""

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from countersign.errors import InvalidRequest
from countersign.store.keys import KEY_BYTES, load_key
from countersign.store.vault import Vault, VaultError, context

MASTER = bytes(range(32))
VAULT = Vault(MASTER)


@given(st.binary(max_size=2000), st.binary(max_size=40))
def test_what_is_sealed_opens_again(plaintext: bytes, place: bytes) -> None:
    key, _ = VAULT.new_data_key()
    sealed = VAULT.seal(key, plaintext, place)
    assert sealed[0] == 1
    assert len(sealed) == len(plaintext) + 29
    assert VAULT.open(key, sealed, place) == plaintext


@given(st.data())
def test_a_sealed_value_does_not_survive_one_changed_bit(data: st.DataObject) -> None:
    key, _ = VAULT.new_data_key()
    sealed = bytearray(VAULT.seal(key, b"the Supplier shall indemnify", b"here"))
    position = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[position // 8] ^= 1 << position % 8
    with pytest.raises(VaultError):
        VAULT.open(key, bytes(sealed), b"here")


def test_a_sealed_value_does_not_open_elsewhere() -> None:
    key, _ = VAULT.new_data_key()
    sealed = VAULT.seal(key, b"text", context("document", "acme", "1"))
    with pytest.raises(VaultError):
        VAULT.open(key, sealed, context("document", "other", "1"))


@pytest.mark.parametrize("cut", [b"", b"\x01", b"\x01short", b"\x02" + bytes(40)])
def test_what_is_no_sealed_value_is_refused(cut: bytes) -> None:
    with pytest.raises(VaultError):
        VAULT.open(MASTER, cut, b"")


def test_a_data_key_is_unwrapped_by_its_master_key_only() -> None:
    plain, wrapped = VAULT.new_data_key()
    assert plain not in wrapped
    assert Vault(MASTER).unwrap(wrapped) == plain
    with pytest.raises(VaultError):
        Vault(bytes(32)).unwrap(wrapped)


def test_the_same_text_is_never_sealed_alike() -> None:
    assert VAULT.seal(MASTER, b"same", b"") != VAULT.seal(MASTER, b"same", b"")


def test_purposes_have_keys_of_their_own() -> None:
    keys = {VAULT.derive("a"), VAULT.derive("b"), Vault(bytes(32)).derive("a"), MASTER}
    assert len(keys) == 4
    assert VAULT.derive("a") == Vault(MASTER).derive("a")


@given(st.lists(st.text(max_size=6), max_size=4), st.lists(st.text(max_size=6), max_size=4))
def test_two_places_are_never_confused(one: list[str], other: list[str]) -> None:
    assert (context(*one) == context(*other)) == (one == other)


def test_a_key_is_made_once_however_many_start(tmp_path: Path) -> None:
    path = tmp_path / "home" / "master.key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: load_key(None, path), range(32)))
    assert len(keys) == 1
    assert len(keys.pop()) == KEY_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["master.key"]


def test_a_key_given_as_setting_leaves_no_file(tmp_path: Path) -> None:
    setting = SecretStr(base64.b64encode(MASTER).decode())
    assert load_key(setting, tmp_path / "master.key") == MASTER
    assert not list(tmp_path.iterdir())


def test_url_safe_base64_is_the_same_key(tmp_path: Path) -> None:
    key = b"\xff" * 32
    assert load_key(SecretStr(base64.urlsafe_b64encode(key).decode()), tmp_path / "k.key") == key


@pytest.mark.parametrize("text", ["", "short", "not base64 !!", base64.b64encode(bytes(31)).decode()])
def test_a_malformed_key_is_named_but_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidRequest, match="COUNTERSIGN_MASTER_KEY") as caught:
        load_key(SecretStr(text), tmp_path / "master.key")
    assert not text or text not in str(caught.value)
    file = tmp_path / "master.key"
    file.write_text(text)
    with pytest.raises(InvalidRequest, match=r"master\.key"):
        load_key(None, file)
