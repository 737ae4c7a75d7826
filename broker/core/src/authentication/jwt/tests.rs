use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
    RsaPublicKeyComponents,
};
use ring::{hmac, signature};
use serde_json::json;

use super::*;

/// An RSA key of 2048 bits that is used nowhere else.
const RSA: &str = "\
    MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQD07EJfB/4rzjj+yoSrXDWa3tQiLAGj0CEXWlGk4ttc\
    RuK2+1aG8yBAKWLOEYP4TMJrJM0Pla0Vf8bf+14WJwAMyO/EBTpan2D8DVSnvcnNGBCT4w2SVVMrEfwaAjzJqqICBEWm\
    K3kjGf3q5MrSvN4zTmQl3QXpWyEsVQKjbikbposV+xF2Y2wBobBeOe99M9L8Qr5dXWlBVFLI9Msa8ZNoxNza7wT4DhDi\
    1sOsolOoA3XIRQgt+WPZKeYoR0L6LQUVH3L2lHL8mH4oothULUEXq5mtuTlw54rcy9m6GrEZ3DO4vyAHz0RqizmqViyu\
    fPbtclHiJPFKZd83Gdj9PzAFAgMBAAECggEAARVyjb0ZUNROyEHZKHD2A8NsqOIM986Z9uJ9bf9a/SOLKUgfb+VvhRkp\
    yMOnE9gzHApDpggBhhDUrnUMS4jMpUHWXcWwJmqCIVtlvoBGflPW7vCYRMd/4LbpqKvN3Q6WPPAL5tpWZONejkWI6DnR\
    ueRk6Q37UrcGhI2zv0ljgS3PRFy/ya2f0+2mAdATWSJ7zNffZvd+WzrXYqL95Z+PkN4IWeneJ+2IjOmDWJdidZbUVMaQ\
    6bcvt2OLg3LAd2A2m3oOfoPGyUXvryrkKGrneKIVWdArfkTc2iZdHHD4RVplOCYs50Sp+JN7wvRzapkl9q9PE0VbTLqQ\
    anhyQLa7gQKBgQD+dVaTKkulDgZf3G2RY5orDVKfrav/5uSVh8vFvbRP3ZQpbK51t4eHDJDDbM1osNilyUV4oHp4+erJ\
    DLr0OqVz77nLcM+T+4uFWY4YdGS30R4WDJxyqR4U+a5CfROfWL57QLx4+3gs5a6ReTTT6fOx6kF08C8Yza/kf0Pazlo7\
    sQKBgQD2aCG2aqAocy+syhyOd1I1xNq3i5eGunuOC9yh88l0mas2IGBHC9WQgXj5GFhndSWWFShxSlGD9tmuxM21CRTS\
    vmk2BmmuaJQSUTinxFzwFYLvas3ww/ET487LfkfDyVsCI8zCBaj6LRFTD2XfyVWS17H1JotpLyX2RhTpvQgSlQKBgCwF\
    jMbFCHUzqfKnpeUDQEa2dVbequUIwv8DkUNSgIFYqitIfB4tdCrvB5RnnFnCTpjP607lJIsNYYsKwsVB6CHYlWIW0DKf\
    0BFv3t9oM4yBhxz1bZOAoo2qbHVgQibNKZcVKgYcKzxJOBw+xd7rmJdtGYnri5pU61sykUCndoDhAoGBAKM2om4D/oYM\
    lh2r2nJ7ktbOx9kf+4RgbYrPTJtxsZUsXH4DwAIPUqzfNdQ5TgVpUTYyWZGBGrGAhvv+nAs4MrTNLz97y/CckMf5SL/H\
    j4/vj8UqR7Mc9sin8shToxGKhF/MesphmWXtCDauUlqDL82OVe/+UgWgF1MjZKLWdUxpAoGAAeIW60fmk1Sx3RZAMdJJ\
    RG/A1RZKFuvxMLJ4M99QABmkpJjkkmbPLAobY2US9AQEuRaI8pMxvYMNLg34ba+JsKjlemzjKw+LedUX5ygG8KaN8G1i\
    G7bXpmlxyv+Qj2bEApwjs6x2d4UIRVCMh02XMCbEythv2LQ2rY3/Zf5TW5w=";

/// In seconds since 1970.
const NOW: i64 = 1_800_000_000;

/// An issuer with a key of each kind: `rsa`, `p256` and `p384`.
struct Issuer {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    random: SystemRandom,
}

impl Issuer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let generate = |algorithm: &'static EcdsaSigningAlgorithm| {
            let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap()
        };
        Self {
            rsa: RsaKeyPair::from_pkcs8(&STANDARD.decode(RSA).unwrap()).unwrap(),
            p256: generate(&ECDSA_P256_SHA256_FIXED_SIGNING),
            p384: generate(&ECDSA_P384_SHA384_FIXED_SIGNING),
            random,
        }
    }

    fn jwks(&self) -> Value {
        let public: RsaPublicKeyComponents<Vec<u8>> = self.rsa.public().into();
        let (n, e) = (BASE64.encode(public.n), BASE64.encode(public.e));
        let point = |kid: &str, crv: &str, key: &EcdsaKeyPair| {
            let (x, y) =
                key.public_key().as_ref()[1..].split_at(if crv == "P-256" { 32 } else { 48 });
            let (x, y) = (BASE64.encode(x), BASE64.encode(y));
            json!({"kty": "EC", "crv": crv, "kid": kid, "x": x, "y": y})
        };
        json!({"keys": [
            {"kty": "RSA", "kid": "rsa", "use": "sig", "n": n, "e": e},
            point("p256", "P-256", &self.p256),
            point("p384", "P-384", &self.p384),
            {"kty": "oct", "kid": "secret", "k": BASE64.encode("secret")},
            {"kty": "OKP", "kid": "later", "crv": "Ed25519", "x": "AA"},
            {"kty": "RSA", "kid": "weak", "n": BASE64.encode([0xff; 128]), "e": "AQAB"},
        ]})
    }

    fn keys(&self) -> Keys {
        Keys::read(self.jwks().to_string().as_bytes()).unwrap()
    }

    fn signature(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let rsa = |padding: &'static dyn RsaEncoding| {
            let mut signature = vec![0; self.rsa.public().modulus_len()];
            let signed = self
                .rsa
                .sign(padding, &self.random, message, &mut signature);
            signed.map(|()| signature).unwrap()
        };
        let ecdsa = |key: &EcdsaKeyPair| {
            let signed: signature::Signature = key.sign(&self.random, message).unwrap();
            signed.as_ref().to_vec()
        };
        match algorithm {
            "RS256" => rsa(&RSA_PKCS1_SHA256),
            "RS384" => rsa(&RSA_PKCS1_SHA384),
            "RS512" => rsa(&RSA_PKCS1_SHA512),
            "PS256" => rsa(&RSA_PSS_SHA256),
            "PS384" => rsa(&RSA_PSS_SHA384),
            "PS512" => rsa(&RSA_PSS_SHA512),
            "ES256" => ecdsa(&self.p256),
            "ES384" => ecdsa(&self.p384),
            _ => Vec::new(),
        }
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let signed = signed_part(header, claims);
        let algorithm = header["alg"].as_str().unwrap_or_default();
        let signature = BASE64.encode(self.signature(algorithm, signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

fn signed_part(header: &Value, claims: &Value) -> String {
    let part = |json: &Value| BASE64.encode(json.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn expected() -> Expected {
    Expected {
        audiences: vec!["kafka".to_owned(), "orders".to_owned()],
        issuer: "https://issuer".to_owned(),
        scope_claim: "scope".to_owned(),
        sub_claim: "sub".to_owned(),
        skew_ms: 30_000,
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer", "aud": "kafka", "sub": "alice", "scope": "a b",
        "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 300,
    })
}

/// The claims with one that is another, or is not there.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => claims.as_object_mut().unwrap().remove(name),
        value => claims
            .as_object_mut()
            .unwrap()
            .insert(name.to_owned(), value),
    };
    claims
}

fn judge(issuer: &Issuer, token: &str) -> Result<Bearer, Refused> {
    expected().judge(token, &issuer.keys(), NOW * 1000)
}

#[test]
fn a_token_of_the_issuer_says_whose_it_is_and_until_when() {
    let issuer = Issuer::new();
    let alice = Bearer {
        name: "alice".to_owned(),
        until_ms: (NOW + 330) * 1000,
    };
    for (algorithm, kid) in [
        ("RS256", "rsa"),
        ("RS384", "rsa"),
        ("RS512", "rsa"),
        ("PS256", "rsa"),
        ("PS384", "rsa"),
        ("PS512", "rsa"),
        ("ES256", "p256"),
        ("ES384", "p384"),
    ] {
        for header in [
            json!({"alg": algorithm, "kid": kid}),
            json!({"alg": algorithm}),
        ] {
            let token = issuer.token(&header, &claims());
            assert_eq!(judge(&issuer, &token).as_ref(), Ok(&alice), "{header}");
        }
    }
    let header = json!({"alg": "ES256", "kid": "p256", "typ": "JWT"});
    for (name, value) in [
        ("aud", json!(["other", "orders"])),
        ("scope", json!(["a", "b"])),
        ("scope", Value::Null),
        ("nbf", Value::Null),
        ("nbf", json!(NOW + 30)),
        ("sub", json!(" alice ")),
    ] {
        let token = issuer.token(&header, &with(name, value.clone()));
        assert_eq!(
            judge(&issuer, &token).as_ref(),
            Ok(&alice),
            "{name}={value}"
        );
    }
    let fraction = issuer.token(&header, &with("exp", json!(NOW as f64 - 9.5)));
    assert_eq!(
        judge(&issuer, &fraction).unwrap().until_ms,
        NOW * 1000 + 20_500
    );
    let by_mail = Expected {
        sub_claim: "email".to_owned(),
        ..expected()
    };
    let token = issuer.token(&header, &with("email", json!("alice@example.com")));
    let bearer = by_mail.judge(&token, &issuer.keys(), NOW * 1000).unwrap();
    assert_eq!(bearer.name, "alice@example.com");
}

#[test]
fn claims_that_are_not_for_here_and_now_are_refused() {
    let issuer = Issuer::new();
    let header = json!({"alg": "ES256", "kid": "p256"});
    for (name, value, fault) in [
        ("exp", Value::Null, "exp is missing"),
        ("exp", json!(NOW - 30), "exp is over"),
        ("exp", json!(i64::MIN), "exp is over"),
        ("exp", json!(-1e300), "exp is over"),
        ("exp", json!("soon"), "exp is no time"),
        ("exp", json!({"a": []}), "exp is no time"),
        ("nbf", json!(NOW + 31), "nbf has not come yet"),
        ("nbf", json!(1e300), "nbf has not come yet"),
        ("nbf", json!(true), "nbf is no time"),
        ("iat", Value::Null, "iat is missing"),
        ("iat", json!(NOW + 301), "iat is later than exp"),
        ("iss", Value::Null, "iss is not"),
        ("iss", json!("https://issuer/"), "iss is not"),
        ("iss", json!(["https://issuer"]), "iss is not"),
        ("aud", Value::Null, "aud is no text"),
        ("aud", json!("Kafka"), "aud has no expected"),
        ("aud", json!([]), "aud has no expected"),
        ("aud", json!(["kafka", 1]), "aud is no text"),
        ("scope", json!(7), "scope is no text"),
        ("sub", Value::Null, "sub is no name"),
        ("sub", json!("  "), "sub is no name"),
        ("sub", json!(17), "sub is no name"),
        ("sub", json!("x".repeat(4097)), "sub is no name"),
    ] {
        let token = issuer.token(&header, &with(name, value.clone()));
        let refused = judge(&issuer, &token).expect_err(fault).to_string();
        assert!(refused.contains(fault), "{refused}, for {name}={value}");
    }
    // a number without an end is one that lasts
    let lasting = issuer.token(&header, &with("exp", json!(1e300)));
    assert_eq!(judge(&issuer, &lasting).unwrap().until_ms, i64::MAX);
}

#[test]
fn what_the_issuer_has_not_signed_is_refused() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let refused = |token: &str| judge(&issuer, token).expect_err(token);
    let headless = |name: &str| format!("{}.", signed_part(&json!({"alg": name}), &claims()));
    for name in ["none", "None", "", "HS256", "EdDSA", "RS1"] {
        assert!(
            matches!(refused(&headless(name)), Refused::Header(_)),
            "{name}"
        );
    }
    // the public key as the secret of an HMAC
    let header = json!({"alg": "HS256", "kid": "rsa"});
    let signed = signed_part(&header, &claims());
    let public = RsaPublicKeyComponents::<Vec<u8>>::from(issuer.rsa.public()).n;
    for secret in [public.as_slice(), b"secret", issuer.rsa.public().as_ref()] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let mac = BASE64.encode(hmac::sign(&key, signed.as_bytes()));
        let token = format!("{signed}.{mac}");
        assert!(matches!(refused(&token), Refused::Header(_)));
    }
    // the key of another issuer, a key of another kind, a key for something else
    let of_p256 = |kid: &str| json!({"alg": "ES256", "kid": kid});
    let foreign = other.token(&of_p256("p256"), &claims());
    assert_eq!(refused(&foreign), Refused::Signature);
    assert_eq!(
        refused(&other.token(&json!({"alg": "ES256"}), &claims())),
        Refused::Signature
    );
    for kid in ["rsa", "p384", "weak", "later", "secret", "nobody's", ""] {
        let token = issuer.token(&of_p256(kid), &claims());
        assert!(matches!(refused(&token), Refused::UnknownKey(_)), "{kid}");
    }
    let mut jwks = issuer.jwks();
    jwks["keys"][1]["use"] = json!("enc");
    jwks["keys"][0]["alg"] = json!("RS512");
    let keys = Keys::read(jwks.to_string().as_bytes()).unwrap();
    for header in [of_p256("p256"), json!({"alg": "RS256", "kid": "rsa"})] {
        let judged = expected().judge(&issuer.token(&header, &claims()), &keys, NOW * 1000);
        assert!(matches!(judged, Err(Refused::UnknownKey(_))), "{header}");
    }
    // a signature of other claims, one that is cut, one that is empty
    let good = issuer.token(&of_p256("p256"), &claims());
    let (_, signature) = good.rsplit_once('.').unwrap();
    let root = signed_part(&of_p256("p256"), &with("sub", json!("root")));
    assert_eq!(refused(&format!("{root}.{signature}")), Refused::Signature);
    assert_eq!(refused(&format!("{root}.")), Refused::Signature);
    refused(&good[..good.len() - 4]);
    // what must be understood, and is not
    let critical = json!({"alg": "ES256", "kid": "p256", "crit": ["b64"], "b64": false});
    assert!(matches!(
        refused(&issuer.token(&critical, &claims())),
        Refused::Header(_)
    ));
    // before any keys are known
    let judged = expected().judge(&good, &Keys::default(), NOW * 1000);
    assert!(matches!(judged, Err(Refused::UnknownKey(_))));
}

#[test]
fn bytes_that_are_no_token_are_refused() {
    let issuer = Issuer::new();
    let good = issuer.token(&json!({"alg": "ES256", "kid": "p256"}), &claims());
    let part = |text: &str| BASE64.encode(text);
    let nested = part(&"[".repeat(30_000));
    let object = part(&format!(
        "{{\"alg\":{}1{}}}",
        "[".repeat(5_000),
        "]".repeat(5_000)
    ));
    for token in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        &good.replace('.', ""),
        &format!("{good}.x"),
        &format!("{good}="),
        &format!("x{good}"),
        &format!("{nested}.{nested}.AA"),
        &format!("{object}.{object}.AA"),
        &format!("{}.{}.AA", part("[]"), part("{}")),
        &format!("{}.{}.AA", part("{\"alg\":7}"), part("{}")),
        &"a".repeat(60_000),
        &".".repeat(60_000),
        &format!("{}.{}.AA", part("{\"alg\":\"ES256\""), part("{}")),
    ] {
        judge(&issuer, token).expect_err(&token[..token.len().min(80)]);
    }
    // any bit of a good one: no panic, and nobody but alice
    let keys = issuer.keys();
    for at in 0..good.len() {
        for bit in 0..7 {
            let mut changed = good.clone().into_bytes();
            changed[at] ^= 1 << bit;
            if let Ok(text) = std::str::from_utf8(&changed) {
                let judged = expected().judge(text, &keys, NOW * 1000);
                assert!(judged.is_err(), "{text}");
            }
        }
    }
}

#[test]
fn a_set_without_a_key_that_signs_is_refused_in_a_sentence() {
    for (set, why) in [
        ("", "it is no JSON"),
        ("{", "it is no JSON"),
        ("<html>", "it is no JSON"),
        ("[]", "no list `keys`"),
        ("{\"keys\":{}}", "no list `keys`"),
        ("{\"keys\":[]}", "none of its 0 keys signs"),
        (
            "{\"keys\":[1,null,[],{\"kty\":\"oct\",\"k\":\"AA\"}]}",
            "none of its 4 keys signs",
        ),
        (
            "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}",
            "none of its 1",
        ),
    ] {
        let refused = Keys::read(set.as_bytes()).unwrap_err();
        assert!(refused.contains(why), "{refused}, for {set}");
    }
    let nested = format!("{{\"keys\":{}", "[".repeat(100_000));
    assert!(Keys::read(nested.as_bytes()).is_err());
    // the ids are shown, and no more
    assert_eq!(
        format!("{:?}", Issuer::new().keys()),
        "[\"rsa\", \"p256\", \"p384\"]"
    );
}
