"""librdkafka, with the settings of whoever logs in.

login.py KEY=VALUE... list            prints the topics that the user may see
login.py KEY=VALUE... produce TOPIC   one record
login.py KEY=VALUE... say TOPIC TEXT  one record with that text
login.py KEY=VALUE... flow TOPIC S    records for so many seconds; prints how many, and every error

With token.file=PATH it logs in by the first token in that file, a line each, that holds a while;
with token=TOKEN by that one.
"""

import base64
import json
import sys
import time

from confluent_kafka import KafkaException, Producer

words = sys.argv[1:]
settings = dict(word.split("=", 1) for word in words if "=" in word)
action, *rest = [word for word in words if "=" not in word]
errors = []


def on_error(error):
    errors.append(str(error))


def on_delivery(error, _):
    if error is not None:
        errors.append(str(error))


def token(_):
    for line in [token_text] if token_text else open(token_file):
        claims = line.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        if claims["exp"] > time.time() + 3:
            break
    return line.strip(), claims["exp"]


token_file = settings.pop("token.file", None)
token_text = settings.pop("token", None)
if token_file or token_text:
    settings["oauth_cb"] = token
producer = Producer({**settings, "error_cb": on_error, "linger.ms": 5})
sent = 0
try:
    if action == "list":
        print("\n".join(sorted(producer.list_topics(timeout=10).topics)))
    else:
        end = time.monotonic() + (float(rest[1]) if action == "flow" else 0)
        while True:
            text = rest[1] if action == "say" else str(sent)
            producer.produce(rest[0], text.encode(), on_delivery=on_delivery)
            sent += 1
            producer.poll(0.005)
            if time.monotonic() >= end:
                break
        if producer.flush(20):
            errors.append("not delivered")
        print(f"{sent} sent")
except KafkaException as error:
    errors.append(str(error))
for error in errors:
    print(error, file=sys.stderr)
sys.exit(1 if errors else 0)
