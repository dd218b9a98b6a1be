// SPDX-License-Identifier: Apache-2.0
/**
 * The genesis file: what a network is made of, and the one thing that a verifier must be given by hand.
 *
 * The file is JSON; `network` is SHA-256 of its bytes as they stand. The founding validators' possession proofs cover
 * the founding digest: SHA-256 of the document's canonical JSON with each proof emptied. What peers need of one another
 * (the TLS certificates) is checked for its shape only: no receipt rests on it.
 *
 * Source: docs/protocol.md, sections 1 and 5.
 */

import * as bls from "./bls.js";
import { type Bytes, equal, fromHex, sha256, utf8 } from "./bytes.js";
import { ORGANISATION_BYTES_MAX, type Validator, VALIDATORS_MAX } from "./checkpoint.js";
import { invalidGenesis, LedgerError } from "./errors.js";
import { TrustAnchor } from "./light_client.js";
import { type Observer, run, short, step, type Work } from "./steps.js";
import { canonical, type Json, type JsonObject, parse } from "./strict_json.js";

export const FORMAT = "zhixin-genesis/1";
/** 64 validators with certificates take 200 KB; the rest is for first organisations and keys. */
export const GENESIS_BYTES_MAX = 4 * 1024 * 1024;

const DEPTH_MAX = 16;
const NAME_BYTES_MAX = 128;
const ADDRESS_CHARACTERS_MAX = 255;
const CERTIFICATE_CHARACTERS_MAX = 8192;
const PORT_MAX = 65535;
const FIELDS = ["format", "name", "time_ms", "validators", "sections"];
const VALIDATOR_FIELDS = ["organisation", "bls_key", "possession", "tls_certificate", "address"];
const PLACE = { part: "genesis", index: 0 } as const;

const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/;
const ADDRESS = /^[^ \t\n\r\f\v]+:([1-9][0-9]{0,4})$/;
const CERTIFICATES = /-----BEGIN (?:X509 )?CERTIFICATE-----/g;

/** A genesis file, read and checked. */
export interface Genesis {
  /** SHA-256 of the file's bytes. */
  readonly network: Bytes;
  readonly name: string;
  /** When the network starts, in milliseconds since 1970, UTC. */
  readonly timeMs: number;
  /** The set of the first epoch, in bitmap order. */
  readonly validators: readonly Validator[];
  /** What a verifier believes who knows only this file. */
  readonly anchor: TrustAnchor;
}

export interface GenesisOptions {
  /**
   * The network's id, if it is known from elsewhere: 32 bytes. Another file is refused, and the possession proofs of
   * this very file are taken as checked by whoever gave the id.
   */
  readonly network?: Bytes;
  readonly onStep?: Observer;
}

interface Founder extends Validator {
  readonly possession: Bytes;
  readonly certificate: string;
  readonly address: string;
}

/**
 * Read a genesis file and verify its possession proofs.
 *
 * @param raw - The file's bytes, as they stand.
 * @throws LedgerError - `genesis.invalid`: no network can start from it, or it is not that of the network asked for.
 */
export const loadGenesis = (raw: Bytes, options: GenesisOptions = {}): Genesis =>
  run(genesisSteps(raw, options.network), options.onStep);

/** The same as a computation that can pause. */
export function* genesisSteps(raw: Bytes, known?: Bytes): Work<Genesis> {
  const network = sha256(raw);
  if (known !== undefined) {
    yield* step("network", PLACE, { found: short(network), expected: short(known) }, () => {
      if (!equal(network, known)) throw invalidGenesis("the genesis file is of another network than the one asked for");
    });
  }
  const { document, founders, name, timeMs } = yield* step("genesis", PLACE, { bytes: raw.length }, () => read(raw));
  if (known === undefined) {
    yield* step("possession", PLACE, { validators: founders.length }, () => verifyPossessions(document, founders));
  }
  const validators = founders.map(({ blsKey, organisation }) => ({ blsKey, organisation }));
  const start = { validators: { epoch: 1n, validators }, closing: null, timeMs };
  return { network, name, timeMs: Number(timeMs), validators, anchor: new TrustAnchor(network, [start]) };
}

function read(raw: Bytes): { document: JsonObject; founders: Founder[]; name: string; timeMs: bigint } {
  let document: Json;
  try {
    document = parse(raw, GENESIS_BYTES_MAX, DEPTH_MAX);
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error;
    throw invalidGenesis(`the genesis file is ${error.reason}; get it anew from the network's operators`);
  }
  const members = objectOf(document, "the genesis file");
  if (members.get("format") !== FORMAT) throw invalidGenesis(`format: expected "${FORMAT}"`);
  checkFields(members, FIELDS, "the genesis file");
  const name = textOf(members.get("name"), "name");
  if (!isBetween(utf8(name).length, NAME_BYTES_MAX) || CONTROLS.test(name)) {
    throw invalidGenesis(`name: write 1 to ${NAME_BYTES_MAX} bytes of printable text`);
  }
  const timeMs = members.get("time_ms");
  if (typeof timeMs !== "bigint" || timeMs <= 0n || timeMs > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw invalidGenesis("time_ms: write the start of the network in milliseconds since 1970, UTC");
  }
  const sections = objectOf(members.get("sections"), "sections");
  for (const [module, section] of sections) objectOf(section, `sections.${module}`);
  const listed = members.get("validators");
  if (!Array.isArray(listed) || !isBetween(listed.length, VALIDATORS_MAX)) {
    throw invalidGenesis(`validators: list 1 to ${VALIDATORS_MAX}`);
  }
  const founders = listed.map((item, i) => founderOf(objectOf(item, `validators[${i}]`), `validators[${i}]`));
  checkDistinct("bls_key", founders.map(({ blsKey }) => String(blsKey)));
  checkDistinct("tls_certificate", founders.map(({ certificate }) => certificate));
  checkDistinct("address", founders.map(({ address }) => address));
  return { document: members, founders, name, timeMs };
}

function* verifyPossessions(document: JsonObject, founders: readonly Founder[]): Work<void> {
  const listed = document.get("validators") as JsonObject[];
  const emptied = listed.map((validator) => new Map(validator).set("possession", ""));
  const digest = sha256(canonical(new Map(document).set("validators", emptied)));
  const claims = founders.map(({ blsKey, organisation, possession }) => ({
    publicKey: blsKey,
    message: bls.possessionMessage(digest, organisation, blsKey),
    signature: possession,
  }));
  let wrong: number | null;
  try {
    wrong = yield* bls.findFalsePossession(claims);
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error;
    throw invalidGenesis(`a possession proof: ${error.reason}`);
  }
  if (wrong !== null) throw invalidGenesis(`validators[${wrong}].possession: the BLS signature does not verify`);
}

/** One validator. */
function founderOf(validator: JsonObject, where: string): Founder {
  checkFields(validator, VALIDATOR_FIELDS, where);
  const organisation = textOf(validator.get("organisation"), `${where}.organisation`);
  if (!isBetween(utf8(organisation).length, ORGANISATION_BYTES_MAX) || CONTROLS.test(organisation)) {
    throw invalidGenesis(`${where}.organisation: write an id of 1 to ${ORGANISATION_BYTES_MAX} bytes`);
  }
  const blsKey = hexOf(validator.get("bls_key"), bls.PUBLIC_KEY_BYTES, `${where}.bls_key`);
  try {
    bls.validateKey(blsKey);
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error;
    throw invalidGenesis(`${where}.bls_key: ${error.reason}`);
  }
  const possession = hexOf(validator.get("possession"), bls.SIGNATURE_BYTES, `${where}.possession`);
  const address = textOf(validator.get("address"), `${where}.address`);
  const port = ADDRESS.exec(address)?.[1];
  if (port === undefined || Number(port) > PORT_MAX || lengthOf(address) > ADDRESS_CHARACTERS_MAX) {
    throw invalidGenesis(`${where}.address: write host:port`);
  }
  const certificate = textOf(validator.get("tls_certificate"), `${where}.tls_certificate`);
  if (lengthOf(certificate) > CERTIFICATE_CHARACTERS_MAX || certificate.match(CERTIFICATES)?.length !== 1) {
    throw invalidGenesis(`${where}.tls_certificate: paste one certificate in PEM`);
  }
  return { organisation, blsKey, possession, certificate, address };
}

/** Check that these fields stand there and no others. */
function checkFields(value: JsonObject, fields: readonly string[], where: string): void {
  const missing = fields.filter((field) => !value.has(field));
  if (missing.length > 0) throw invalidGenesis(`${where} lacks ${missing.join(", ")}`);
  if (value.size > fields.length) throw invalidGenesis(`${where} must have ${fields.join(", ")} alone`);
}

/** Check that no two validators have the same value. */
function checkDistinct(field: string, values: readonly string[]): void {
  values.forEach((value, i) => {
    const first = values.indexOf(value);
    if (first === i) return;
    throw invalidGenesis(`validators[${i}].${field} is that of validators[${first}]; each has its own`);
  });
}

const isBetween = (size: number, largest: number): boolean => size > 0 && size <= largest;

/** In characters, not in the halves that JavaScript counts. */
const lengthOf = (text: string): number => Array.from(text).length;

function textOf(value: Json | undefined, where: string): string {
  if (typeof value !== "string") throw invalidGenesis(`${where}: write a text`);
  return value;
}

function objectOf(value: Json | undefined, where: string): JsonObject {
  if (!(value instanceof Map)) throw invalidGenesis(`${where}: write an object, in braces`);
  return value;
}

function hexOf(value: Json | undefined, size: number, where: string): Bytes {
  const data = fromHex(textOf(value, where));
  if (data?.length !== size) throw invalidGenesis(`${where}: write ${2 * size} lower-case hexadecimal digits`);
  return data;
}
