// A Sigstore instance on the loopback for one test: certificate authority, log, timestamp
// authority and OIDC provider. The services are those of the npm package @sigstore/mock; this file
// gives them an HTTP server, translates between its dialect and what real services speak, and
// prints the ClientTrustConfig as its first line.
//
// node sigstore_mock.js FOLDER-WITH-node_modules REKOR-VERSION

const { createRequire } = require('module');
const crypto = require('crypto');
const http = require('http');
const path = require('path');

const load = createRequire(path.join(process.argv[2], 'package.json'));
const mock = load('@sigstore/mock');
const asn1 = load('asn1js');
const pkijs = load('pkijs');
const version = Number(process.argv[3] || '1');
const failing = new Set();

const newKey = () => crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
const sha256 = (data) => crypto.createHash('sha256').update(data);
const base64 = (data) => Buffer.from(data).toString('base64');
const derOf = (key) => key.publicKey.export({ format: 'der', type: 'spki' });

// The log writes down digests and signatures, never the envelope that it was shown (Rekor v1 dsse).
function canonicalDsse(proposed) {
  const { envelope, verifiers } = proposed.spec.proposedContent;
  const parsed = JSON.parse(envelope);
  const digest = (data) => ({ algorithm: 'sha256', value: sha256(data).digest('hex') });
  return {
    apiVersion: '0.0.1',
    kind: 'dsse',
    spec: {
      envelopeHash: digest(envelope),
      payloadHash: digest(Buffer.from(parsed.payload, 'base64')),
      signatures: parsed.signatures.map((s) => ({ signature: s.sig, verifier: verifiers[0] })),
    },
  };
}

// The same for the log of version 2, which knows only hashedrekord.
function canonicalHashed(request) {
  const told = request.hashedRekordRequestV002;
  return {
    apiVersion: '0.0.2',
    kind: 'hashedrekord',
    spec: {
      hashedRekordV002: {
        data: { algorithm: 'SHA2_256', digest: told.digest },
        signature: told.signature,
      },
    },
  };
}

// What the mock's log makes of a body: version 2 has no place of its own for one.
async function logEntry(log, body, logId) {
  const [entry] = Object.values(await log.log(body));
  if (version === 1) return { ['0'.repeat(64)]: entry };
  const proof = entry.verification.inclusionProof;
  return {
    logId: { keyId: base64(logId) },
    kindVersion: { kind: body.kind, version: body.apiVersion },
    logIndex: String(proof.logIndex),
    canonicalizedBody: entry.body,
    inclusionProof: {
      logIndex: String(proof.logIndex),
      treeSize: String(proof.treeSize),
      rootHash: base64(Buffer.from(proof.rootHash, 'hex')),
      hashes: [],
      checkpoint: { envelope: proof.checkpoint },
    },
  };
}

async function timestamp(tsa, query) {
  const { result } = asn1.fromBER(new Uint8Array(query).buffer);
  const request = new pkijs.TimeStampReq({ schema: result });
  // The mock takes a number, so a nonce of more than 48 bits comes back shortened: sigstore-python
  // does not compare it, and mlbom's own timestamps are tested with openssl.
  const nonce = Buffer.from(request.nonce.valueBlock.valueHexView).subarray(-6);
  return tsa.timestamp({
    artifactHash: Buffer.from(request.messageImprint.hashedMessage.valueBlock.valueHexView),
    hashAlgorithmOID: request.messageImprint.hashAlgorithm.algorithmId,
    nonce: parseInt(nonce.toString('hex'), 16),
    policyOID: '1.3.6.1.4.1.57264.2',
    certReq: true,
  });
}

function identityToken(base) {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: base,
    aud: 'sigstore',
    sub: 'https://example.org/house/models/.github/workflows/release.yml@refs/heads/main',
    iat: now,
    exp: now + 300,
  };
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'none', typ: 'JWT' })}.${part(claims)}.`;
}

function trustConfig(base, keys, ca, tsa) {
  const validFor = { start: new Date(Date.now() - 60_000).toISOString() };
  const certificates = (...list) => ({ certificates: list.map((c) => ({ rawBytes: base64(c) })) });
  const log = (key, url) => ({
    baseUrl: url,
    hashAlgorithm: 'SHA2_256',
    publicKey: { rawBytes: base64(derOf(key)), keyDetails: 'PKIX_ECDSA_P256_SHA_256', validFor },
    logId: { keyId: sha256(derOf(key)).digest('base64') },
  });
  const authority = (url, ...list) => ({
    subject: { organization: 'mock', commonName: 'mock' },
    uri: url,
    certChain: certificates(...list),
    validFor,
  });
  const service = (majorApiVersion) => [{ url: base, majorApiVersion, validFor, operator: 'mock' }];
  return {
    mediaType: 'application/vnd.dev.sigstore.clienttrustconfig.v0.1+json',
    trustedRoot: {
      mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
      tlogs: [log(keys.log, base)],
      certificateAuthorities: [authority(base, ca.rootCertificate)],
      ctlogs: [log(keys.ct, base)],
      timestampAuthorities: [authority(base, tsa.intCertificate, tsa.rootCertificate)],
    },
    signingConfig: {
      mediaType: 'application/vnd.dev.sigstore.signingconfig.v0.2+json',
      caUrls: service(1),
      oidcUrls: service(1),
      rekorTlogUrls: service(version),
      rekorTlogConfig: { selector: 'ANY' },
      tsaUrls: version === 2 ? [{ ...service(1)[0], url: `${base}/api/v1/timestamp` }] : [],
      tsaConfig: { selector: 'ANY' },
    },
  };
}

async function answer(services, request, body) {
  const { pathname } = new URL(request.url, services.base);
  if (failing.has(pathname)) return [503, 'text/plain', 'out of order'];
  if (pathname === '/fail') {
    failing.clear();
    for (const name of JSON.parse(body)) failing.add(name);
    return [200, 'text/plain', 'noted'];
  }
  if (pathname === '/token') {
    return [200, 'application/json', JSON.stringify({ value: identityToken(services.base) })];
  }
  if (pathname === '/api/v2/signingCert') {
    const token = request.headers.authorization.replace(/^Bearer /, '');
    const csr = Buffer.from(JSON.parse(body).certificateSigningRequest, 'base64').toString();
    const asked = { credentials: { oidcIdentityToken: token }, certificateSigningRequest: csr };
    const given = await services.fulcio.fn(Buffer.from(JSON.stringify(asked)));
    return [given.statusCode, 'application/json', given.response];
  }
  if (/^\/api\/v[12]\/log\/entries$/.test(pathname)) {
    const asked = JSON.parse(body);
    const entry = version === 1 ? canonicalDsse(asked) : canonicalHashed(asked);
    const id = sha256(derOf(services.keys.log)).digest();
    return [201, 'application/json', JSON.stringify(await logEntry(services.log, entry, id))];
  }
  if (pathname === '/api/v1/timestamp') {
    return [201, 'application/timestamp-reply', await timestamp(services.tsa, body)];
  }
  return [404, 'text/plain', 'nothing here'];
}

async function main() {
  const keys = { ca: newKey(), ct: newKey(), log: newKey(), tsa: newKey() };
  const server = http.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const base = `http://127.0.0.1:${server.address().port}`;
  const ca = await mock.initializeCA(keys.ca, await mock.initializeCTLog(keys.ct));
  const tsa = await mock.initializeTSA(keys.tsa);
  const log = await mock.initializeTLog(base, keys.log);
  const services = { base, keys, log, tsa, fulcio: mock.fulcioHandler(ca) };
  server.on('request', (request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      answer(services, request, Buffer.concat(parts))
        .catch((error) => [500, 'text/plain', String(error.stack)])
        .then(([status, type, data]) => {
          response.writeHead(status, { 'Content-Type': type });
          response.end(data);
        });
    });
  });
  console.log(JSON.stringify(trustConfig(base, keys, ca, tsa)));
}

main();
