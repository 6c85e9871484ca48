// Signs and verifies with `jose`: one JSON object in, one out, so that a whole test module costs one process.
import { readFileSync } from "node:fs";
import * as jose from "jose";

const asked = JSON.parse(readFileSync(0, "utf8"));
const secret = (text) => new TextEncoder().encode(text);
const results = { verified: [], signed: [], set: [] };

for (const { alg, token, jwk, secret: text } of asked.verify) {
  const key = text ? secret(text) : await jose.importJWK(jwk, alg);
  try {
    const { payload, protectedHeader } = await jose.compactVerify(token, key, { algorithms: [alg] });
    results.verified.push({ sub: JSON.parse(new TextDecoder().decode(payload)).sub, header: protectedHeader });
  } catch (error) {
    results.verified.push({ error: error.code });
  }
}
for (const { alg, header, claims, pem, secret: text } of asked.sign) {
  const key = text ? secret(text) : await jose.importPKCS8(pem, alg);
  const payload = new TextEncoder().encode(JSON.stringify(claims));
  results.signed.push(await new jose.CompactSign(payload).setProtectedHeader(header).sign(key));
}
for (const { token, jwks } of asked.find) {
  const { protectedHeader } = await jose.compactVerify(token, jose.createLocalJWKSet(jwks));
  results.set.push(protectedHeader.kid);
}
console.log(JSON.stringify(results));
