// The shop (see __init__.py) on Node's own HTTP server: node server.js PORT GOODS.json
"use strict";
const fs = require("node:fs");
const http = require("node:http");

const goods = JSON.parse(fs.readFileSync(process.argv[3], "utf8"));
const tag = '"the-only-version"';
const files = new Map();

function shop(request, response, body) {
  const [, , what, name] = request.url.split("?")[0].split("/");
  const given = request.headers;
  const say = (status, fields, content = "") => {
    const framing = status === 204 || status === 304 ? [] : ["Content-Type", "text/plain"];
    if (framing.length) framing.push("Content-Length", Buffer.byteLength(content));
    response.writeHead(status, [...fields, ...framing]);
    response.end(content);
  };
  switch (what) {
    case "echo": {
      const told = [
        ["X-Method", request.method],
        ["X-Target", request.url],
        ["X-Host", given.host],
        ["X-User", given["x-user-id"]],
        ["X-Token", given.authorization],
        ["X-Long", given["x-long"]],
        ["X-Framing", given["transfer-encoding"] ?? given["content-length"]],
      ];
      return say(200, told.filter(([, value]) => value !== undefined).flat(), body);
    }
    case "empty":
      return say(204, []);
    case "page":
      return given["if-none-match"] === tag ? say(304, ["ETag", tag]) : say(200, ["ETag", tag], goods.page);
    case "moved":
      return say(302, ["Location", goods.location], "over there\n");
    case "moved-here":
      return say(308, ["Location", "page?again=1"]);
    case "cookies":
      return say(200, goods.cookies.flatMap((cookie) => ["Set-Cookie", cookie]), "cookies\n");
    case "lines":
      response.writeHead(200, ["Content-Type", "text/plain"]);
      for (const line of goods.lines) response.write(line);
      return response.end();
    case "broken":
      return say(503, ["Retry-After", "7"], "out of order\n");
    case "files":
      if (request.method === "PUT") {
        const status = files.has(name) ? 204 : 201;
        files.set(name, body);
        return say(status, []);
      }
      if (request.method === "DELETE" && files.delete(name)) return say(204, []);
      if (files.has(name)) return say(200, [], files.get(name));
  }
  return say(404, [], "no such thing\n");
}

http
  .createServer({ maxHeaderSize: 65536 }, (request, response) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => shop(request, response, Buffer.concat(pieces)));
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
