// SPDX-License-Identifier: Apache-2.0
// A wallet that is not ours, @openid4vc/openid4vci: takes an offer and its digits, answers with the credentials.
import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [, , modules] = process.argv;
const load = (name) => import(pathToFileURL(`${modules}/@openid4vc/${name}/dist/index.mjs`).href);
const { Openid4vciClient, setGlobalConfig } = await load("openid4vci");
const { clientAuthenticationAnonymous } = await load("oauth2");
const request = JSON.parse(readFileSync(0, "utf8"));
setGlobalConfig({ allowInsecureUrls: true }); // the issuer under test listens on this machine alone

const keys = new Map();
function newKey() {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const jwk = publicKey.export({ format: "jwk" });
  keys.set(jwk.x, privateKey);
  return jwk;
}

const client = new Openid4vciClient({
  callbacks: {
    hash: (data, algorithm) => createHash(algorithm.replace("-", "")).update(data).digest(),
    generateRandom: (size) => randomBytes(size),
    clientAuthentication: clientAuthenticationAnonymous(),
    signJwt: (signer, { header, payload }) => {
      const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
      const signed = `${part(header)}.${part(payload)}`;
      const key = keys.get(signer.publicJwk.x);
      const signature = sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" });
      return { jwt: `${signed}.${signature.toString("base64url")}`, signerJwk: signer.publicJwk };
    },
  },
});

try {
  const credentialOffer = await client.resolveCredentialOffer(request.offer);
  const issuerMetadata = await client.resolveIssuerMetadata(credentialOffer.credential_issuer);
  const { accessTokenResponse } = await client.retrievePreAuthorizedCodeAccessTokenFromOffer({
    credentialOffer,
    issuerMetadata,
    txCode: request.tx_code,
  });
  const { c_nonce: nonce } = await client.requestNonce({ issuerMetadata });
  const [credentialConfigurationId] = credentialOffer.credential_configuration_ids;
  const proofs = [];
  for (let i = 0; i < request.count; i += 1) {
    const { jwt } = await client.createCredentialRequestJwtProof({
      issuerMetadata,
      credentialConfigurationId,
      nonce,
      issuedAt: new Date(request.now * 1000),
      signer: { method: "jwk", alg: "ES256", publicJwk: newKey() },
    });
    proofs.push(jwt);
  }
  const { credentialResponse } = await client.retrieveCredentials({
    issuerMetadata,
    credentialConfigurationId,
    accessToken: accessTokenResponse.access_token,
    proofs: { jwt: proofs },
  });
  console.log(JSON.stringify({ version: issuerMetadata.originalDraftVersion, ...credentialResponse }));
} catch (error) {
  console.log(JSON.stringify({ error: String(error.message), cause: String(error.cause ?? "") }));
}
