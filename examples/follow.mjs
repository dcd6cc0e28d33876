// Follow a job until it ends: `node follow.mjs JOB`. Node.js 20 or newer; no packages.

const api = process.env.DARKROOM_URL ?? "http://127.0.0.1:8400";
const headers = process.env.DARKROOM_KEY ? { Authorization: `Bearer ${process.env.DARKROOM_KEY}` } : {};
headers["Last-Event-ID"] = "0"; // the number of the last picture; after a lost connection, the next one follows
let connected = false; // a lost connection is renewed; an address that never answered is wrong

for (;;) {
  try {
    const response = await fetch(`${api}/api/jobs/${process.argv[2]}/events`, { headers });
    const kind = response.headers.get("Content-Type") ?? "";
    if (response.status < 500 && kind.includes("problem+json")) throw new Error((await response.json()).detail);
    if (response.status < 500 && !kind.startsWith("text/event-stream")) {
      throw new Error(`${api} is not Darkroom's API: HTTP ${response.status}; check DARKROOM_URL`);
    }
    connected ||= response.ok;
    let rest = "";
    for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
      const events = (rest + text).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const fields = Object.fromEntries(event.split("\n").map((line) => line.split(/: (.*)/)));
        const data = JSON.parse(fields.data ?? "{}");
        headers["Last-Event-ID"] = fields.id ?? headers["Last-Event-ID"];
        if (fields.event === "image") console.log(`picture ${data.number}: ${new URL(data.url, api)}`);
        if (fields.event !== "end") continue;
        console.log(`${data.status}: ${data.completed_images} of ${data.total_images} pictures`);
        process.exit(data.completed_images < data.total_images ? 1 : 0);
      }
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // `fetch` throws a TypeError when the connection is lost
    if (!connected) throw new Error(`${api} cannot be reached: ${error.message}; check DARKROOM_URL`);
    console.error(`reconnecting: ${error.message}`);
  }
  await new Promise((resolve) => setTimeout(resolve, 1000));
}
