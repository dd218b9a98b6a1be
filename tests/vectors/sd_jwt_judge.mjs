// SPDX-License-Identifier: Apache-2.0
// Reads one JSON request from standard input and answers with @sd-jwt/sd-jwt-vc, an implementation that is not ours.
import { createHash, createPrivateKey, createPublicKey, randomBytes, sign, verify } from "node:crypto";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const { SDJwtVcInstance } = createRequire(process.argv[2])("@sd-jwt/sd-jwt-vc");
const request = JSON.parse(readFileSync(0, "utf8"));
const ieee = { dsaEncoding: "ieee-p1363" };

function signer(jwk) {
  const key = createPrivateKey({ key: jwk, format: "jwk" });
  return async (data) => sign("sha256", Buffer.from(data), { key, ...ieee }).toString("base64url");
}

function verifier(jwk) {
  const key = createPublicKey({ key: jwk, format: "jwk" });
  return async (data, signature) =>
    verify("sha256", Buffer.from(data), { key, ...ieee }, Buffer.from(signature, "base64url"));
}

const instance = new SDJwtVcInstance({
  signAlg: "ES256",
  kbSignAlg: "ES256",
  hashAlg: "sha-256",
  hasher: (data, algorithm) => createHash(algorithm.replace("-", "")).update(data).digest(),
  saltGenerator: (length) => randomBytes(length).toString("base64url"),
  signer: request.issuer && request.issuer.d ? signer(request.issuer) : undefined,
  verifier: request.issuer ? verifier(request.issuer) : undefined,
  kbSigner: request.holder && request.holder.d ? signer(request.holder) : undefined,
  kbVerifier: async (data, signature, payload) => verifier(payload.cnf.jwk)(data, signature),
  statusListFetcher: async (uri) => request.lists[uri],
  statusVerifier: request.issuer ? verifier(request.issuer) : undefined,
});

const acts = {
  async issue() {
    return instance.issue(request.claims, request.frame, { header: request.header });
  },
  async present() {
    return instance.present(request.token, request.shown, { kb: { payload: request.binding } });
  },
  async verify() {
    const options = { currentDate: request.now };
    if (request.nonce) {
      options.keyBindingNonce = request.nonce;
    }
    const { payload, kb } = await instance.verify(request.token, options);
    return { payload, kb: kb && kb.payload };
  },
};

try {
  console.log(JSON.stringify({ answer: await acts[request.act]() }));
} catch (error) {
  console.log(JSON.stringify({ error: String(error.message) }));
}
