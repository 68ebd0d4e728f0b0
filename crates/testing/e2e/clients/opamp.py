"""Exchanges with a manager as any user of opentelemetry-opamp-client would: ENDPOINT SECRET CERTIFICATE COUNT."""

import sys
import threading

from opentelemetry._opamp.agent import OpAMPAgent
from opentelemetry._opamp.callbacks import OpAMPCallbacks
from opentelemetry._opamp.client import OpAMPClient

endpoint, secret, certificate, count = sys.argv[1:5]
enough = threading.Event()


class Counting(OpAMPCallbacks):
    def __init__(self):
        self.done = 0

    def on_message(self, agent, client, message):
        self.done += 1
        if self.done >= int(count):
            enough.set()

    def on_connect_failed(self, agent, client, error):
        print("failed:", error, file=sys.stderr)

    def on_error(self, agent, client, error):
        print("error:", error, file=sys.stderr)


callbacks = Counting()
client = OpAMPClient(
    endpoint=endpoint,
    headers={"Authorization": "Bearer " + secret},
    timeout_millis=10_000,
    agent_identifying_attributes={"service.name": "python", "service.version": "1"},
    tls_certificate=certificate,
)
agent = OpAMPAgent(interval=0.1, callbacks=callbacks, client=client)
agent.start()
came = enough.wait(20)
agent.stop()
print(callbacks.done, "exchanges")
sys.exit(0 if came else 1)
