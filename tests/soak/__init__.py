"""The daemon killed again and again under load: ``make soak`` (ten minutes), ``make soak SOAK=60``."""
