"""A number with the word for what is counted."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return such as "1 try" or "2,000 tries".

    Args:
        number: How many there are.
        one: The word where it is 1.
        many: Where it is not; None for ``one`` with an s.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
