// Two requests with the vendor's own client, of a service that takes one; prints the second one's error class.

import musicgpt from "musicgpt";

const [baseUrl, key, audio_url] = process.argv.slice(2);
const client = new musicgpt.MusicGPTClient(key, "ERROR");
client.base_url = `${baseUrl}/api/public/v1`;
await client.extract_key_bpm({ audio_url });
try {
  await client.extract_key_bpm({ audio_url });
} catch (error) {
  console.log(error instanceof musicgpt.MusicGPTRateLimitError, error.message);
}
