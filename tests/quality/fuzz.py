"""Schemathesis, every check and phase, against the live service in every dialect.

``python tests/quality/fuzz.py [--cases N] [--seed S] [--details]`` prints how many requests each phase made, how often
each check was applied to their answers, and every failure.
"""

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))
from quality.fuzz_records import make_records
from support.audio import wav_bytes
from support.live import Live, live_service
from support.servers import answer, http_server

RECORDS_VARIABLE = "FUZZ_RECORDS"  # fuzz_hooks.py reads it
DIALECTS = {"kie": "/api/v1/", "musicgpt": "/api/public/", "kie uploads": "/api/", "native": "/v1/"}
PHASES = ("examples", "coverage", "fuzzing", "stateful")
CHAINS_PER_CASE = 4  # of requests that links lead to, in the stateful phase
TIMEOUT_S = 3600

# What a schema cannot say (that a task exists, is finished, has stems) is refused with these, in good requests too.
# The Kie dialect answers HTTP 200 with the verdict in the envelope: fuzz_hooks.py checks that verdict.
# MusicGPT's takes numbers and truths as text, and more: there, fuzz_hooks.py tells what is wrong all the same.
CONFIG = """
hooks = "{hooks}"

[auth.wfc]
path = "{keys}"
peers = ["one", "two"]

[phases.examples]
fill-missing = true

[phases.stateful]
generation.max-examples = {chains}

[output.sanitization]
enabled = false

[[operations]]
include-path-regex = "^/api/v1/"
checks.negative_data_rejection.expected-statuses = [200, 400, 401, 402, 404, 405, 409, 413, 422, 429]
checks.missing_required_header.expected-statuses = [200, 401]

[[operations]]
include-path-regex = "^/api/file-"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 404, 409, 413, 429]

[[operations]]
include-path-regex = "^/api/public/"
checks.negative_data_rejection.expected-statuses = [200, 400, 401, 402, 404, 405, 409, 413, 422, 429, 501]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 402, 404, 409, 413, 422, 429]
checks.missing_required_header.expected-statuses = [200, 401]

[[operations]]
include-path-regex = "^/(v1|files)/"
checks.negative_data_rejection.expected-statuses = [400, 401, 404, 405, 409, 413, 415, 422, 429]
checks.positive_data_acceptance.expected-statuses = ["2xx", "3xx", 401, 402, 404, 409, 413, 416, 422, 429]
"""


@dataclass
class Report:
    """What a run did and found.

    Attributes:
        requests: number of them, by dialect and phase.
        checks: how often each check was applied, by name.
        statuses: HTTP statuses of the answers, by dialect.
        verdicts: codes of the Kie envelopes.
        failures: a line for each kind of failure, with the operations it was seen in.
        problems: errors of the run itself.
        text: all that Schemathesis printed.
    """

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    verdicts: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    text: str = ""


def fuzz(service: Live, *, cases: int, seed: int) -> Report:
    """Run Schemathesis against a service.

    Args:
        cases: how many requests the fuzzing phase makes of each operation, at most; the stateful phase follows four
            times as many chains of links.
        seed: of the random choices.
    """
    with tempfile.TemporaryDirectory() as name, http_server(_receive) as receiver:
        folder = Path(name)
        keys = {
            "auth": [
                {"name": name, "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {token}"}]}
                for name, token in (("one", service.token), ("two", service.other_token))
            ]
        }
        (folder / "keys.json").write_text(json.dumps(keys))
        hooks = Path(__file__).with_name("fuzz_hooks.py")
        (folder / "schemathesis.toml").write_text(
            CONFIG.format(hooks=hooks, keys=folder / "keys.json", chains=CHAINS_PER_CASE * cases)
        )
        command = [
            str(Path(sys.executable).with_name("st")), "--config-file", "schemathesis.toml",
            "run", f"{service.base_url}/schema/openapi.json",
            "--checks", "all", "--phases", ",".join(PHASES), "--max-examples", str(cases), "--seed", str(seed),
            "--report", "json,ndjson", "--report-json-path", "report.json", "--report-ndjson-path", "report.ndjson",
            "--continue-on-failure",
        ]  # fmt: skip
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, RECORDS_VARIABLE: make_records(service, receiver)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        return _read(folder, done.stdout)


def _receive(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """A song for whoever fetches, and 200 for callbacks."""
    answer(handler, 200, wav_bytes(0.2) if handler.command == "GET" else b"", Content_Type="audio/wav")


def _read(folder: Path, text: str) -> Report:
    report = Report(text=text)
    if not (folder / "report.json").exists():
        report.problems.append(text)
        return report
    summary = json.loads((folder / "report.json").read_text())
    for failure in summary["failures"]:
        operations = ", ".join(failure["operations"])
        report.failures.append(f"{failure['code']} {failure['title']} ({failure['count']}): {operations}")
    report.problems += [json.dumps(error) for error in summary["errors"]]
    report.problems += [f"phase {name}: {summary['phases'][name]['skip_reason']}" for name in PHASES
                        if summary["phases"][name]["status"] == "skip"]  # fmt: skip
    for line in (folder / "report.ndjson").read_text().splitlines():
        _count(json.loads(line), report)
    return report


def _count(event: Mapping[str, Any], report: Report) -> None:
    if (scenario := event.get("ScenarioFinished")) is None:
        return
    recorder = scenario["recorder"]
    for checks in recorder.get("checks", {}).values():
        report.checks.update(check["name"] for check in checks)
    for interaction in recorder.get("interactions", {}).values():
        path = httpx.URL(interaction["request"]["uri"]).path
        dialect = next((name for name, prefix in DIALECTS.items() if path.startswith(prefix)), "other")
        report.requests[dialect, scenario["phase"]] += 1
        if (response := interaction["response"]) is None:
            report.problems.append(f"no answer: {interaction['request']['method']} {path}")
            continue
        report.statuses[dialect, response["status_code"]] += 1
        if dialect == "kie" and "json" in "".join(response["headers"].get("content-type", ())):
            report.verdicts[json.loads(base64.b64decode(response["content"]["$base64"]))["code"]] += 1


def show(report: Report) -> None:
    """Print the tables and the findings."""
    dialects = sorted({dialect for dialect, _ in report.requests})
    print("| requests |", " | ".join((*PHASES, "all")), "|")
    print("|---|" + "---|" * (len(PHASES) + 1))
    for dialect in dialects:
        made = [report.requests[dialect, phase] for phase in PHASES]
        print(f"| {dialect} |", " | ".join(str(number) for number in (*made, sum(made))), "|")
    for dialect in dialects:
        found = sorted((status, n) for (name, status), n in report.statuses.items() if name == dialect)
        print(f"\nHTTP statuses, {dialect}:", ", ".join(f"{status}: {n}" for status, n in found))
    print("\nKie verdicts:", ", ".join(f"{code}: {n}" for code, n in sorted(report.verdicts.items())))
    print("\n| check | times applied |\n|---|---|")
    for name, n in sorted(report.checks.items()):
        print(f"| {name} | {n} |")
    print(f"\n{len(report.failures)} kinds of failures, {len(report.problems)} problems")
    for line in (*report.failures, *report.problems):
        print("*", line)


def main() -> int:
    """Fuzz a service of our own; the exit code says whether anything was found."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cases", type=int, default=200, help="requests per operation in the fuzzing phase")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--details", action="store_true", help="print what Schemathesis printed, too")
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, live_service(Path(folder)) as service:
        report = fuzz(service, cases=arguments.cases, seed=arguments.seed)
    if arguments.details:
        print(report.text)
    show(report)
    return 1 if report.failures or report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
