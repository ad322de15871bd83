"""Whether a client has an answer already: ``ETag`` and ``If-None-Match`` (RFC 9110, 8.8.3 and 13.1.2)."""


def etag_matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the header names this tag, weak or strong, or any at all (``*``)."""
    if if_none_match is None:
        return False
    named = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in named or etag.removeprefix("W/") in named
