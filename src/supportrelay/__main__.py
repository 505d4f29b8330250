"""``python -m supportrelay``."""

from supportrelay.cli import main

main(prog_name="supportrelay")
