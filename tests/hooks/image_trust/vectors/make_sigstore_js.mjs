// Signatures by an independent producer: sigstore-js, against the mock of its own instance.
//
// Writes a trusted root, and bundles that have to be accepted. Nothing runs this but a person who wants new ones,
// with Node 20 or later, in a folder outside of the repository:
//
//     npm install @sigstore/mock@0.12.1 @sigstore/sign@4.1.1
//     node VECTORS/make_sigstore_js.mjs VECTORS/sigstore_js/vectors.json
//
// The mock differs from Sigstore in two ways that are mended here: it enters DSSE envelopes as they were
// proposed, where Rekor enters their hashes and signatures, and it writes PEM without line breaks.

import crypto from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(path.join(process.cwd(), 'package.json'));
const nock = require('nock');
const mock = require('@sigstore/mock');
const { DSSEBundleBuilder, FulcioSigner, MessageSignatureBundleBuilder, RekorWitness, TSAWitness } = require('@sigstore/sign');
const { bundleToJSON } = require('@sigstore/bundle');

const FULCIO = 'https://fulcio.example';
const REKOR = 'https://rekor.example';
const TSA = 'https://tsa.example';
const ISSUER = 'https://token.actions.githubusercontent.com';
const WORKFLOW = 'https://github.com/shop/web/.github/workflows/release.yml@refs/heads/main';
const ARTIFACT = Buffer.from('an image\'s manifest');
const PAYLOAD_TYPE = 'application/vnd.in-toto+json';

const sha256 = (content) => crypto.createHash('sha256').update(content).digest();
const newKeys = () => crypto.generateKeyPairSync('ec', { namedCurve: 'prime256v1' });

// As Rekor writes an envelope down: pkg/types/dsse/v0.0.1/entry.go of https://github.com/sigstore/rekor.
function entered(proposed) {
  if (proposed.kind !== 'dsse') return proposed;
  const { envelope: text, verifiers } = proposed.spec.proposedContent;
  const envelope = JSON.parse(text);
  return {
    apiVersion: proposed.apiVersion,
    kind: proposed.kind,
    spec: {
      envelopeHash: { algorithm: 'sha256', value: sha256(text).toString('hex') },
      payloadHash: { algorithm: 'sha256', value: sha256(Buffer.from(envelope.payload, 'base64')).toString('hex') },
      signatures: envelope.signatures.map(({ sig }) => ({ signature: sig, verifier: verifiers[0] })),
    },
  };
}

const wrapped = (pem) => pem.replace(/[A-Za-z0-9+/=]{65,}/g, (line) => line.match(/.{1,64}/g).join('\n'));

function serve(url, handler, adapt = (content) => content) {
  nock(url)
    .persist()
    .post(handler.path)
    .reply(async (_, body) => {
      const answer = await handler.fn(typeof body === 'string' ? body : JSON.stringify(body));
      return [answer.statusCode, adapt(answer.response), { 'Content-Type': answer.contentType }];
    });
}

const [caKeys, ctKeys, rekorKeys, tsaKeys] = [newKeys(), newKeys(), newKeys(), newKeys()];
const ctlog = await mock.initializeCTLog(ctKeys);
const ca = await mock.initializeCA(caKeys, ctlog);
const tlog = await mock.initializeTLog(REKOR, rekorKeys);
const tsa = await mock.initializeTSA(tsaKeys);
const log = tlog.log.bind(tlog);
tlog.log = (proposed) => log(entered(proposed));

serve(FULCIO, mock.fulcioHandler(ca), (text) => {
  const answer = JSON.parse(text);
  const chain = answer.signedCertificateEmbeddedSct.chain;
  chain.certificates = chain.certificates.map(wrapped);
  return JSON.stringify(answer);
});
serve(REKOR, mock.rekorHandler(tlog));
serve(TSA, mock.tsaHandler(tsa));

const claims = {
  iss: ISSUER, sub: WORKFLOW, repository: 'shop/web', ref: 'refs/heads/main', runner_environment: 'github-hosted',
};
const encode = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');
const token = `${encode({ alg: 'none' })}.${encode(claims)}.${encode('')}`;

function parts({ stamped = false } = {}) {
  const signer = new FulcioSigner({ fulcioBaseURL: FULCIO, identityProvider: { getToken: async () => token } });
  const witnesses = [new RekorWitness({ rekorBaseURL: REKOR, entryType: 'dsse' })];
  if (stamped) witnesses.push(new TSAWitness({ tsaBaseURL: TSA }));
  return { signer, witnesses };
}

const statement = (predicateType, predicate) => ({
  type: PAYLOAD_TYPE,
  data: Buffer.from(JSON.stringify({
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name: 'registry.example/shop/web', digest: { sha256: sha256(ARTIFACT).toString('hex') } }],
    predicateType,
    predicate,
  })),
});

const SIGN = statement('https://sigstore.dev/cosign/sign/v1', {});
const PROVENANCE = statement('https://slsa.dev/provenance/v1', {
  buildDefinition: { buildType: 'https://actions.github.io/buildtypes/workflow/v1', externalParameters: {} },
  runDetails: { builder: { id: 'https://github.com/actions/runner/github-hosted' } },
});

const bundles = {
  'signature, version 0.3': await new DSSEBundleBuilder(parts()).create(SIGN),
  'signature, version 0.2 with a chain': await new DSSEBundleBuilder({ ...parts(), certificateChain: true }).create(SIGN),
  'signature, with a time-stamp': await new DSSEBundleBuilder(parts({ stamped: true })).create(SIGN),
  'attestation': await new DSSEBundleBuilder(parts()).create(PROVENANCE),
  'message signature': await new MessageSignatureBundleBuilder(parts()).create({ data: ARTIFACT }),
};

const start = '2025-01-01T00:00:00Z'; // whatever the clock says where they are verified
const b64 = (content) => Buffer.from(content).toString('base64');
const logOf = (baseUrl, keys, id) => ({
  baseUrl,
  hashAlgorithm: 'SHA2_256',
  publicKey: {
    rawBytes: b64(keys.publicKey.export({ format: 'der', type: 'spki' })),
    keyDetails: 'PKIX_ECDSA_P256_SHA_256',
    validFor: { start },
  },
  logId: { keyId: b64(id ?? sha256(keys.publicKey.export({ format: 'der', type: 'spki' }))) },
});
const authorityOf = (uri, ...chain) => ({
  subject: { organization: 'sigstore.mock', commonName: 'sigstore' },
  uri,
  certChain: { certificates: chain.map((der) => ({ rawBytes: b64(der) })) },
  validFor: { start },
});

const vectors = {
  artifact: `sha256:${sha256(ARTIFACT).toString('hex')}`,
  identity: { root: 'js', issuer: ISSUER, identity: WORKFLOW },
  trustedRoot: {
    mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
    tlogs: [logOf(REKOR, rekorKeys)],
    certificateAuthorities: [authorityOf(FULCIO, ca.rootCertificate)],
    ctlogs: [logOf('https://ct.example', ctKeys, ctlog.logID)],
    timestampAuthorities: [authorityOf(TSA, tsa.intCertificate, tsa.rootCertificate)],
  },
  bundles: Object.fromEntries(Object.entries(bundles).map(([name, one]) => [name, bundleToJSON(one)])),
};
fs.writeFileSync(process.argv[2], `${JSON.stringify(vectors, null, 1)}\n`);
