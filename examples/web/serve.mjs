// Serves this folder on this machine: `npm start`, then open the address. With the headers that threads need.
import {createReadStream} from "node:fs";
import {realpath, stat} from "node:fs/promises";
import {createServer} from "node:http";
import {extname, join, normalize} from "node:path";
import {fileURLToPath} from "node:url";

const FOLDER = fileURLToPath(new URL(".", import.meta.url));
const TYPES = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".wasm": "application/wasm", ".json": "application/json"};

const server = createServer(async (request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
  const file = join(FOLDER, path.endsWith("/") ? `${path}index.html` : path);  // normalize left no way out of the folder
  try {
    if (!(await stat(await realpath(file))).isFile()) throw new Error("no file");
    response.writeHead(200, {
      "Content-Type": TYPES[extname(file)] ?? "application/octet-stream",
      "Cross-Origin-Opener-Policy": "same-origin",
      "Cross-Origin-Embedder-Policy": "require-corp",
    });
    createReadStream(file).pipe(response);
  } catch {
    response.writeHead(404).end();
  }
});
server.listen(Number(process.env.PORT ?? 8000), "127.0.0.1", () => console.log(`http://localhost:${server.address().port}`));
