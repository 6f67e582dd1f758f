use anchor_lang::{AccountDeserialize, Discriminator};

use crate::{
    Collateral, Config, DecodeError, Exposure, Market, Model, Policy, Position, Receipt, Seat,
    Series, Vault, WithdrawRequest, discriminator,
};

macro_rules! accounts {
    ($($name:ident),* $(,)?) => {
        /// An account of the program, of any type.
        #[derive(Clone)]
        pub enum Account {
            $($name(Box<$name>),)*
        }

        impl Account {
            /// Names of all account types.
            pub const NAMES: &[&str] = &[$(stringify!($name)),*];

            /// Decodes the data of an account that the program owns.
            pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
                let discriminator = discriminator(data)?;
                $(if discriminator == $name::DISCRIMINATOR {
                    return $name::try_deserialize(&mut &data[..])
                        .map(|account| Self::$name(Box::new(account)))
                        .map_err(|_| DecodeError::Malformed(stringify!($name)));
                })*
                Err(DecodeError::Unknown(discriminator))
            }

            /// Name of the account type.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                }
            }

            /// Sequence number of the last event of the account.
            pub fn seq(&self) -> u64 {
                match self {
                    $(Self::$name(account) => account.seq,)*
                }
            }
        }
    };
}

accounts!(
    Config,
    Collateral,
    Model,
    Seat,
    Receipt,
    Series,
    Market,
    Position,
    Vault,
    Exposure,
    WithdrawRequest,
    Policy
);
