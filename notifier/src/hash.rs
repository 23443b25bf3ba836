//! A hash that stays the same across releases, for remembering event ids and shortening keys.

/// FNV-1a 64 of a text; offset basis 14695981039346656037 and prime 1099511628211 as in draft-eastlake-fnv.
pub(crate) fn fnv64(text: &str) -> u64 {
    text.bytes().fold(14_695_981_039_346_656_037, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211))
}

#[cfg(test)]
mod tests {
    use super::fnv64;

    #[test]
    fn it_is_fnv_1a() {
        // Published test vectors of FNV-1a 64.
        assert_eq!(fnv64(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv64("a"), 0xaf63_dc4c_8601_ec8c);
    }
}
