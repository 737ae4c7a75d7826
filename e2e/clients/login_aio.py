"""aiokafka, with the settings of whoever logs in, by librdkafka's names.

login_aio.py KEY=VALUE... say TOPIC TEXT   produces one record
"""

import asyncio
import ssl
import sys

from aiokafka import AIOKafkaProducer
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

words = sys.argv[1:]
settings = dict(word.split("=", 1) for word in words if "=" in word)
_, topic, text = [word for word in words if "=" not in word]


class Token(AbstractTokenProvider):
    async def token(self):
        return settings["token"]


async def say():
    context = ssl.create_default_context(cafile=settings["ssl.ca.location"])
    if "ssl.certificate.location" in settings:
        context.load_cert_chain(settings["ssl.certificate.location"], settings["ssl.key.location"])
    producer = AIOKafkaProducer(
        bootstrap_servers=settings["bootstrap.servers"],
        security_protocol=settings["security.protocol"],
        ssl_context=context,
        sasl_mechanism=settings.get("sasl.mechanism", "PLAIN"),
        sasl_plain_username=settings.get("sasl.username"),
        sasl_plain_password=settings.get("sasl.password"),
        sasl_oauth_token_provider=Token() if "token" in settings else None,
    )
    try:
        await producer.start()
        await producer.send_and_wait(topic, text.encode())
    finally:
        await producer.stop()


try:
    asyncio.run(asyncio.wait_for(say(), 30))
except (KafkaError, asyncio.TimeoutError) as error:
    sys.exit(repr(error))
