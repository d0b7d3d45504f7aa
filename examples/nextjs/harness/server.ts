// Serves the route handlers without Next.js, for the tests.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import * as welcome from "../app/api/jobs/welcome/route";
import * as signup from "../app/api/signup/route";

const routes: Record<string, { POST(request: Request): Promise<Response> }> = {
  "/api/jobs/welcome": welcome,
  "/api/signup": signup,
};

const server = createServer(async (incoming, outgoing) => {
  try {
    const route = routes[incoming.url ?? ""];
    if (!route || incoming.method !== "POST") {
      outgoing.writeHead(route ? 405 : 404).end();
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const headers = Object.entries(incoming.headers).map(([name, value]): [string, string] => [name, String(value)]);
    const url = `http://${incoming.headers.host}${incoming.url}`;
    const response = await route.POST(new Request(url, { method: "POST", headers, body: Buffer.concat(chunks) }));
    outgoing.writeHead(response.status, Object.fromEntries(response.headers)).end(Buffer.from(await response.arrayBuffer()));
  } catch (error) {
    console.error(error);
    outgoing.writeHead(500).end();
  }
});

server.listen(0, "127.0.0.1", () => console.log(`Listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`));
