"""The bodies of callbacks in the Kie dialect: one shape for each kind of task, or one for all kinds."""

import msgspec

from service.db.models import TaskKind
from service.kie.jobs import job_callback
from service.kie.midi import midi_callback
from service.kie.separation import separation_callback
from service.kie.wav import wav_callback
from service.links import Links
from service.store.records import TaskRecord

_OF_KIND = {TaskKind.SEPARATION: separation_callback, TaskKind.MIDI: midi_callback, TaskKind.WAV: wav_callback}


def generate_callback(record: TaskRecord, links: Links) -> bytes:
    """The JSON body owed by a task that one of the ``generate`` routes made."""
    return msgspec.json.encode(_OF_KIND[TaskKind(record.task.kind)](record, links))


def jobs_callback(record: TaskRecord, links: Links) -> bytes:
    """The JSON body owed by a task that ``jobs/createTask`` made."""
    return msgspec.json.encode(job_callback(record, links))
