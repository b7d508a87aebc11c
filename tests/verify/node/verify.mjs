import { createRemoteJWKSet, jwtVerify } from "jose"; // npm install jose

const issuer = process.env.OSTIARY_LOGIN; // https://login.example.com
const audience = process.env.OSTIARY_APP; // https://grafana.example.com, this app as people open it
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/ostiary/jwks.json`));

/** Who is calling, from the header X-Ostiary-Assertion. Rejects when it proves nothing. */
export async function caller(assertion) {
  const rules = { issuer, audience, typ: "ostiary+jwt", algorithms: ["ES256"], clockTolerance: 30 };
  return (await jwtVerify(assertion, keys, rules)).payload;
}
