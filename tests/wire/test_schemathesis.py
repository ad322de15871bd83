"""Schemathesis with all its checks and phases finds nothing; ``make fuzz`` makes many more requests."""

from pathlib import Path

from quality.fuzz import PHASES, fuzz
from support.live import live_service

CASES = 4  # of each operation in the fuzzing phase: what a test run has time for
CHECKS = {
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "positive_data_acceptance", "missing_required_header",
    "unsupported_method", "allow_header_conformance", "use_after_free", "ensure_resource_availability", "ignored_auth",
    "object_level_authorization", "kie_bad_data_is_refused", "kie_status_fits_the_verdict",
    "musicgpt_bad_data_is_refused",
}  # fmt: skip


def test_finds_nothing(tmp_path: Path, database_url: str, storage_url: str) -> None:
    with live_service(tmp_path, database_url=database_url, storage_url=storage_url) as service:
        report = fuzz(service, cases=CASES, seed=1)
    assert not report.failures + report.problems, report.text
    assert {dialect for dialect, _ in report.requests} >= {"kie", "kie uploads", "musicgpt", "native"}
    assert {phase for _, phase in report.requests} == set(PHASES)
    assert set(report.checks) >= CHECKS
    assert report.verdicts[200] > 0  # some requests got all the way
