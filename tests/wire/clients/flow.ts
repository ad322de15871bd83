// Both dialects' flows with the generated TypeScript client; the base address and the key are the arguments, the song is made here.
// Prints what came out as one line of JSON.

import { client } from "./generated/client.gen.js";
import {
  deleteTask,
  kieGenerateMidi,
  kieGenerateSeparation,
  kieShowMidi,
  kieShowSeparation,
  kieUploadStream,
  listTasks,
  showTask,
  transcribe,
} from "./generated/index.js";

declare const process: { argv: string[] };

const [baseUrl, token] = process.argv.slice(2) as [string, string];
const callBackUrl = `${baseUrl}/nobody-listens`;

/** One second of a 440 Hz tone as 16-bit WAV. */
function song(): Blob {
  const rate = 44_100;
  const view = new DataView(new ArrayBuffer(44 + 2 * rate));
  const text = (at: number, value: string) => [...value].forEach((char, i) => view.setUint8(at + i, char.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * rate, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * rate, true);
  for (let i = 0; i < rate; i++) view.setInt16(44 + 2 * i, 16_000 * Math.sin((2 * Math.PI * 440 * i) / rate), true);
  return new Blob([view.buffer], { type: "audio/wav" });
}

/** The value, which the service must have given. */
function given<T>(value: T | null | undefined, what: string): T {
  if (value === null || value === undefined) throw new Error(`${what} is missing`);
  return value;
}

async function until<T>(ask: () => Promise<T>, done: (answer: T) => boolean): Promise<T> {
  for (let i = 0; i < 300; i++) {
    const answer = await ask();
    if (done(answer)) return answer;
    await new Promise<void>((resume) => setTimeout(resume, 50));
  }
  throw new Error("the task did not end in time");
}

client.setConfig({ baseUrl, auth: () => token, throwOnError: true });

const file = new File([song()], "song.wav");
const uploaded = given((await kieUploadStream({ body: { file, uploadPath: "songs" }, throwOnError: true })).data.data, "the upload");

const asked = await kieGenerateSeparation({
  body: { taskId: uploaded.taskId, audioId: uploaded.audioId, type: "split_stem", callBackUrl },
  headers: { "Idempotency-Key": crypto.randomUUID() },
  throwOnError: true,
});
const separationId = given(asked.data.data, "the separation").taskId;
const separation = await until(
  async () => given((await kieShowSeparation({ query: { taskId: separationId }, throwOnError: true })).data.data, "the record"),
  (record) => record.successFlag !== "PENDING",
);

const wanted = await kieGenerateMidi({ body: { taskId: separationId, callBackUrl }, throwOnError: true });
const midiId = given(wanted.data.data, "the transcription").taskId;
const midi = await until(
  async () => given((await kieShowMidi({ query: { taskId: midiId }, throwOnError: true })).data.data, "the record"),
  (record) => record.successFlag !== 0,
);

const refused = await kieGenerateMidi({ body: { taskId: midiId, callBackUrl }, throwOnError: true });
const kie = {
  separation: separation.successFlag,
  stems: given(separation.response, "the stems").originData.map((stem) => stem.stem_type_group_name),
  midi: midi.successFlag,
  instruments: given(midi.midiData, "the notes").instruments.map((instrument) => instrument.name),
  refused: [refused.data.code, refused.data.msg],
};

// Of an operation that takes both a form and JSON, this generator knows the JSON alone.
const asWanted = { url: uploaded.downloadUrl, stems: ["bass"], instruments: ["drums"] };
const accepted = (await transcribe({ body: asWanted, throwOnError: true })).data;
const path = { task_id: accepted.id };
const task = await until(
  async () => (await showTask({ path, throwOnError: true })).data,
  (shown) => shown.status !== "queued" && shown.status !== "running",
);
const result = given(task.result, "the result");
const listed = (await listTasks({ query: { kind: "transcription", limit: 1 }, throwOnError: true })).data;
const deleted = await deleteTask({ path, throwOnError: true });
const gone = await showTask({ path, throwOnError: false });
const native = {
  status: task.status,
  stems: result.stems.map((stem) => stem.name),
  instruments: result.instruments.map((instrument) => instrument.name),
  has_midi: "song.mid" in result.files,
  listed: listed.tasks.map((summary) => summary.id === accepted.id),
  deleted: deleted.response.status,
  gone: given(gone.error, "the refusal").code,
};
console.log(JSON.stringify({ kie, native }));
