// Charges a merchant for one request that was served: node charge.mjs REQUEST. Needs Node 18 or newer, and no package.
// It is for servers: a page must never have a service's key.
const ATTEMPTS = 6;
const TIMEOUT_MS = 10_000;
// 0 stands for no whole answer. Each may have been charged or not, so each is asked again, under the same key.
const AGAIN = [0, 408, 429, 500, 502, 503, 504];

export class NotCharged extends Error {}

async function send(url, key, body) {
  const headers = { "x-api-key": key, "content-type": "application/json" };
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const answer = await fetch(`${url}/api/charges`, { method: "POST", headers, body, signal });
    const waitSeconds = Number(answer.headers.get("retry-after")) || 0;
    return { status: answer.status, waitSeconds, envelope: await answer.json() };
  } catch (error) {
    return { status: 0, waitSeconds: 0, envelope: { errorMessage: error.message } };
  }
}

// Returns what was charged; amounts stay strings, which a Number would round. One that you send is a string, too.
export async function charge(url, key, fields) {
  const body = JSON.stringify(fields);
  for (let attempt = 1; ; attempt += 1) {
    const { status, waitSeconds, envelope } = await send(url, key, body);
    if (status >= 200 && status <= 299) return envelope.data;
    if (status === 402) throw new NotCharged(envelope.errorMessage);
    if (!AGAIN.includes(status) || attempt === ATTEMPTS)
      throw new Error(`Farebox answered ${status}: ${envelope.errorMessage}`);
    const seconds = Math.max(waitSeconds, Math.random() * 0.2 * 2 ** attempt);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}

const url = process.env.FAREBOX_URL ?? "http://127.0.0.1:8000";
// The id of your request is the idempotency key: however often it is sent, the request is charged once.
const fields = { merchant: process.env.FAREBOX_MERCHANT, type: "image", quantity: 1, idempotencyKey: process.argv[2] };
try {
  const { cost, available } = await charge(url, process.env.FAREBOX_API_KEY, fields);
  console.log(`Charged ${cost}, ${available} left.`);
} catch (error) {
  if (!(error instanceof NotCharged)) throw error;
  console.log(`Not charged: ${error.message}`);
  process.exitCode = 3;
}
