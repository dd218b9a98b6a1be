// SPDX-License-Identifier: Apache-2.0
// A wallet that is not ours (@openid4vc/openid4vp, dcql, @sd-jwt/sd-jwt-vc): takes a link, shows what is asked for.
import { createCipheriv, createHash, createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync } from "node:crypto";
import { randomBytes, sign, verify, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [, , modules] = process.argv;
const load = (path) => import(pathToFileURL(`${modules}/${path}`).href);
const { Openid4vpClient, Openid4vpVerifier } = await load("@openid4vc/openid4vp/dist/index.mjs");
const { setGlobalConfig } = await load("@openid4vc/oauth2/dist/index.mjs");
const { DcqlQuery } = await load("dcql/dist/index.mjs");
const { SDJwtVcInstance } = await load("@sd-jwt/sd-jwt-vc/dist/index.mjs");
const asked = JSON.parse(readFileSync(0, "utf8"));
setGlobalConfig({ allowInsecureUrls: true }); // the verifier under test listens on this machine alone

const key = createPrivateKey({ key: asked.key, format: "jwk" });
const base64url = (value) => Buffer.from(value).toString("base64url");
const length = (number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(number);
  return bytes;
};

// ECDH-ES, by RFC 7518: the agreed key goes through one round of the concatenation KDF.
function encrypt(jwk, text, enc) {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { kty, crv, x, y } = publicKey.export({ format: "jwk" });
  const header = base64url(JSON.stringify({ alg: "ECDH-ES", enc, kid: jwk.kid, epk: { kty, crv, x, y } }));
  const bits = enc === "A128GCM" ? 128 : 256;
  const shared = diffieHellman({ privateKey, publicKey: createPublicKey({ key: jwk, format: "jwk" }) });
  const other = [length(enc.length), Buffer.from(enc), length(0), length(0), length(bits)];
  const derived = createHash("sha256").update(Buffer.concat([length(1), shared, ...other])).digest();
  const nonce = randomBytes(12);
  const cipher = createCipheriv(`aes-${bits}-gcm`, derived.subarray(0, bits / 8), nonce);
  cipher.setAAD(Buffer.from(header));
  const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
  return [header, "", base64url(nonce), base64url(sealed), base64url(cipher.getAuthTag())].join(".");
}

const client = new Openid4vpClient({
  callbacks: {
    hash: (data, algorithm) => createHash(algorithm.replace("-", "")).update(data).digest(),
    verifyJwt: (signer, { compact }) => {
      const certificate = new X509Certificate(Buffer.from(signer.x5c[0], "base64"));
      const signed = compact.slice(0, compact.lastIndexOf("."));
      const signature = Buffer.from(compact.slice(compact.lastIndexOf(".") + 1), "base64url");
      const verified = verify("sha256", Buffer.from(signed), { key: certificate.publicKey, dsaEncoding: "ieee-p1363" }, signature);
      return { verified, signerJwk: certificate.publicKey.export({ format: "jwk" }) };
    },
    encryptJwe: (encryptor, data) => ({
      encryptionJwk: encryptor.publicJwk,
      jwe: encrypt(encryptor.publicJwk, data, encryptor.enc),
    }),
    signJwt: () => {
      throw new Error("responses are not signed");
    },
    getX509CertificateMetadata: () => ({ sanDnsNames: [], sanUriNames: [] }),
  },
});

try {
  const parsed = client.parseOpenid4vpAuthorizationRequest({ authorizationRequest: asked.link });
  const resolved = await client.resolveOpenId4vpAuthorizationRequest({ authorizationRequestPayload: parsed.params });
  const payload = resolved.authorizationRequestPayload;
  const query = DcqlQuery.parse(resolved.dcql.query);
  DcqlQuery.validate(query);

  const holder = new SDJwtVcInstance({
    hasher: (data, algorithm) => new Uint8Array(createHash(algorithm.replace("-", "")).update(data).digest()),
    hashAlg: "sha-256",
    saltGenerator: (size) => randomBytes(size).toString("hex"),
    kbSigner: (data) => base64url(sign("sha256", Buffer.from(data), { key, dsaEncoding: "ieee-p1363" })),
    kbSignAlg: "ES256",
  });
  const claims = await holder.getClaims(asked.credential);
  const found = DcqlQuery.query(query, [
    { credential_format: "dc+sd-jwt", vct: claims.vct, claims, cryptographic_holder_binding: true },
  ]);
  if (!found.can_be_satisfied) throw new Error("dcql: the credential does not answer the query");

  const frame = {};
  for (const claim of query.credentials[0].claims ?? []) {
    let place = frame;
    claim.path.forEach((step, i) => {
      place[step] = i === claim.path.length - 1 ? true : (place[step] ?? {});
      place = place[step];
    });
  }
  const sha256 = (data) => createHash("sha256").update(data).digest();
  const hashes = (payload.transaction_data ?? []).map((one) => base64url(sha256(one)));
  const confirmed = hashes.length ? { transaction_data_hashes: hashes, transaction_data_hashes_alg: "sha-256" } : {};
  const kb = { payload: { iat: asked.now, aud: payload.client_id, nonce: payload.nonce, ...confirmed } };
  const token = await holder.present(asked.credential, frame, { kb });
  const judge = new Openid4vpVerifier({ callbacks: { hash: (data) => sha256(data) } });
  const transactions = hashes.length
    ? await judge.verifyTransactionData({
        transactionData: payload.transaction_data,
        credentials: { [query.credentials[0].id]: [confirmed] },
      })
    : [];
  const isEncrypted = payload.response_mode === "direct_post.jwt";
  const made = await client.createOpenid4vpAuthorizationResponse({
    authorizationRequestPayload: payload,
    authorizationResponsePayload: { vp_token: { [query.credentials[0].id]: [token] } },
    ...(isEncrypted && {
      jarm: {
        encryption: { nonce: base64url(randomBytes(16)) },
        serverMetadata: {
          authorization_signing_alg_values_supported: [],
          authorization_encryption_alg_values_supported: ["ECDH-ES"],
          authorization_encryption_enc_values_supported: [asked.enc],
        },
      },
    }),
  });
  const { response } = await client.submitOpenid4vpAuthorizationResponse({
    authorizationRequestPayload: payload,
    authorizationResponsePayload: made.authorizationResponsePayload,
    jarm: made.jarm,
  });
  console.log(
    JSON.stringify({
      version: resolved.version,
      prefix: resolved.client.prefix,
      status: response.status,
      body: await response.json(),
      ...(hashes.length && {
        shown: resolved.transactionData[0].transactionData,
        hashes: transactions.map((one) => one.presentations[0].hash),
      }),
    }),
  );
} catch (error) {
  console.log(JSON.stringify({ error: String(error.message), cause: String(error.cause ?? ""), stack: String(error.stack) }));
}
