"""Nano-USD as decimal text, without going through a float."""

NANO = 1_000_000_000


def usd(nano_usd: int) -> str:
    """1_500_000_000 -> "1.5". No exponent, no trailing zeros, every digit that is there."""
    whole, rest = divmod(abs(nano_usd), NANO)
    sign = "-" if nano_usd < 0 else ""
    return f"{sign}{whole}.{rest:09d}".rstrip("0").rstrip(".")
