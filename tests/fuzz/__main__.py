"""``python -m fuzz [TARGET]… [--seconds N]``: one target after the other; what breaks one is kept in build/fuzz/.

``python -m fuzz TARGET --again FILE`` gives one file to a target, without the fuzzer; ``python -m fuzz --growth``
measures every unit at every place, for a quarter of an hour.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from fuzz.seeds import REAL_MAILS, write_dictionary, write_seeds
from fuzz.targets import TARGETS
from properties.linear import find_growth
from properties.nasty import PLACES, UNITS

BUILD = Path(__file__).resolve().parents[2] / "build" / "fuzz"
_LONGEST_INPUT = 16 * 1024
_LONGEST_S = 10  # for one input; none of them may take long


def main() -> int:
    """Fuzz the targets asked for, all of them by default; exit 1 when something was found."""
    parser = argparse.ArgumentParser(prog="fuzz", description="any octets for everything that reads and rewrites mail")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=120, help="for each target (120)")
    parser.add_argument("--again", type=Path, help="only this file, without the fuzzer")
    parser.add_argument("--growth", action="store_true", help="does the work grow as the mail does? everywhere")
    arguments = parser.parse_args()
    if arguments.growth:
        return _sweep()
    names = arguments.targets or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"no such target: {', '.join(unknown)}")
    if arguments.again:
        for name in names:
            TARGETS[name](arguments.again.read_bytes())
        return 0
    broken = [name for name in names if not _fuzz(name, arguments.seconds)]
    print(f"fuzz: broken: {', '.join(broken)}; see {BUILD}" if broken else "fuzz: nothing found", file=sys.stderr)
    return 1 if broken else 0


def _sweep() -> int:
    found = 0
    for place in PLACES:
        print(f"fuzz: growth at {place}", file=sys.stderr, flush=True)
        for unit in UNITS:
            for said in find_growth(place, unit):
                print(f"fuzz: {said}", file=sys.stderr, flush=True)
                found += 1
    return 1 if found else 0


def _fuzz(name: str, seconds: int) -> bool:
    seeds, found, dictionary = BUILD / "seeds", BUILD / "found" / name, BUILD / "units.dict"
    write_seeds(seeds)
    write_dictionary(dictionary)
    found.mkdir(parents=True, exist_ok=True)
    corpora = [str(found), str(seeds), *([str(REAL_MAILS)] if REAL_MAILS.is_dir() else [])]
    print(f"fuzz: {name} for {seconds} s", file=sys.stderr, flush=True)
    command = [
        sys.executable,
        "-m",
        "fuzz.run",
        name,
        f"-max_total_time={seconds}",
        f"-max_len={_LONGEST_INPUT}",
        f"-timeout={_LONGEST_S}",
        f"-dict={dictionary}",
        f"-artifact_prefix={BUILD}/{name}-",
        "-print_final_stats=1",
        *corpora,
    ]
    return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
