// Calls the helpers of the Next.js example, compiled in the folder given: POST /start with ["welcome", {"user": 1}].
const { createServer } = require("node:http");
const { join } = require("node:path");

const folder = process.argv[2];
const { transaction } = require(join(folder, "db.js"));
const helpers = require(join(folder, "tidemill.js"));

const server = createServer(async (request, response) => {
  try {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const args = JSON.parse(Buffer.concat(chunks));
    const options = args[2];
    if (options?.inSeconds) options.at = new Date(Date.now() + 1000 * options.inSeconds);
    const helper = helpers[request.url.slice(1)];
    response.end(JSON.stringify(await transaction((client) => helper(client, ...args))));
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
});
server.listen(0, "127.0.0.1", () => console.log(`Listening on http://127.0.0.1:${server.address().port}`));
