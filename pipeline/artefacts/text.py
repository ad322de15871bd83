"""Text that is safe in XML."""

from xml.sax.saxutils import escape


def xml_text(text: str) -> str:
    """Text for between tags or in double quotes: escaped, without the characters that XML cannot hold."""
    held = (c for c in text if c >= " " and c not in "\ufffe\uffff" and not "\ud800" <= c <= "\udfff")
    return escape("".join(held), {'"': "&quot;"})
