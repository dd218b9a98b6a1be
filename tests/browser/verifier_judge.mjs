// SPDX-License-Identifier: Apache-2.0
// A verifier that is not ours, @openid4vc/openid4vp with @sd-jwt/sd-jwt-vc: asks a wallet, opens and checks what it posts.
//
// Reads {modules, key, certificate, registration, query, issuer} as JSON; prints a line with the link, then one with the
// verdict. `key` is a private JWK, `certificate` its certificate in base64, `issuer` the public JWK of credentials.
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const told = JSON.parse(readFileSync(0, "utf8"));
const load = (name) => import(pathToFileURL(`${told.modules}/${name}/dist/index.mjs`).href);
const { Openid4vpVerifier } = await load("@openid4vc/openid4vp");
const { setGlobalConfig } = await load("@openid4vc/utils");
setGlobalConfig({ allowInsecureUrls: true }); // it listens on this machine alone
const { SDJwtVcInstance } = await load("@sd-jwt/sd-jwt-vc");
const jose = await import(pathToFileURL(`${told.modules}/jose/dist/webapi/index.js`).href);

const leaf = createPrivateKey({ key: told.key, format: "jwk" });
const response = generateKeyPairSync("ec", { namedCurve: "P-256" });
const responseJwk = { ...response.publicKey.export({ format: "jwk" }), use: "enc", alg: "ECDH-ES", kid: "response-1" };
const sha256 = (data) => createHash("sha256").update(data).digest();
const signWith = (key, data) => sign("sha256", Buffer.from(data), { key, dsaEncoding: "ieee-p1363" }).toString("base64url");
const isSigned = (jwk, data, signature) =>
  verify("sha256", Buffer.from(data), { key: createPublicKey({ key: jwk, format: "jwk" }), dsaEncoding: "ieee-p1363" }, Buffer.from(signature, "base64url"));

const callbacks = {
  hash: (data, algorithm) => createHash(algorithm.replace("-", "")).update(data).digest(),
  generateRandom: (size) => randomBytes(size),
  signJwt: (_signer, { header, payload }) => {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const signed = `${part(header)}.${part(payload)}`;
    return { jwt: `${signed}.${signWith(leaf, signed)}`, signerJwk: createPublicKey(leaf).export({ format: "jwk" }) };
  },
  decryptJwe: async (jwe) => {
    const { plaintext } = await jose.compactDecrypt(jwe, response.privateKey);
    return { decrypted: true, decryptionJwk: responseJwk, payload: new TextDecoder().decode(plaintext) };
  },
  verifyJwt: () => ({ verified: false }),
};
const verifier = new Openid4vpVerifier({ callbacks });
const nonce = randomBytes(16).toString("base64url");
const clientId = `x509_hash:${sha256(Buffer.from(told.certificate, "base64")).toString("base64url")}`;
let asked;

async function ask(origin) {
  asked = await verifier.createOpenId4vpAuthorizationRequest({
    authorizationRequestPayload: {
      client_id: clientId,
      response_type: "vp_token",
      response_mode: "direct_post.jwt",
      response_uri: `${origin}/response`,
      nonce,
      state: "state-1",
      dcql_query: told.query,
      client_metadata: {
        jwks: { keys: [responseJwk] },
        encrypted_response_enc_values_supported: ["A128GCM"],
        vp_formats_supported: { "dc+sd-jwt": { "sd-jwt_alg_values": ["ES256"], "kb-jwt_alg_values": ["ES256"] } },
      },
      verifier_info: [{ format: "zhixin-registration", data: told.registration }],
    },
    jar: {
      requestUri: `${origin}/request`,
      jwtSigner: { method: "x5c", x5c: [told.certificate], alg: "ES256" },
      expiresInSeconds: 300,
      additionalJwtPayload: { aud: "https://self-issued.me/v2" },
    },
  });
  return asked.authorizationRequest;
}

/** What a presentation discloses, once its issuer's and its holder's signatures are checked. */
async function opened(presentation) {
  const instance = new SDJwtVcInstance({
    hasher: (data, algorithm) => createHash(algorithm.replace("-", "")).update(data).digest(),
    hashAlg: "sha-256",
    verifier: (data, signature) => isSigned(told.issuer, data, signature),
    kbVerifier: (data, signature, payload) => isSigned(payload.cnf.jwk, data, signature),
    statusListFetcher: async (uri) => (await fetch(uri)).text(),
  });
  const { payload, kb } = await instance.verify(presentation, { keyBindingNonce: nonce });
  if (kb.payload.aud !== clientId) throw new Error("the key binding is for somebody else");
  return { family_name: payload.family_name, age_over_18: payload.age_over_18, names: Object.keys(payload).sort() };
}

async function judge(body) {
  const parsed = await verifier.parseOpenid4vpAuthorizationResponse({
    authorizationResponse: Object.fromEntries(new URLSearchParams(body)),
    authorizationRequestPayload: asked.authorizationRequestPayload,
    callbacks,
  });
  const { presentations } = parsed.dcql;
  const shown = Object.values(presentations).flat();
  return { encrypted: parsed.jarm !== undefined, state: parsed.authorizationResponsePayload.state, claims: await opened(String(shown[0])) };
}

const server = createServer((request, answer) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", async () => {
    answer.setHeader("access-control-allow-origin", "*");
    if (request.url === "/request") {
      answer.setHeader("content-type", "application/oauth-authz-req+jwt");
      answer.end(asked.jar.authorizationRequestJwt);
      return;
    }
    let verdict;
    try {
      verdict = await judge(Buffer.concat(parts).toString());
    } catch (error) {
      verdict = { error: String(error.stack ?? error).slice(0, 2000) };
    }
    answer.setHeader("content-type", "application/json");
    answer.end("{}");
    console.log(JSON.stringify(verdict));
    server.close();
  });
});
server.listen(0, "127.0.0.1", async () => {
  try {
    console.log(JSON.stringify({ link: await ask(`http://localhost:${server.address().port}`) }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.stack ?? error).slice(0, 2000) }));
    server.close();
  }
});
setTimeout(() => process.exit(1), 60_000).unref();
