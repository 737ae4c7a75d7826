"""Members of consumer groups, on librdkafka, that check each other.

Reads commands from stdin, a line each, and answers each with one line of JSON:

    start NAME [static] [STRATEGY]   a member joins; `static` makes NAME its instance id; the
                                     strategy `consumer` is the consumer protocol (KIP-848)
    stop NAME                        it leaves in order (a static one keeps its place)
    settle COUNT                     waits until COUNT members own every partition between them
    state                            what there is now
    quit                             ends all

No partition may ever be handed to a member while another one still holds it, and no committed
offset may go back: what was seen of either is listed under `faults`.
"""

import argparse
import json
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

SETTLE_SECONDS = 60


class World:
    """What all members know together. Guarded by `lock`."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.lock = threading.RLock()
        self.owners = {}
        self.committed = {}
        self.members = {}
        self.faults = []
        self.rebalances = 0
        self.consumed = 0

    def state(self):
        with self.lock:
            return {
                "members": {name: sorted(m.owned) for name, m in self.members.items()},
                "rebalances": self.rebalances,
                "consumed": self.consumed,
                "committed": sum(self.committed.values()),
                "faults": self.faults,
            }


class Member(threading.Thread):
    """One consumer in a thread of its own."""

    def __init__(self, world, name, is_static, strategy):
        super().__init__(daemon=True)
        self.world, self.member_name = world, name
        self.owned = set()
        self.is_cooperative = strategy.startswith("cooperative") or strategy == "consumer"
        self.stopping = threading.Event()
        self.errors = []
        settings = {
            "bootstrap.servers": world.arguments.bootstrap,
            "group.id": world.arguments.group,
            "client.id": name,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
        if strategy == "consumer":
            # the coordinator says how often members heartbeat, and assigns
            settings["group.protocol"] = "consumer"
        else:
            settings["session.timeout.ms"] = 6000
            settings["heartbeat.interval.ms"] = 500
            settings["partition.assignment.strategy"] = strategy
        if is_static:
            settings["group.instance.id"] = name
        self.consumer = Consumer(settings)

    def run(self):
        self.consumer.subscribe(
            [self.world.arguments.topic],
            on_assign=self.assigned,
            on_revoke=self.revoked,
            on_lost=self.lost,
        )
        while not self.stopping.is_set():
            for record in self.consumer.consume(100, 0.1):
                if record.error() is None:
                    self.consumed(record)
            self.commit()
        self.consumer.close()
        with self.world.lock:
            for partition in self.owned:
                if self.world.owners.get(partition) == self.member_name:
                    del self.world.owners[partition]
            self.owned.clear()

    def assigned(self, consumer, partitions):
        with self.world.lock:
            self.world.rebalances += 1
            for partition in partitions:
                owner = self.world.owners.get(partition.partition)
                if owner not in (None, self.member_name):
                    self.world.faults.append(
                        f"{self.member_name} got {partition.partition}, which {owner} holds"
                    )
                self.world.owners[partition.partition] = self.member_name
                self.owned.add(partition.partition)
        if self.is_cooperative:
            consumer.incremental_assign(partitions)
        else:
            consumer.assign(partitions)

    def revoked(self, consumer, partitions):
        self.commit()
        self.lost(consumer, partitions)

    def lost(self, consumer, partitions):
        with self.world.lock:
            for partition in partitions:
                if self.world.owners.get(partition.partition) == self.member_name:
                    del self.world.owners[partition.partition]
                self.owned.discard(partition.partition)
        if self.is_cooperative:
            consumer.incremental_unassign(partitions)
        else:
            consumer.unassign()

    def consumed(self, record):
        with self.world.lock:
            self.world.consumed += 1
            if record.partition() not in self.owned:
                self.world.faults.append(f"{self.member_name} read {record.partition()} of others")
            committed = self.world.committed.get(record.partition(), 0)
            if record.offset() < committed:
                self.world.faults.append(
                    f"{record.partition()}@{record.offset()} is read again after {committed}"
                )

    def commit(self):
        try:
            for partition in self.consumer.commit(asynchronous=False) or []:
                # of a partition that nothing was read of nothing is committed
                if partition.offset < 0:
                    continue
                with self.world.lock:
                    known = self.world.committed.get(partition.partition, 0)
                    self.world.committed[partition.partition] = max(known, partition.offset)
        except KafkaException as error:
            code = error.args[0].code()
            # nothing to commit; a rebalance; a coordinator that is being replaced: tried again
            if code not in (
                KafkaError._NO_OFFSET,
                KafkaError.REBALANCE_IN_PROGRESS,
                KafkaError.ILLEGAL_GENERATION,
                KafkaError.STALE_MEMBER_EPOCH,
                KafkaError.UNKNOWN_MEMBER_ID,
                KafkaError.NOT_COORDINATOR,
                KafkaError.COORDINATOR_NOT_AVAILABLE,
                KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
                KafkaError._WAIT_COORD,
                KafkaError._TRANSPORT,
                KafkaError._TIMED_OUT,
                KafkaError.REQUEST_TIMED_OUT,
            ):
                with self.world.lock:
                    self.world.faults.append(f"{self.member_name} commits: {error}")


def settle(world, count, partitions):
    """Waits until `count` members own everything, and keep it for a moment."""
    deadline = time.monotonic() + SETTLE_SECONDS
    since = None
    while time.monotonic() < deadline:
        with world.lock:
            owners = set(world.owners.values())
            is_settled = len(world.owners) == partitions and len(owners) == count
        if not is_settled:
            since = None
        elif since is None:
            since = time.monotonic()
        elif time.monotonic() - since > 1.5:
            return world.state()
        time.sleep(0.05)
    state = world.state()
    state["faults"] = state["faults"] + [f"not settled among {count} members"]
    return state


def verify_committed(world):
    """What was acknowledged is what another client fetches, or less than it."""
    consumer = Consumer(
        {"bootstrap.servers": world.arguments.bootstrap, "group.id": world.arguments.group}
    )
    topic = world.arguments.topic
    wanted = [TopicPartition(topic, partition) for partition in world.committed]
    for found in consumer.committed(wanted, timeout=30) if wanted else []:
        if found.offset < world.committed[found.partition]:
            world.faults.append(
                f"{found.partition}: committed {world.committed[found.partition]}, "
                f"fetched {found.offset}"
            )
    consumer.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    world = World(parser.parse_args())
    for line in sys.stdin:
        words = line.split()
        if words[0] == "start":
            strategy = words[-1] if words[-1] not in (words[1], "static") else "range"
            member = Member(world, words[1], "static" in words[2:], strategy)
            with world.lock:
                world.members[words[1]] = member
            member.start()
            answer = world.state()
        elif words[0] == "stop":
            member = world.members[words[1]]
            member.stopping.set()
            member.join()
            with world.lock:
                del world.members[words[1]]
            answer = world.state()
        elif words[0] == "settle":
            answer = settle(world, int(words[1]), world.arguments.partitions)
        elif words[0] == "quit":
            for member in world.members.values():
                member.stopping.set()
            for member in world.members.values():
                member.join()
            verify_committed(world)
            answer = world.state()
        else:
            answer = world.state()
        print(json.dumps(answer), flush=True)
        if words[0] == "quit":
            return


if __name__ == "__main__":
    main()
