"""What a fuzzer begins with: every unit at every place, small; real mails too when they lie beside the project."""

from pathlib import Path

from properties.nasty import PLACES, UNITS, nasty_mail

__all__ = ["REAL_MAILS", "write_dictionary", "write_seeds"]

REAL_MAILS = Path(__file__).resolve().parents[3] / "shared" / "mails"
_OCTETS = 60


def write_seeds(folder: Path) -> int:
    """Write the seeds into ``folder``, which is made; returns how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for place in PLACES:
        for unit in UNITS:
            (folder / f"{place}.{unit}").write_bytes(nasty_mail(place, unit, _OCTETS))
            count += 1
    return count


def write_dictionary(file: Path) -> None:
    """Write the units as words for libFuzzer, which puts them into what it tries."""
    lines = ['"' + "".join(map("\\x{:02x}".format, unit)) + '"' for unit in UNITS.values()]
    file.write_text("\n".join(lines) + "\n", encoding="ascii")
