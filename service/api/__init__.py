"""The HTTP application: how routes, errors, keys and files come together."""
