"""One target under the fuzzer: ``python -m fuzz.run TARGET [what libFuzzer takes]``. Ends with the process."""

import sys

import atheris

with atheris.instrument_imports(include=["supportrelay"]):
    from fuzz.targets import TARGETS


def main() -> None:
    """Fuzz until libFuzzer has enough; its exit status says whether it found something."""
    target = TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
