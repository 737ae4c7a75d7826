"""A load that verifies itself: what was acknowledged is read back, once and in order.

Produces numbered records with acks=all until stdin closes, while a consumer group reads along. Then
every partition is read from its start and compared with what was acknowledged. The last line on
stdout is a JSON object; `lost` and `duplicates` must be 0.
"""

import argparse
import json
import sys
import threading
import time

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaException,
    Producer,
    TopicPartition,
)


# shorter ones are no news
PAUSE_TOLD_S = 0.05


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--rate", type=int, default=1000, help="records per second")
    parser.add_argument("--bytes", type=int, default=100, help="size of a record's value")
    parser.add_argument("--idempotent", action="store_true")
    parser.add_argument("--no-retries", action="store_true", help="each record is sent once")
    parser.add_argument("--connect-ms", type=int, help="how long a connection may take to be made")
    parser.add_argument("--follow", action="store_true", help="let a consumer group read along")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a setting of librdkafka for all clients, such as how they log in")
    options = parser.parse_args()
    options.settings = dict(pair.split("=", 1) for pair in options.set)
    return options


class Load:
    """What was sent and acknowledged. Callbacks run in the producing thread only."""

    def __init__(self, options):
        self.options = options
        self.acknowledged = {}
        self.failed = []
        # by partition: while one has no leader the others go on
        self.last_ack = {}
        self.pause_max, self.pause_at, self.pauses = 0.0, None, []
        settings = {
            **options.settings,
            "bootstrap.servers": options.bootstrap,
            "acks": "all",
            "enable.idempotence": options.idempotent,
            "linger.ms": 5,
            "message.timeout.ms": 60000,
            "reconnect.backoff.max.ms": 1000,
            "log_level": 0,
        }
        if options.no_retries:
            settings["retries"] = 0
        if options.connect_ms:
            settings["socket.connection.setup.timeout.ms"] = options.connect_ms
        self.producer = Producer(settings)

    def on_delivery(self, error, record):
        number = int(record.key())
        if error is not None:
            self.failed.append(f"{number}: {error}")
            return
        now, partition = time.monotonic(), record.partition()
        pause = now - self.last_ack.get(partition, now)
        if pause > PAUSE_TOLD_S:
            self.pauses.append((round(time.time() * 1000), round(pause * 1000)))
        if pause > self.pause_max:
            self.pause_max, self.pause_at = pause, (partition, time.strftime("%H:%M:%S"))
        self.last_ack[partition] = now
        self.acknowledged[number] = (record.partition(), record.offset())

    def run(self, stop):
        started, number = time.monotonic(), 0
        padding = b"." * max(0, self.options.bytes - 12)
        while not stop.is_set():
            due = int((time.monotonic() - started) * self.options.rate)
            while number < due:
                value = b"%012d" % number + padding
                try:
                    self.producer.produce(
                        self.options.topic, value, str(number), on_delivery=self.on_delivery
                    )
                    number += 1
                except BufferError:
                    break
            self.producer.poll(0.005)
        self.producer.flush(90)
        return number


def follow(options, stop, seen):
    """A member of a group reads along; `seen` counts what it got."""
    consumer = Consumer(
        {
            **options.settings,
            "bootstrap.servers": options.bootstrap,
            "group.id": f"{options.topic}-follow",
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000,
            "reconnect.backoff.max.ms": 1000,
            "log_level": 0,
        }
    )
    consumer.subscribe([options.topic])
    while not stop.is_set():
        record = consumer.poll(0.1)
        if record is not None and record.error() is None:
            seen.add(int(record.key()))
    consumer.close()


def end_offset(consumer, partition, timeout_s=30):
    """Where a partition ends; who is asked may have lost its leadership a moment ago."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return consumer.get_watermark_offsets(partition, timeout=5)[1]
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def read_back(options, timeout_s=60):
    """All records of the topic: number -> list of (partition, offset), and breaches of order."""
    consumer = Consumer(
        {
            **options.settings,
            "bootstrap.servers": options.bootstrap,
            "group.id": "read-back",
            "enable.auto.commit": False,
            "enable.partition.eof": False,
        }
    )
    metadata = consumer.list_topics(options.topic, timeout=30).topics[options.topic]
    partitions = [TopicPartition(options.topic, p, OFFSET_BEGINNING) for p in metadata.partitions]
    ends = {p.partition: end_offset(consumer, p) for p in partitions}
    consumer.assign(partitions)
    found, position, gaps = {}, {}, []
    deadline = time.monotonic() + timeout_s
    while any(position.get(p, 0) < end for p, end in ends.items()):
        if time.monotonic() > deadline:
            raise SystemExit(f"reading back stands at {position} of {ends}")
        record = consumer.poll(0.5)
        if record is None or record.error() is not None:
            continue
        partition, offset = record.partition(), record.offset()
        if offset != position.get(partition, 0):
            gaps.append((partition, position.get(partition, 0), offset))
        position[partition] = offset + 1
        found.setdefault(int(record.key()), []).append((partition, offset))
    consumer.close()
    return found, gaps


def main():
    options = arguments()
    load, stop, stop_follow, seen = Load(options), threading.Event(), threading.Event(), set()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    follower = threading.Thread(target=follow, args=(options, stop_follow, seen), daemon=True)
    if options.follow:
        follower.start()
    sent = load.run(stop)
    found, gaps = read_back(options)
    lost = sorted(n for n in load.acknowledged if n not in found)
    moved = sorted(n for n, at in load.acknowledged.items() if n in found and at not in found[n])
    duplicates = sorted(n for n, places in found.items() if len(places) > 1)
    if options.follow:
        deadline = time.monotonic() + 30
        while not seen.issuperset(load.acknowledged) and time.monotonic() < deadline:
            time.sleep(0.1)
        stop_follow.set()
        follower.join()
    print(
        json.dumps(
            {
                "sent": sent,
                "acknowledged": len(load.acknowledged),
                "failed": len(load.failed),
                "failures": load.failed[:5],
                "lost": len(lost),
                "lost_numbers": lost[:20],
                "moved": len(moved),
                "moves": [(n, load.acknowledged[n], found[n]) for n in moved[:20]],
                "duplicates": len(duplicates),
                "gaps": gaps[:20],
                "unseen": len(set(load.acknowledged) - seen) if options.follow else 0,
                "pause_max_ms": round(load.pause_max * 1000),
                "pause_at": load.pause_at,
                # when each ended (Unix time), and how long it was
                "pauses_ms": load.pauses[:5000],
            }
        )
    )


main()
