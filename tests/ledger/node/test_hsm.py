"""Keys in a PKCS#11 token: a node signs with them like any other, and what is wrong with a token is told."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pkcs11
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.cli import run as run_campusgrid
from ledger import keys
from ledger.node import settings
from ledger.node.settings import SettingsError
from ledger.node.signers import hsm
from ledger.statements import is_possession
from provisioning.toolchain.softhsm import UTILITY
from tests.ledger.node.network import OTHER, Network, until

PIN, OFFICER_PIN = "4711", "471147"
SEED = bytes(range(32))


@dataclass
class Token:
    """A token of its own in a folder, its PIN in a file beside it."""

    module: Path
    folder: Path
    label: str = "ERC"

    def write(self, object_label: str, seed: bytes) -> None:
        """Put a key pair into the token; that is how an existing authority moves its keys."""
        pem = self.folder / "key.pem"
        pem.write_bytes(
            Ed25519PrivateKey.from_private_bytes(seed).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        number = f"{len(object_label):02x}"
        self.run("--import", str(pem), "--token", self.label, "--label", object_label, "--id", number, "--pin", PIN)
        pem.unlink()

    def run(self, *arguments: str) -> None:
        subprocess.run([UTILITY, "--module", str(self.module), *arguments], check=True, capture_output=True)

    def uri(self, path: str, pin_file: str = "pin.txt") -> str:
        return f"pkcs11:{path}?module-path={self.module}&pin-source=file:{pin_file}"

    def key(self, path: str, pin_file: str = "pin.txt") -> hsm.TokenKey:
        return hsm.Tokens().key(hsm.parse(self.uri(path, pin_file), self.folder))


@pytest.fixture
def token(softhsm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Token]:
    folder = tmp_path / "hsm"
    (folder / "tokens").mkdir(parents=True)
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\n")
    (folder / "pin.txt").write_text(PIN + "\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
    made = Token(softhsm, folder)
    made.run("--init-token", "--free", "--label", made.label, "--pin", PIN, "--so-pin", OFFICER_PIN)
    yield made
    library = pkcs11.lib(str(softhsm))
    library.finalize()  # so that the next one reads its own configuration


def test_a_token_signs_what_the_key_itself_would_sign(token: Token) -> None:
    token.write("vote", SEED)
    held, own = token.key("token=ERC;object=vote"), keys.PrivateKey(SEED)
    assert (held.public_key, held.key_id) == (own.public_key, own.key_id)
    assert held.sign(b"a vote") == own.sign(b"a vote")
    by_id = token.key("token=ERC;id=%04")
    assert by_id.public_key == own.public_key
    assert PIN not in repr(held)


def test_a_key_that_the_token_made_itself_signs(token: Token) -> None:
    with pkcs11.lib(str(token.module)).get_token(token_label="ERC").open(rw=True, user_pin=PIN) as session:
        curve = session.create_domain_parameters(
            pkcs11.KeyType.EC_EDWARDS, {pkcs11.Attribute.EC_PARAMS: bytes.fromhex("06032b6570")}, local=True
        )
        curve.generate_keypair(mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label="made", id=b"m")
    held = token.key("token=ERC;object=made")
    assert keys.verify(held.public_key, b"a vote", held.sign(b"a vote"))


@pytest.mark.parametrize(
    ("path", "pin", "fault"),
    [
        ("token=ERC;object=vote", "9999", "wrong PIN: mend "),
        ("token=ERC;object=vote", "", "is empty: write the token's user PIN into it"),
        ("token=MEA;object=vote", PIN, "no such token: plug it in"),
        ("token=ERC;object=votes", PIN, "no such Ed25519 key pair"),
    ],
)
def test_what_is_wrong_with_a_token_is_told_with_what_to_do(token: Token, path: str, pin: str, fault: str) -> None:
    token.write("vote", SEED)
    (token.folder / "other.txt").write_text(pin)
    with pytest.raises(hsm.TokenError, match=fault) as caught:
        token.key(path, "other.txt")
    assert "\n" not in str(caught.value)
    assert "9999" not in str(caught.value)


def test_a_missing_library_or_pin_file_is_named(token: Token) -> None:
    with pytest.raises(hsm.TokenError, match=r"cannot read the PIN file .*nowhere"):
        token.key("token=ERC;object=vote", "nowhere")
    uri = token.uri("token=ERC;object=vote").replace(str(token.module), "/nowhere/library.so")
    with pytest.raises(hsm.TokenError, match=r"/nowhere/library\.so"):
        hsm.Tokens().key(hsm.parse(uri, token.folder))


@pytest.mark.parametrize(
    ("uri", "fault"),
    [
        ("pkcs11:object=vote?module-path=/l.so&pin-source=file:pin", "names no token"),
        ("pkcs11:token=ERC?module-path=/l.so&pin-source=file:pin", "names no key"),
        ("pkcs11:token=ERC;object=vote?pin-source=file:pin", "names no PKCS#11 library"),
        ("pkcs11:token=ERC;object=vote?module-path=/l.so", "names no file with the PIN"),
        ("pkcs11:token=ERC;object=vote?module-path=/l.so&pin-value=1", "a PIN has no place in node.toml"),
        ("pkcs11:token=ERC;colour=red?module-path=/l.so", "'colour' is unknown here"),
        ("pkcs11:token=%ff;object=vote", "is not percent-encoded"),
    ],
)
def test_a_malformed_uri_is_one_line_of_the_settings(network: Network, uri: str, fault: str) -> None:
    file = network.directory(0) / "node.toml"
    file.write_text(file.read_text().replace('"vote.key"', f'"{uri}"'))
    with pytest.raises(SettingsError, match=rf"node\.toml: keys\.vote.*{fault}"):
        settings.load(file)


def test_the_keys_of_a_node_are_shown_and_proven_wherever_they_are(
    network: Network, token: Token, capsys: pytest.CaptureFixture[str]
) -> None:
    token.write("vote", SEED)
    directory, member = network.directory(0), network.genesis.authorities.members[0]
    file, uri = directory / "node.toml", token.uri("token=ERC;object=vote", str(token.folder / "pin.txt"))
    file.write_text(file.read_text().replace('"vote.key"', f'"{uri}"'))
    arguments = ["ledger", "keys", "node", "--config", str(file)]
    assert run_campusgrid(arguments) == 0
    shown = json.loads(capsys.readouterr().out)
    public_key = keys.PrivateKey(SEED).public_key
    assert (shown["name"], shown["keys"]["vote_key"]) == ("ERC", public_key.hex())
    assert (shown["keys"]["cosign_key"], shown["keys"]["log_key"]) == (member.cosign_key.hex(), member.log_key.hex())
    assert run_campusgrid([*arguments, "--authority", member.id.hex()]) == 0
    proof = bytes.fromhex(json.loads(capsys.readouterr().out)["keys"]["vote_proof"])
    assert is_possession(proof, network.genesis.chain_id, member.id, public_key)
    assert run_campusgrid([*arguments, "--authority", "ERC"]) == 2
    assert "16 hex digits" in capsys.readouterr().err
    (token.folder / "pin.txt").write_text("0000")
    pkcs11.lib(str(token.module)).finalize()  # a token asks once a process, and that is over
    assert run_campusgrid(arguments) == 1
    assert "wrong PIN: mend" in capsys.readouterr().err


async def test_a_node_whose_vote_and_cosigner_keys_are_in_a_token_decides_blocks(
    network: Network, token: Token
) -> None:
    directory = network.directory(0)
    for use in ("vote", "cosign"):
        token.write(use, bytes.fromhex((directory / f"{use}.key").read_text()))
        (directory / f"{use}.key").unlink()
        file, uri = directory / "node.toml", token.uri(f"token=ERC;object={use}", str(token.folder / "pin.txt"))
        file.write_text(file.read_text().replace(f'"{use}.key"', f'"{uri}"'))
    for place in (0, 1, 2):  # with the fourth away, nothing is decided and nothing provable without the token
        network.start(place)
    await network.ready(0, 1, 2)
    async with network.client(1) as client:
        assert (await network.account(client).call_and_wait("money", "transfer", OTHER, 7)).code == 0

        async def is_provable() -> bool:
            status = await client.status()
            return status.height > 0 and status.checkpoint_size == status.log_size

        await until(is_provable, "the token's cosignature completes a quorum")
    assert "a signature is missing" not in network.log(0)
