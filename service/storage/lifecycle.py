"""The rule by which a bucket looks after itself, behind the service's own janitor.

Objects are named by their content and so shared: a task of today may refer to an object that was stored weeks ago.  S3
deletes by the age of objects alone and knows nothing of that, so while a row refers to an object it must never be as
old as the rule says.  It never is, because

* storing a file whose object is there already, or holding one for another task, stores it again once it is older than a
  day (``FRESH``): what a task records was at most a day old when the task got it;
* a task that ends within a day of that is deleted ``retention`` days later, when its objects are ``retention + 2`` days
  old;
* for tasks that wait for longer between storing and ending, the janitor goes through the whole storage about once a day
  and stores again what is older than ``retention + 1`` days (:meth:`service.keeper.FileKeeper.audit`).

The rule therefore waits for a week more than the retention, which leaves the janitor five days for its round.  What it
finds then belongs to a service that is no more.
"""

from typing import Any

_SLACK_DAYS = 7
_ABORT_DAYS = 1  # no upload takes that long; its parts cost as much as objects, and no listing shows them


def lifecycle_rules(storage_url: str, retention_days: int) -> dict[str, Any]:
    """A lifecycle configuration in the form that ``aws s3api put-bucket-lifecycle-configuration`` takes.

    Args:
        storage_url: ``s3://BUCKET`` or ``s3://BUCKET/PREFIX``.
        retention_days: how long an ended task is kept.
    """
    prefix = storage_url.removeprefix("s3://").partition("/")[2].strip("/")
    folder = f"{prefix}/" if prefix else ""
    return {
        "Rules": [
            {
                "ID": "stemscribe-unfinished-uploads",
                "Status": "Enabled",
                "Filter": {"Prefix": folder},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _ABORT_DAYS},
            },
            {
                "ID": "stemscribe-forgotten-objects",
                "Status": "Enabled",
                "Filter": {"Prefix": f"{folder}objects/"},
                "Expiration": {"Days": retention_days + _SLACK_DAYS},
            },
        ]
    }
