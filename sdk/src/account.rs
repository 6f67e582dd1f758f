use anchor_lang::{AccountDeserialize, Discriminator};

use crate::{
    Collateral, Config, DecodeError, Exposure, Market, Model, Policy, Position, Receipt, Seat,
    Vault, WithdrawRequest, discriminator,
};

macro_rules! accounts {
    ($($name:ident),* $(,)?) => {
        /// Any account of the program.
        #[derive(Clone)]
        pub enum Account {
            $($name(Box<$name>),)*
        }

        impl Account {
            /// The names of all account types.
            pub const NAMES: &[&str] = &[$(stringify!($name)),*];

            /// Decodes an account that the program owns.
            pub fn decode(data: &[u8]) -> Result<Self, DecodeError> {
                let discriminator = discriminator(data)?;
                $(if discriminator == $name::DISCRIMINATOR {
                    return $name::try_deserialize(&mut &data[..])
                        .map(|account| Self::$name(Box::new(account)))
                        .map_err(|_| DecodeError::Malformed(stringify!($name)));
                })*
                Err(DecodeError::Unknown(discriminator))
            }

            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                }
            }

            /// The number of the last event that spoke of the account.
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
    Market,
    Position,
    Vault,
    Exposure,
    WithdrawRequest,
    Policy
);
