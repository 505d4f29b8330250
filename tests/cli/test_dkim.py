"""`supportrelay dkim`: keys and what DNS must say about them; keys of the configuration that cannot be used."""

import json
import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cli.desk_commands import Desk
from supportrelay.bootstrap_dkim import open_sealer
from supportrelay.cli import main
from supportrelay.cli.online import compare_dkim
from supportrelay.config import load, warnings
from supportrelay.config.desk import DkimConfig
from supportrelay.core.dns import DnsRecord, RecordKind
from supportrelay.core.errors import ConfigError, TransientFailure
from supportrelay.edge.dkim import make_key_file, public_record, read_key


def keygen(out: Path, *more: str, exit_code: int = 0) -> str:
    arguments = ["dkim", "keygen", "--domain", "Desk.TEST", "--selector", "s1", "--out", str(out), "--language", "en"]
    result = CliRunner().invoke(main, [*arguments, *more])
    assert result.exit_code == exit_code, result.output
    return result.stdout if exit_code == 0 else result.stderr


@pytest.mark.parametrize("kind", ["rsa-2048", "ed25519"])
def test_a_key_is_made_for_its_owner_only_and_what_is_printed_works(desk: Desk, tmp_path: Path, kind: str) -> None:
    """The lines for the configuration are taken as they stand, and then ``show`` prints the same record."""
    file = tmp_path / "key.pem"
    old = os.umask(0)
    try:
        out = keygen(file, "--kind", kind)
    finally:
        os.umask(old)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (line,) = [line for line in out.splitlines() if " IN TXT " in line]
    name, _, strings = line.partition(". IN TXT ")
    assert name == "s1._domainkey.desk.test"
    pieces = strings.strip("() ").strip('"').split('" "')
    assert all(len(piece) <= 255 for piece in pieces)
    assert "".join(pieces) == public_record(read_key(file.read_bytes()))

    with desk.config.open("a") as config:
        config.write(out[out.index("dkim:") :])
    shown = json.loads(desk.run("dkim", "show", "--json").stdout)
    assert shown == [
        {
            "domain": "desk.test",
            "selector": "s1",
            "kind": kind,
            "file": str(file),
            "name": name,
            "record": "".join(pieces),
            "strings": pieces,
        }
    ]
    assert line in desk.run("dkim", "show").stdout


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    keygen(file, "--kind", "ed25519")
    before = file.read_bytes()

    assert "never written over" in keygen(file, exit_code=1)
    assert file.read_bytes() == before


@pytest.mark.parametrize("wrong", [("--selector", "a b"), ("--selector", "-a"), ("--domain", "no domain")])
def test_what_is_no_domain_or_selector_makes_no_key(tmp_path: Path, wrong: tuple[str, str]) -> None:
    keygen(tmp_path / "key.pem", *wrong, exit_code=2)

    assert not (tmp_path / "key.pem").exists()


# --- in the configuration


def configured(desk: Desk, text: str) -> Path:
    with desk.config.open("a") as config:
        config.write(text)
    return desk.config


def _pem(key: ec.EllipticCurvePrivateKey, *, password: bytes = b"") -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        pytest.param(b"no key", "no private key in PEM without password", id="no key"),
        pytest.param(_pem(ec.generate_private_key(ec.SECP256R1()), password=b"x"), "without password", id="password"),
        pytest.param(_pem(ec.generate_private_key(ec.SECP256R1())), "RSA and Ed25519 keys only", id="another kind"),
    ],
)
def test_a_key_that_cannot_be_used_is_named_by_its_line_and_not_shown(desk: Desk, pem: bytes, why: str) -> None:
    (desk.config.parent / "bad.pem").write_bytes(pem)
    file = configured(desk, "dkim:\n  domain: desk.test\n  selector: s1\n  private_key_file: bad.pem\n")
    with pytest.raises(ConfigError) as caught:
        open_sealer(load(file, {}))

    (problem,) = caught.value.problems
    line = next(i for i, one in enumerate(file.read_text().splitlines(), 1) if "bad.pem" in one)
    assert problem.startswith(f"{file}:{line}:")
    assert why in problem
    assert pem.decode() not in problem


def test_two_keys_at_one_selector_and_a_key_without_file_are_mistakes(desk: Desk) -> None:
    make_key_file("ed25519", desk.config.parent / "a.pem")
    entry = "  - {domain: desk.test, selector: s1, private_key_file: a.pem}\n"
    file = configured(desk, "dkim:\n" + entry + entry + "  - {domain: b.test, selector: S2}\n")
    with pytest.raises(ConfigError) as caught:
        load(file, {})

    text = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 2
    assert "dkim[1].selector: 's1': dkim[0] has this domain and selector" in text
    assert "dkim[2].private_key_file: is required" in text


def test_a_sender_without_key_and_a_key_that_all_can_read_are_warned_of(desk: Desk) -> None:
    make_key_file("ed25519", desk.config.parent / "a.pem")
    (desk.config.parent / "a.pem").chmod(0o644)
    file = configured(desk, "dkim: {domain: other.test, selector: s1, private_key_file: a.pem}\n")

    found = warnings(load(file, {}))
    assert any("dkim has no key for desk.test: its copies are not signed" in line for line in found)
    assert any("a.pem can be read by every user of the machine" in line for line in found)


# --- check --online


class Zone:
    """A DNS that knows these TXT records; a name with None does not answer."""

    def __init__(self, records: dict[str, list[bytes] | None]) -> None:
        self.records = records

    async def ask(self, name: str, kind: RecordKind) -> tuple[DnsRecord, ...]:
        assert kind == "TXT"
        found = self.records.get(name, [])
        if found is None:
            raise TransientFailure("4.4.3", "DNS did not answer", detail="timed out")
        return tuple(found)


OURS = "v=DKIM1; k=rsa; p=AAAABBBB"


@pytest.mark.parametrize(
    ("published", "code"),
    [
        pytest.param([OURS.encode()], "dkim_good", id="the same"),
        pytest.param([b"p=AAAA BBBB"], "dkim_good", id="written otherwise"),
        pytest.param([], "dkim_missing", id="none"),
        pytest.param([b"v=DKIM1; k=rsa; p=AAAACCCC"], "dkim_other", id="another key"),
        pytest.param([b"v=DKIM1; k=ed25519; p=AAAABBBB"], "dkim_other", id="another kind"),
        pytest.param([b"v=DKIM1; p="], "dkim_other", id="revoked"),
        pytest.param([b"\xff\xfe"], "dkim_other", id="garbage"),
        pytest.param([OURS.encode(), b"v=DKIM1; p=AAAACCCC"], "dkim_other", id="two records"),
        pytest.param(None, "dkim_unknown", id="no answer"),
    ],
)
async def test_the_published_record_is_compared_with_the_key(published: list[bytes] | None, code: str) -> None:
    entry = DkimConfig.model_validate({"domain": "desk.test", "selector": "s1"})
    (step,) = await compare_dkim([entry], [OURS], Zone({"s1._domainkey.desk.test": published}))

    assert (step.code, step.is_good) == (code, code == "dkim_good")
    assert step.values["name"] == "s1._domainkey.desk.test"
