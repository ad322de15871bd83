// Every endpoint there is with the vendor's own client; base address, key, address of a song, its local path and the
// address for webhooks are the arguments.  Prints what came out as one line of JSON.

import musicgpt from "musicgpt";

const { BitDepth, ExtractionStem, MusicGPTClient, MusicGPTConversionType: Type, SamplingRate, TargetFormat } = musicgpt;
const { MusicGPTAPIError, MusicGPTAuthError, MusicGPTNotFoundError } = musicgpt;

const [baseUrl, key, songUrl, songPath, webhookUrl] = process.argv.slice(2);

function clientWith(apiKey) {
  const client = new MusicGPTClient(apiKey, "ERROR");
  client.base_url = `${baseUrl}/api/public/v1`;
  return client;
}

const client = clientWith(key);
const audio_url = songUrl;
const webhook_url = webhookUrl;

/** What became of a task: as it was answered, and as it is shown by either id once it has ended. */
async function ended(asked, type) {
  const waited = await client.waitForCompletion(asked.task_id, type, 100, 60_000, -1);
  const byConversion = await client.getConversion(type, undefined, asked.conversion_id);
  const byBoth = await client.getConversion(type, asked.task_id, asked.conversion_id);
  const same = [byConversion, byBoth].every((shown) => JSON.stringify(shown) === JSON.stringify(waited));
  return { asked, shown: waited.conversion, same };
}

/** The name of the client's error class, and the message. */
async function refused(act) {
  try {
    await act();
  } catch (error) {
    const kinds = { MusicGPTAuthError, MusicGPTNotFoundError };
    const kind = Object.keys(kinds).find((name) => error instanceof kinds[name]);
    return [kind ?? (error instanceof MusicGPTAPIError ? "MusicGPTAPIError" : "?"), error.message];
  }
  return ["nothing", ""];
}

const toFlac = {
  target_format: TargetFormat.FLAC, target_sampling_rate: SamplingRate.RATE_22050, target_bit_depth: BitDepth.BIT_24,
};
const stems = [ExtractionStem.vocals, ExtractionStem.instrumental, ExtractionStem.drums, ExtractionStem.bass];

const made = {
  audio_to_midi: await ended(
    await client.audio_to_midi({ audio_url, sonify_midi: true, save_note_events: true, webhook_url }), Type.AUDIO_TO_MIDI,
  ),
  notes_alone: await ended(
    await client.audio_to_midi({ audio_url, sonify_midi: false, save_note_events: false }), Type.AUDIO_TO_MIDI,
  ),
  by_url: await ended(await client.file_conversion({ audio_url, ...toFlac, webhook_url }), Type.FILE_CONVERSION),
  by_path: await ended(await client.file_conversion({ audio_url: songPath, ...toFlac }), Type.FILE_CONVERSION),
  extraction: await ended(await client.extraction({ audio_url: songPath, stems, webhook_url }), Type.EXTRACTION),
  extract_key_bpm: await ended(await client.extract_key_bpm({ audio_url, webhook_url }), Type.EXTRACT_KEY_BPM),
  key_bpm_by_path: await ended(await client.extract_key_bpm({ audio_url: songPath }), Type.EXTRACT_KEY_BPM),
  audio_cutter: await ended(
    await client.audio_cutter({ audio_url, start_time: 250, end_time: 750, output_extension: TargetFormat.WAV, webhook_url }),
    Type.AUDIO_CUTTER,
  ),
  audio_speed_changer: await ended(
    await client.audio_speed_changer({ audio_url, speed_change_factor: 1.25, audio_extension: TargetFormat.OGG, webhook_url }),
    Type.AUDIO_SPEED_CHANGER,
  ),
};

const taskId = made.by_url.asked.task_id;
const errors = {
  wrong_key: await refused(() => clientWith("wrong").extract_key_bpm({ audio_url })),
  unknown: await refused(() => client.getConversion(Type.AUDIO_TO_MIDI, "0".repeat(32))),
  other_type: await refused(() => client.getConversion(Type.EXTRACTION, taskId)),
  wrong_speed: await refused(() => client.audio_speed_changer({ audio_url, speed_change_factor: 5 })),
  wrong_stem: await refused(() => client.extraction({ audio_url, stems: [ExtractionStem.male_vocal] })),
  not_offered: await refused(() => client.voice_changer({ audio_url, voice_id: "a" })),
  voices: await refused(() => client.getAllVoices()),
  music: await refused(() => client.music_ai({ prompt: "a song" })),
};
console.log(JSON.stringify({ made, errors }));
