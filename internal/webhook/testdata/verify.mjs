// Checks requests, read as JSON lines of {secret, raw, headers, body}, with the reference library; prints ok or what is
// wrong, a line for each.
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, raw, headers, body } = JSON.parse(line);
  try {
    new Webhook(secret, raw ? { format: "raw" } : undefined).verify(body, headers);
    console.log("ok");
  } catch (e) {
    console.log(e.message);
  }
}
