// Exchanges with a manager as any user of @elastic/opamp-client-node would:
// ENDPOINT SECRET CERTIFICATE COUNT, run where the package is installed.

import diagnostics from 'node:diagnostics_channel';
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';

const [endpoint, secret, certificate, count] = process.argv.slice(2);
const require = createRequire(process.cwd() + '/');
const {createOpAMPClient} = require('@elastic/opamp-client-node');

let done = 0;
const client = createOpAMPClient({
    endpoint,
    headers: {Authorization: `Bearer ${secret}`},
    heartbeatIntervalSeconds: 0.1,
    connect: {ca: readFileSync(certificate)},
    diagEnabled: true,
});

async function end(code) {
    await client.shutdown();
    console.log(`${done} exchanges`);
    process.exit(code);
}

diagnostics.subscribe('opamp-client.send.success', () => {
    done += 1;
    if (done === Number(count)) end(0);
});
diagnostics.subscribe('opamp-client.send.fail', ({err}) => console.error('failed:', err));
client.setAgentDescription({identifyingAttributes: {'service.name': 'node', 'service.version': '1'}});
client.start();
setTimeout(() => end(1), 20000);
