"""Where files lie: a local folder or S3, behind one interface, addressed by their content."""

from service.settings import Settings, SettingsError
from service.storage.base import FRESH, MIME_TYPES, N_FOLDERS, Storage, content_key, file_sha256, unusable
from service.storage.local import LocalStorage

__all__ = ["FRESH", "MIME_TYPES", "N_FOLDERS", "Storage", "content_key", "file_sha256", "open_storage", "unusable"]


def open_storage(settings: Settings) -> Storage:
    """The storage that the settings name.

    Raises:
        SettingsError: the data folder cannot be used, or S3 is not described in full.
    """
    if settings.storage_public_url and not settings.storage_url:
        raise SettingsError("STEMSCRIBE_STORAGE_PUBLIC_URL is for S3 only: set STEMSCRIBE_STORAGE_URL, too.")
    if not settings.storage_url:
        return LocalStorage(settings.data_dir)
    # Only where it is wanted: a client of S3 takes a while to load.
    from service.storage.presign import open_signer
    from service.storage.s3 import S3Storage

    bucket, _, prefix = settings.storage_url.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    public_url = settings.storage_public_url
    signer = open_signer(public_url, bucket, prefix) if public_url else None
    return S3Storage(settings.data_dir, bucket, prefix, signer)
