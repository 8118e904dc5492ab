"""A number with the noun that it counts."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a count such as "1 try" or "2,000 tries".

    Args:
        number: The number.
        one: The singular.
        many: The plural; None for ``one`` with an s.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
