// Reads the balance and says whether it is low. Needs Node 18 or newer; a page imports `readBalance` and gives it a key.
const THRESHOLD = "100";

export async function readBalance(url, key) {
  const answer = await fetch(`${url}/api/balance`, { headers: { "x-api-key": key } });
  const envelope = await answer.json();
  if (!answer.ok) throw new Error(`Farebox answered ${answer.status}: ${envelope.errorMessage}`);
  return envelope.data.replaceAll(",", "");
}

// A Number would round: millionths as a BigInt are exact.
export function micros(amount) {
  const [whole, fraction = ""] = amount.split(".");
  return BigInt(whole + fraction.padEnd(6, "0"));
}

if (globalThis.process) {
  const url = process.env.FAREBOX_URL ?? "http://127.0.0.1:8000";
  const balance = await readBalance(url, process.env.FAREBOX_API_KEY);
  console.log(`Balance: ${balance}`);
  if (micros(balance) < micros(THRESHOLD)) console.log(`Below ${THRESHOLD}: top up.`);
}
