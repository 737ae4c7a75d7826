//! Settings of listeners that encrypt and authenticate.

use crate::config::Bounds::{Any, AtLeast, Between, OneOf};
use crate::config::Effect::Applied;

const VALIDATOR: &str =
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler";
const SECURED_VALIDATOR: &str =
    "org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerValidatorCallbackHandler";

keys! {
    "listener.security.protocol.map" String
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"
        Any,
        Broker Restart [] Applied,
        "What each listener speaks, as `name:protocol` pairs; a listener that is not there speaks \
         PLAINTEXT. The listener for peers is PLAINTEXT or SSL: brokers know one another by \
         certificates.";
    "security.inter.broker.protocol" String "" OneOf(&["", "PLAINTEXT", "SSL"]),
        Broker Restart [] Applied,
        "The first listener of this protocol is the one that other brokers replicate from, unless \
         `inter.broker.listener.name` names one.";
    "ssl.keystore.type" String "JKS" Any,
        Broker Restart [] Applied,
        "The type of the keystore: PEM, or PKCS12 as keytool writes it since Java 17 and `openssl \
         pkcs12 -export` since OpenSSL 3.0. As all settings that begin with `ssl.`, one listener \
         may have its own, as `listener.name.secure.ssl.keystore.type`, with its name in small \
         letters.";
    "ssl.keystore.location" String "" Any,
        Broker Restart [] Applied,
        "A file of PEM with the chain of certificates and their key, not encrypted, or one of \
         PKCS#12, of which the first key is taken with its certificates. It is read again \
         within 5 s when it changes; what then makes no sense is told in the log, and the old \
         certificates stay in use.";
    "ssl.keystore.password" Password "" Any,
        Broker Restart [] Applied,
        "The password of a keystore of PKCS12.";
    "ssl.keystore.certificate.chain" Password "" Any,
        Broker Restart [] Applied,
        "The chain of certificates itself, in PEM, in the place of a file.";
    "ssl.keystore.key" Password "" Any,
        Broker Restart [] Applied,
        "The key itself, in PEM, in the place of a file.";
    "ssl.key.password" Password "" Any,
        Broker Restart [] Applied,
        "The password of the key in a keystore of PKCS12, where it is not the keystore's. An \
         encrypted key in PEM is not read, so a listener of TLS refuses this beside PEM.";
    "ssl.truststore.type" String "JKS" Any,
        Broker Restart [] Applied,
        "The type of the truststore: PEM or PKCS12.";
    "ssl.truststore.location" String "" Any,
        Broker Restart [] Applied,
        "A file of PEM or PKCS#12 with the certificates that sign those of clients. It is read \
         again as the keystore is.";
    "ssl.truststore.password" Password "" Any,
        Broker Restart [] Applied,
        "The password of a truststore of PKCS12.";
    "ssl.truststore.certificates" Password "" Any,
        Broker Restart [] Applied,
        "These certificates themselves, in PEM, in the place of a file.";
    "ssl.client.auth" String "none" OneOf(&["none", "requested", "required"]),
        Broker Restart [] Applied,
        "Whether a client shows a certificate: `none` is asked for, one is `requested`, and who \
         has none is User:ANONYMOUS, or `required`. Peers always show theirs.";
    "ssl.enabled.protocols" List "TLSv1.2,TLSv1.3" OneOf(&["TLSv1.2", "TLSv1.3"]),
        Broker Restart [] Applied,
        "The versions of TLS that are spoken.";
    "ssl.principal.mapping.rules" String "DEFAULT" Any,
        Broker Restart [] Applied,
        "What a client is called by the subject of its certificate: rules between commas, of which \
         the first one counts whose pattern fits all of it. `RULE:pattern/replacement/`, with `L` \
         or `U` behind it for small or capital letters, or `DEFAULT`: the subject itself. One that \
         no rule fits is not let in.";
    "sasl.enabled.mechanisms" List "GSSAPI" Any,
        Broker Restart [] Applied,
        "How clients log in on listeners of SASL_SSL and SASL_PLAINTEXT: some of PLAIN, \
         SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER; a listener of these refuses others. The \
         users of PLAIN and their passwords are in `listener.name.L.plain.sasl.jaas.config` of \
         that listener; those of SCRAM are set by `kafka-configs --alter --entity-type users`; \
         tokens of OAUTHBEARER are judged by the settings that begin with `sasl.oauthbearer.`.";
    "sasl.server.max.receive.size" Int "524288" AtLeast(1),
        Broker Restart [] Applied,
        "The largest token of a login, in bytes. No request is larger than 65536 bytes before \
         somebody has logged in.";
    "connections.max.reauth.ms" Long "0" AtLeast(0),
        Broker Restart [] Applied,
        "How long a login holds, in milliseconds: after it the client logs in again on the same \
         connection, or is let go. 0: for ever. A mechanism of a listener may have its own, as \
         `listener.name.secure.scram-sha-512.connections.max.reauth.ms`.";
    "sasl.oauthbearer.jwks.endpoint.url" String "" Any,
        Broker Restart [] Applied,
        "Where the keys are that tokens of OAUTHBEARER must be signed by: the address of a JSON \
         Web Key Set by `https://` or `http://`, or a file by `file:///`. A listener with that \
         mechanism must have it, an audience and an issuer. It may have its own, as \
         `listener.name.secure.oauthbearer.sasl.oauthbearer.jwks.endpoint.url`, and so for all \
         that begin with `sasl.oauthbearer.`. Whose certificate an `https://` address must show is \
         said by the options `ssl.truststore.location` and `ssl.truststore.type=\"PEM\"`, or \
         `ssl.truststore.certificates`, of `listener.name.secure.oauthbearer.sasl.jaas.config`, \
         else by the machine's authorities.";
    "sasl.oauthbearer.expected.audience" List "" Any,
        Broker Restart [] Applied,
        "Whom a token must be for: one of these must be in its claim `aud`.";
    "sasl.oauthbearer.expected.issuer" String "" Any,
        Broker Restart [] Applied,
        "Who must have issued a token: its claim `iss`.";
    "sasl.oauthbearer.sub.claim.name" String "sub" Any,
        Broker Restart [] Applied,
        "The claim that says whose a token is: the name of the principal.";
    "sasl.oauthbearer.scope.claim.name" String "scope" Any,
        Broker Restart [] Applied,
        "The claim that has a token's scope. It must be a text or a list of texts, and nobody gets \
         a right by it.";
    "sasl.oauthbearer.clock.skew.seconds" Int "30" Between(0, 3600),
        Broker Restart [] Applied,
        "How far the clocks of the issuer and the broker may be apart, in seconds. A token is \
         taken until so long after its end, and so long a login by it holds, unless the client \
         logs in again.";
    "sasl.oauthbearer.jwks.endpoint.refresh.ms" Long "3600000" AtLeast(1),
        Broker Restart [] Applied,
        "How often keys are fetched again, in milliseconds. A token that is signed by a key that \
         is not known has them fetched too, every 5 s at most; no login waits for that. A file is \
         looked at every 2 s.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms" Long "100" AtLeast(1),
        Broker Restart [] Applied,
        "How long after a failure keys are fetched again, in milliseconds; twice as long after \
         each further one. The keys in use stay.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms" Long "10000" AtLeast(1),
        Broker Restart [] Applied,
        "How long that is at most, in milliseconds.";
    "sasl.server.callback.handler.class" Class "" OneOf(&["", VALIDATOR, SECURED_VALIDATOR]),
        Broker Restart [] Applied,
        "Tokens of OAUTHBEARER are always validated; Kafka's own class for that is taken, and no \
         other.";
    "delegation.token.secret.key" Password "" Any,
        Broker Restart [] Applied,
        "What the HMACs of delegation tokens are made with, the same on every broker. Without it \
         there are no tokens, and with another one those that were given out log in no more.";
    "delegation.token.max.lifetime.ms" Long "604800000" AtLeast(1),
        Broker Restart [] Applied,
        "How long a delegation token lives at most, however often it is renewed.";
    "delegation.token.expiry.time.ms" Long "86400000" AtLeast(1),
        Broker Restart [] Applied,
        "How long a delegation token lives unless it is renewed.";
    "delegation.token.expiry.check.interval.ms" Long "3600000" AtLeast(1),
        Broker Restart [] Applied,
        "How often delegation tokens that have ended are forgotten; they log in no more before.";
    "connection.failed.authentication.delay.ms" Int "100" Between(0, 10_000),
        Broker Restart [] Applied,
        "How long the answer to a login that failed is held back, in milliseconds.";
}
