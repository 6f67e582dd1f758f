//! The program's IDL, which is embedded in the library.

use std::sync::LazyLock;

use anchor_lang_idl_spec::Idl;

pub static IDL: LazyLock<Idl> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../idl/driftshield.json"))
        .expect("the committed IDL follows the IDL specification")
});
