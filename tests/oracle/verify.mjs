// Verify bundles with @sigstore/verify and one public key: node verify.mjs KEY.pem BUNDLE...
// Prints one line a bundle: "accepted", or "rejected: REASON". No log entry or timestamp is asked for.
import { readFileSync } from "node:fs";
import { createHash, createPublicKey } from "node:crypto";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.MLBOM_ORACLE_NODE}/`);
const { bundleFromJSON } = require("@sigstore/bundle");
const { Verifier, toSignedEntity, toTrustMaterial } = require("@sigstore/verify");

const [keyPath, ...bundles] = process.argv.slice(2);
const pem = readFileSync(keyPath, "utf-8");
const hint = createHash("sha256").update(pem).digest("hex");
const der = createPublicKey(pem).export({ type: "spki", format: "der" });
const root = { mediaType: "", tlogs: [], certificateAuthorities: [], ctlogs: [], timestampAuthorities: [] };
const keys = { [hint]: { rawBytes: der, keyDetails: "PKIX_ECDSA_P256_SHA_256" } };
const options = { ctlogThreshold: 0, tlogThreshold: 0, timestampThreshold: 0 };
const verifier = new Verifier(toTrustMaterial(root, keys), options);

for (const path of bundles) {
  try {
    const bundle = bundleFromJSON(JSON.parse(readFileSync(path, "utf-8")));
    verifier.verify(toSignedEntity(bundle));
    console.log("accepted");
  } catch (error) {
    console.log(`rejected: ${error.message}`);
  }
}
