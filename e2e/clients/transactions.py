"""Transactional producers of librdkafka, and what consumers see of them.

Runs one scenario to its end; whatever is not as promised ends it with a message and code 1.

    outcomes    what is committed is read, what is aborted is not, and both are in the log
    fencing     a producer that starts with an id takes it away from the one before
    offsets     the offsets of a transaction count with it, and not without
    move        copies a topic, record by record, in transactions that also abort at random, until
                all of it is copied; then each record must have one copy

Topics are there already: `--input` and `--output`.
"""

import argparse
import random
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

PATIENCE_SECONDS = 30


def check(holds, what):
    if not holds:
        sys.exit(f"not as promised: {what}")


def producer(arguments, name, timeout_ms=10_000):
    client = Producer(
        {
            "bootstrap.servers": arguments.bootstrap,
            "transactional.id": f"{arguments.output}-{name}",
            "transaction.timeout.ms": timeout_ms,
            "message.timeout.ms": timeout_ms,
            "linger.ms": 1,
        }
    )
    client.init_transactions(PATIENCE_SECONDS)
    return client


def consumer(arguments, group, isolation, **settings):
    return Consumer(
        {
            "bootstrap.servers": arguments.bootstrap,
            "group.id": f"{arguments.output}-{group}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "enable.partition.eof": True,
            **settings,
        }
    )


def read_all(arguments, topic, isolation):
    """All records of a topic, in the order of each partition, up to its end."""
    client = consumer(arguments, f"reader-{time.monotonic_ns()}", isolation)
    partitions = list(client.list_topics(topic, 10).topics[topic].partitions)
    client.assign([TopicPartition(topic, index, 0) for index in partitions])
    values, open_partitions = [], set(partitions)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while open_partitions:
        check(time.monotonic() < deadline, f"{topic} is read to its end in time")
        message = client.poll(0.5)
        if message is None:
            continue
        if message.error():
            open_partitions.discard(message.partition())
        else:
            values.append(message.value().decode())
    client.close()
    return values


def until(promised, what):
    """Waits for what markers that are just being written make so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not promised():
        check(time.monotonic() < deadline, what)
        time.sleep(0.1)


def outcomes(arguments):
    client = producer(arguments, "outcomes")
    committed = []
    for number in range(12):
        client.begin_transaction()
        values = [f"{number}-{index}" for index in range(20)]
        for value in values:
            client.produce(arguments.output, value.encode(), key=value.encode())
        if number % 3 == 2:
            client.flush()
            client.abort_transaction()
        else:
            client.commit_transaction()
            committed += values
    read = lambda isolation: sorted(read_all(arguments, arguments.output, isolation))
    until(lambda: read("read_committed") == sorted(committed), "what is committed is read")
    check(len(read("read_uncommitted")) == 240, "what is aborted is in the log")


def fencing(arguments):
    first = producer(arguments, "fencing")
    first.begin_transaction()
    first.produce(arguments.output, b"of the first")
    first.flush()
    second = producer(arguments, "fencing")
    try:
        first.commit_transaction()
        check(False, "the first producer is fenced")
    except KafkaException as error:
        check(error.args[0].fatal(), f"a fence is fatal: {error}")
    second.begin_transaction()
    second.produce(arguments.output, b"of the second")
    second.commit_transaction()
    read = lambda: read_all(arguments, arguments.output, "read_committed")
    until(lambda: read() == ["of the second"], "only the second has committed")


def committed_offset(arguments, client):
    partition = TopicPartition(arguments.input, 0)
    return client.committed([partition], PATIENCE_SECONDS)[0].offset


def offsets(arguments):
    group = consumer(arguments, "offsets", "read_committed")
    group.subscribe([arguments.input])
    until(lambda: group.poll(0.2) is not None and group.assignment(), "the group has members")
    client = producer(arguments, "offsets")
    for offset, commits in [(3, True), (7, False), (5, True)]:
        before = committed_offset(arguments, group)
        client.begin_transaction()
        client.produce(arguments.output, str(offset).encode())
        at = [TopicPartition(arguments.input, 0, offset)]
        client.send_offsets_to_transaction(at, group.consumer_group_metadata())
        if commits:
            client.commit_transaction()
            check(committed_offset(arguments, group) == offset, f"{offset} is committed")
        else:
            client.abort_transaction()
            check(committed_offset(arguments, group) == before, f"{offset} is not committed")
    group.close()


def move(arguments):
    wanted = read_all(arguments, arguments.input, "read_committed")
    chance = random.Random(arguments.seed)
    deadline = time.monotonic() + arguments.seconds
    group, client, copied = None, None, -1
    while copied < len(wanted):
        check(time.monotonic() < deadline, f"all is moved in time; {copied} are")
        try:
            if client is None:
                client = producer(arguments, "move")
                # one that was given up, and could not leave, holds up the next for no longer
                session = {"session.timeout.ms": 6000}
                group = consumer(arguments, "move", "read_committed", **session)
                group.subscribe([arguments.input])
            copy(arguments, group, client, chance)
            copied = len(read_committed_positions(arguments, group))
        except KafkaException as error:
            print(f"starts again: {error}", file=sys.stderr)
            # what a client holds of a transaction goes with it
            client, group = None, group.close() if group else None
    got = read_all(arguments, arguments.output, "read_committed")
    check(sorted(got) == sorted(wanted), f"each of {len(wanted)} has one copy, of {len(got)}")


def read_committed_positions(arguments, group):
    """One entry for each record whose offset the group has committed."""
    indexes = group.list_topics(arguments.input, 10).topics[arguments.input].partitions
    partitions = [TopicPartition(arguments.input, index) for index in indexes]
    offsets = group.committed(partitions, PATIENCE_SECONDS)
    return [None for place in offsets for _ in range(max(place.offset, 0))]


def copy(arguments, group, client, chance):
    """One transaction of a consume–transform–produce loop."""
    messages = [m for m in group.consume(50, 1.0) if not m.error()]
    if not messages:
        return
    client.begin_transaction()
    ends = {}
    for message in messages:
        client.produce(arguments.output, message.value(), key=message.key())
        ends[message.partition()] = message.offset() + 1
    # not the consumer's own positions: those of partitions that it went back in are old
    read = [TopicPartition(arguments.input, index, end) for index, end in ends.items()]
    client.send_offsets_to_transaction(read, group.consumer_group_metadata(), PATIENCE_SECONDS)
    if chance.random() < 0.3:
        client.abort_transaction(PATIENCE_SECONDS)
        for place in group.committed(group.assignment(), PATIENCE_SECONDS):
            place.offset = max(place.offset, 0)
            group.seek(place)
    else:
        client.commit_transaction(PATIENCE_SECONDS)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=["outcomes", "fencing", "offsets", "move"])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    globals()[arguments.scenario](arguments)
    print("as promised")


if __name__ == "__main__":
    main()
