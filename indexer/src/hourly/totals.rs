//! The measures of a row.

use crate::copy::CopyRow;

/// Declares [`Totals`] with three kinds of measures: `sums` add up, of `highest` the highest value counts, and
/// of `latest` the last one.
macro_rules! totals {
    (
        sums: $($sum:ident)*;
        highest: $($highest:ident)*;
        latest: $($latest:ident)*;
    ) => {
        /// Measures of one subject, token and hour. `chain.hourly` describes them.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Totals {
            $(pub $sum: u128,)*
            $(pub $highest: Option<u64>,)*
            $(pub $latest: Option<u64>,)*
        }

        impl Totals {
            /// Columns of the measures, in the order of [`Totals::push`].
            pub const NAMES: &[&str] = &[
                $(stringify!($sum),)* $(stringify!($highest),)* $(stringify!($latest),)*
            ];

            /// Assignments that add the row `added` to the row `known` in Postgres.
            pub fn merge(known: &str, added: &str) -> String {
                let assignments = [
                    $({
                        let name = stringify!($sum);
                        format!("{name} = {known}.{name} + {added}.{name}")
                    },)*
                    $({
                        let name = stringify!($highest);
                        format!("{name} = greatest({known}.{name}, {added}.{name})")
                    },)*
                    $({
                        let name = stringify!($latest);
                        format!("{name} = coalesce({added}.{name}, {known}.{name})")
                    },)*
                ];
                assignments.join(", ")
            }

            /// Adds what came later.
            pub fn add(&mut self, later: &Self) {
                $(self.$sum += later.$sum;)*
                $(self.$highest = self.$highest.max(later.$highest);)*
                $(self.$latest = later.$latest.or(self.$latest);)*
            }

            /// Leaves out the measures under `latest`.
            pub fn forget_latest(&mut self) {
                $(self.$latest = None;)*
            }

            pub fn push(&self, row: &mut CopyRow<'_>) {
                $(row.u128(self.$sum);)*
                $(row.optional(self.$highest, CopyRow::number);)*
                $(row.optional(self.$latest, CopyRow::number);)*
            }
        }
    };
}

totals! {
    sums:
        bets staked rents
        sales sold sold_for purchases bought bought_for
        claims settled payouts
        markets settlements fees
        deposits deposited withdrawals withdrawn
        policies renewals premiums refunds cover_claims cover_paid
        models
        submissions challenges rulings slashed
        finals voids thins
        earnings earned silences penalties
        drift_sum;
    highest: drift_max;
    latest: drift drift_window assets leaving shares;
}
