use anchor_lang::{AccountDeserialize, Discriminator, bytemuck};

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

        /// A type of account.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum AccountKind {
            $($name,)*
        }

        impl Account {
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

            /// An account all of whose fields are zero.
            pub fn zeroed(kind: AccountKind) -> Self {
                match kind {
                    $(AccountKind::$name => Self::$name(Box::new(bytemuck::Zeroable::zeroed())),)*
                }
            }

            /// The data of the account on chain.
            pub fn encode(&self) -> Vec<u8> {
                match self {
                    $(Self::$name(account) => {
                        [$name::DISCRIMINATOR, bytemuck::bytes_of(&**account)].concat()
                    })*
                }
            }

            pub fn kind(&self) -> AccountKind {
                match self {
                    $(Self::$name(_) => AccountKind::$name,)*
                }
            }

            /// Sequence number of the last event of the account.
            pub fn seq(&self) -> u64 {
                match self {
                    $(Self::$name(account) => account.seq,)*
                }
            }

            /// Sets the sequence number of the last event of the account.
            pub fn set_seq(&mut self, seq: u64) {
                match self {
                    $(Self::$name(account) => account.seq = seq,)*
                }
            }
        }

        impl AccountKind {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Name of the account's struct, such as `Market`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The type whose struct has this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.name() == name)
            }

            /// The type of the account with this data. `None` if there is no such type.
            pub fn of_data(data: &[u8]) -> Option<Self> {
                let discriminator = discriminator(data).ok()?;
                $(if discriminator == $name::DISCRIMINATOR {
                    return Some(Self::$name);
                })*
                None
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
