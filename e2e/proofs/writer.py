"""Takes a transactional id over by librdkafka, commits numbers under it, aborts one more, and says
so: BOOTSTRAP TOPIC ID FROM COUNT. Told by a line that another has the id, it tries to commit once
more; that must be refused.
"""

import sys

from confluent_kafka import KafkaException, Producer

PATIENCE_SECONDS = 60


def main():
    bootstrap, topic, name, start, count = sys.argv[1:]
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": name,
            "linger.ms": 1,
            "log_level": 0,
        }
    )
    producer.init_transactions(PATIENCE_SECONDS)
    producer.begin_transaction()
    for number in range(int(start), int(start) + int(count)):
        producer.produce(topic, str(number).encode())
    producer.commit_transaction(PATIENCE_SECONDS)
    producer.begin_transaction()
    producer.produce(topic, b"aborted")
    producer.flush()
    producer.abort_transaction(PATIENCE_SECONDS)
    # left open: whoever comes next ends it
    producer.begin_transaction()
    producer.produce(topic, b"left open")
    producer.flush()
    print("committed", flush=True)
    sys.stdin.readline()
    try:
        producer.produce(topic, b"late")
        producer.commit_transaction(PATIENCE_SECONDS)
        print("not refused")
    except KafkaException as refusal:
        print(f"refused: {refusal}")


main()
