//! Sizes, discriminators and offsets of the accounts, from the beginning of their data. Numbers are
//! little-endian.

/// Sizes and offsets of a model.
pub mod model {
    pub const DISCRIMINATOR: [u8; 8] = [152, 221, 247, 122, 185, 125, 223, 151];
    pub const SIZE: usize = 8 + 1656;
    /// `i64`, Unix time at which window 0 begins.
    pub const GENESIS: usize = 8 + 496;
    /// `i64`
    pub const WINDOW_SECS: usize = 8 + 504;
    /// `u64`, micro-units.
    pub const NOISE_FLOOR: usize = 8 + 520;
    /// `i64`
    pub const SUBMIT_SECS: usize = 8 + 568;
    /// `i64`
    pub const CHALLENGE_SECS: usize = 8 + 576;
    /// `u64`, base units of the bonds' token.
    pub const SECURITY: usize = 8 + 1272;
    /// `u64`
    pub const FINAL_COUNT: usize = 8 + 1344;
    /// `u64`, micro-units.
    pub const LAST_VALUE: usize = 8 + 1352;
    /// `u64`
    pub const LAST_WINDOW: usize = 8 + 1360;
    /// `u64`, micro-units.
    pub const LATEST: usize = 8 + 1368;
    /// `u64`
    pub const LATEST_WINDOW: usize = 8 + 1376;
    /// `u64`, micro-units.
    pub const MAX_VALUE: usize = 8 + 1384;
    /// `u64`, micro-units.
    pub const EWMA: usize = 8 + 1392;
    /// `u32`
    pub const VERSION: usize = 8 + 1464;
    /// `u8`: 0 active, 1 retired.
    pub const STATUS: usize = 8 + 1486;
}

/// Sizes and offsets of a page of a model's history.
pub mod series {
    pub const DISCRIMINATOR: [u8; 8] = [240, 97, 8, 183, 139, 77, 250, 162];
    pub const SIZE: usize = 8 + 2136;
    /// Address of the model.
    pub const MODEL: usize = 8;
    /// `u64`
    pub const PAGE: usize = 8 + 64;
    /// 256 `u64`: the state in the top byte, the value below.
    pub const ENTRIES: usize = 8 + 80;
}

/// The bytes of a field. Its offset and size are constants of this module, within the account's.
pub(crate) fn field<const SIZE: usize>(data: &[u8], offset: usize) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    bytes.copy_from_slice(&data[offset..offset + SIZE]);
    bytes
}
