// What a service and a merchant do with the client that is generated of the OpenAPI document; each line is one outcome.
import createClient from "openapi-fetch";
import type { components, paths } from "./farebox.d.ts";

function environment(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is missing.`);
  return value;
}

function client(key: string) {
  return createClient<paths>({ baseUrl: environment("FAREBOX_URL"), headers: { "x-api-key": key } });
}

// Either the data of an answer is there, or its error.
function success<T>(answer: { data?: T | undefined; error?: { errorMessage: string } | undefined }): T {
  if (answer.data === undefined) throw new Error(answer.error?.errorMessage ?? "no answer");
  return answer.data;
}

// Where an endpoint also answers CSV or lines, those are a string; JSON is what is answered unless they are asked for.
function json<T>(told: T | string): T {
  if (typeof told === "string") throw new Error("not JSON");
  return told;
}

const merchant = environment("FAREBOX_MERCHANT");
const own = client(environment("FAREBOX_MERCHANT_KEY"));
const service = client(environment("FAREBOX_SERVICE_KEY"));
const lines: unknown[] = [];

const balance: string = success(await own.GET("/api/balance")).data;
lines.push(balance);

const account: components["schemas"]["AccountData"] = success(await own.GET("/api/account")).data;
lines.push(account.amountProbe);

const quote = success(await service.POST("/api/quotes", { body: { type: "image", merchant, quantity: 3 } })).data;
lines.push(quote.amount);

const request = { merchant, type: "image", quantity: 3, idempotencyKey: "job-1" };
const charge = success(await service.POST("/api/charges", { body: request })).data;
lines.push([charge.cost, charge.available]);

const again = await service.POST("/api/charges", { body: request });
lines.push(again.response.headers.get("idempotent-replay"));

const body = { merchant, type: "call", amount: "2.50", idempotencyKey: "job-2", ttlSeconds: 60 };
const hold = success(await service.POST("/api/holds", { body })).data;
const capture = success(
  await service.POST("/api/holds/{hold_id}/capture", {
    params: { path: { hold_id: hold.holdId } },
    body: { amount: "1.25", idempotencyKey: "job-2-done" },
  }),
).data;
lines.push([capture.captured, capture.released]);

const back = { transferId: charge.transferId, amount: "0.01", idempotencyKey: "job-1-back" };
const refund = success(await service.POST("/api/refunds", { body: back }));
// The other success waits for a second person, and has no transfer yet.
lines.push(refund.statusCode === 200 ? refund.data.amount : refund.data.approvalId);

const charges = [
  { ...request, idempotencyKey: "job-3" },
  { ...request, type: "nothing", idempotencyKey: "job-4" },
];
const batch = json(success(await service.POST("/api/charges/batch", { body: { charges } }))).data;
lines.push(batch.outcomes.map((outcome) => outcome.data?.cost ?? outcome.errorCode));

const query = { kind: "charge", limit: 10 } as const;
const transfers = json(success(await own.GET("/api/transfers", { params: { query } }))).data;
lines.push(transfers.transfers.map((transfer) => transfer.amount));

const refused = await service.POST("/api/charges", { body: { ...request, quantity: 1_000_000, idempotencyKey: "job-5" } });
lines.push([refused.error?.statusCode, refused.error?.isSuccess, refused.response.headers.get("x-error-code")]);

for (const line of lines) console.log(JSON.stringify(line));
