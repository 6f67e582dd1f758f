//! Parsing that all filters share.

use std::ops::Range;

use tonic::Status;

pub type AddressBytes = [u8; 32];

/// Parses base58 addresses.
pub fn addresses(texts: &[String]) -> Result<Vec<AddressBytes>, Status> {
    let parse = |text: &String| {
        let bytes = bs58::decode(text).into_vec().ok();
        bytes
            .and_then(|bytes| AddressBytes::try_from(bytes).ok())
            .ok_or_else(|| {
                invalid(format!(
                    "`{text}` is not an address: pass 32 bytes in base58"
                ))
            })
    };
    texts.iter().map(parse).collect()
}

/// Converts an offset and a length to a range. Fails if the end exceeds `usize`.
pub fn range(offset: u64, length: u64) -> Result<Range<usize>, Status> {
    let bounds = offset
        .checked_add(length)
        .and_then(|end| Some(usize::try_from(offset).ok()?..usize::try_from(end).ok()?));
    bounds.ok_or_else(|| invalid(format!("offset {offset} plus length {length} is too large")))
}

pub fn invalid(message: impl Into<String>) -> Status {
    Status::invalid_argument(message)
}

pub fn unsupported_cuckoo_filter() -> Status {
    Status::unimplemented("cuckoo filters are not supported: list the accounts instead")
}
