"""The bucket's own rules: what they say, that a server takes them, and that they come too late for what is needed."""

import json
import os
from datetime import timedelta
from pathlib import Path

import boto3
import pytest

from service.storage import FRESH
from service.storage.lifecycle import lifecycle_rules
from support.process import environment, stemscribe
from support.s3 import BUCKET, S3Server


@pytest.mark.parametrize(
    ("url", "folder"),
    [("s3://bucket", ""), ("s3://bucket/", ""), ("s3://bucket/songs", "songs/"), ("s3://bucket/a/b/", "a/b/")],
)
def test_rules_reach_our_folder_only(url: str, folder: str) -> None:
    unfinished, forgotten = lifecycle_rules(url, 14)["Rules"]
    assert unfinished["Filter"] == {"Prefix": folder}
    assert unfinished["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert "Expiration" not in unfinished
    assert forgotten["Filter"] == {"Prefix": f"{folder}objects/"}
    assert unfinished["Status"] == forgotten["Status"] == "Enabled"


@pytest.mark.parametrize("retention_days", [1, 14, 365])
def test_an_object_that_is_needed_is_stored_again_before_it_is_that_old(retention_days: int) -> None:
    expires = timedelta(days=lifecycle_rules("s3://bucket", retention_days)["Rules"][1]["Expiration"]["Days"])
    oldest_when_held, kept = FRESH, timedelta(days=retention_days)
    of_quick_task = oldest_when_held + timedelta(days=1) + kept
    audited_from, round_takes = kept + FRESH, timedelta(days=1)
    assert of_quick_task < expires
    assert audited_from + 4 * round_takes < expires


def test_the_command_prints_what_a_server_takes(s3: S3Server, tmp_path: Path) -> None:
    env = environment(tmp_path, storage_url=f"s3://{BUCKET}/songs", retention_days="30")
    told = stemscribe("storage", "lifecycle", env=env)
    assert told.returncode == 0, told.stderr
    rules = json.loads(told.stdout)
    assert rules == lifecycle_rules(f"s3://{BUCKET}/songs", 30)
    client = boto3.client("s3", endpoint_url=s3.endpoint, region_name=os.environ["AWS_REGION"])
    client.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=rules)
    kept = client.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    client.delete_bucket_lifecycle(Bucket=BUCKET)
    client.close()
    assert [rule["ID"] for rule in kept] == [rule["ID"] for rule in rules["Rules"]]
    assert kept[1]["Expiration"] == {"Days": 37}


def test_a_local_folder_needs_none(tmp_path: Path) -> None:
    told = stemscribe("storage", "lifecycle", env=environment(tmp_path))
    assert (told.returncode, told.stdout) == (1, "")
    assert "STEMSCRIBE_STORAGE_URL is not set" in told.stderr
