//! Signatures as Standard Webhooks says: HMAC-SHA256 over `id.timestamp.body`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ronda_runtime::Secret;

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// Fewest and most bytes of a key, as the specification has it.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The keys that a receiver may know us by, newest first. While secrets are changed there are several, and each signs.
pub(super) struct Keys(Vec<hmac::Key>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

/// What is wrong with a secret, without a word of it.
pub fn secret_mistake(secret: &Secret) -> Option<&'static str> {
    key(secret).err()
}

fn key(secret: &Secret) -> Result<hmac::Key, &'static str> {
    let encoded = secret.expose().strip_prefix(PREFIX).ok_or("must begin with whsec_")?;
    let bytes = STANDARD.decode(encoded).map_err(|_| "must be whsec_ and base64 after it")?;
    if !KEY_BYTES.contains(&bytes.len()) {
        return Err("must be of 24 to 64 bytes (after base64)");
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

impl Keys {
    /// # Errors
    /// What is wrong with one of them.
    pub(super) fn new(secrets: &[Secret]) -> Result<Self, &'static str> {
        if secrets.is_empty() {
            return Err("there must be one at least");
        }
        secrets.iter().map(key).collect::<Result<_, _>>().map(Self)
    }

    /// The value of `webhook-signature`.
    pub(super) fn sign(&self, id: &str, timestamp_seconds: i64, body: &[u8]) -> String {
        let signature = |key: &hmac::Key| {
            let mut context = hmac::Context::with_key(key);
            context.update(format!("{id}.{timestamp_seconds}.").as_bytes());
            context.update(body);
            format!("v1,{}", STANDARD.encode(context.sign()))
        };
        self.0.iter().map(signature).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_signed_as_it_says() {
        // The vector that the reference implementations share.
        let keys = Keys::new(&[Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]).unwrap();
        let signed = keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_that_is_none_is_told_without_being_shown() {
        for (secret, wanted) in [
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begin with whsec_"),
            ("whsec_not base64!", "base64"),
            ("whsec_AAAA", "24 to 64"),
        ] {
            let mistake = secret_mistake(&Secret::new(secret)).unwrap();
            assert!(mistake.contains(wanted), "{mistake}");
        }
        assert_eq!(
            format!("{:?}", Keys::new(&[Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]).unwrap()),
            "1 keys"
        );
    }
}
