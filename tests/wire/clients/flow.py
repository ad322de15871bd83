"""The flow with the generated Python client; the base address and the key are the arguments, the song comes by stdin.

Prints what came out as one line of JSON.
"""

import json
import sys
import time
import uuid
from collections.abc import Callable
from io import BytesIO
from typing import TypeVar

from generated import AuthenticatedClient
from generated.api.kie import (
    kie_generate_midi,
    kie_generate_separation,
    kie_show_midi,
    kie_show_separation,
    kie_upload_stream,
)
from generated.models import (
    MidiRecord,
    MidiRecordEnvelope,
    MidiRequest,
    SeparationRecord,
    SeparationRecordEnvelope,
    SeparationRequest,
    TaskCreatedEnvelope,
    UploadAnswer,
    UploadForm,
)
from generated.types import File

T = TypeVar("T")


def given(value: T | None, what: str) -> T:
    """The value, which the service must have given."""
    if not value:
        raise SystemExit(f"{what} is missing")
    return value


def until(ask: Callable[[], T], done: Callable[[T], bool]) -> T:
    """Ask until the task has ended."""
    for _ in range(300):
        if done(answer := ask()):
            return answer
        time.sleep(0.05)
    raise SystemExit("the task did not end in time")


def main() -> None:
    """Upload, separate, transcribe, and be refused once."""
    base_url, token = sys.argv[1:]
    callback_url = f"{base_url}/nobody-listens"
    client = AuthenticatedClient(base_url, token, raise_on_unexpected_status=True)

    song = File(BytesIO(sys.stdin.buffer.read()), "song.wav", "audio/wav")
    upload = kie_upload_stream.sync(client=client, body=UploadForm(file=song, upload_path="songs"))
    if not isinstance(upload, UploadAnswer):
        raise SystemExit(f"the upload was refused: {upload}")
    uploaded = given(upload.data or None, "the upload")
    body = SeparationRequest(
        task_id=uploaded.task_id, audio_id=uploaded.audio_id, type_="split_stem", call_back_url=callback_url
    )
    asked = kie_generate_separation.sync(client=client, body=body, idempotency_key=str(uuid.uuid4()))
    if not isinstance(asked, TaskCreatedEnvelope):
        raise SystemExit(f"the separation was refused: {asked}")
    separation_id = given(asked.data, "the separation").task_id

    def show_separation() -> SeparationRecord:
        answer = kie_show_separation.sync(client=client, task_id=separation_id)
        if not isinstance(answer, SeparationRecordEnvelope):
            raise SystemExit(f"the record was refused: {answer}")
        return given(answer.data, "the record")

    separation = until(show_separation, lambda record: record.success_flag != "PENDING")
    wanted = kie_generate_midi.sync(client=client, body=MidiRequest(task_id=separation_id, call_back_url=callback_url))
    if not isinstance(wanted, TaskCreatedEnvelope):
        raise SystemExit(f"the transcription was refused: {wanted}")
    midi_id = given(wanted.data, "the transcription").task_id

    def show_midi() -> MidiRecord:
        answer = kie_show_midi.sync(client=client, task_id=midi_id)
        if not isinstance(answer, MidiRecordEnvelope):
            raise SystemExit(f"the record was refused: {answer}")
        return given(answer.data, "the record")

    midi = until(show_midi, lambda record: record.success_flag != 0)
    refused = kie_generate_midi.sync(client=client, body=MidiRequest(task_id=separation_id))
    if not isinstance(refused, TaskCreatedEnvelope):
        raise SystemExit(f"an answer that is no envelope: {refused}")
    result = {
        "separation": separation.success_flag,
        "stems": [stem.stem_type_group_name for stem in given(separation.response, "the stems").origin_data],
        "midi": midi.success_flag,
        "instruments": [instrument.name for instrument in given(midi.midi_data, "the notes").instruments],
        "refused": [refused.code, refused.msg],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
