//! Exact fractions.

use std::ops::{Add, Div, Mul, Sub};

use num_bigint::BigInt;

/// A fraction, not reduced. The denominator is above 0.
#[derive(Clone, Debug)]
pub struct Fraction {
    over: BigInt,
    under: BigInt,
}

impl Fraction {
    pub fn new(over: impl Into<BigInt>, under: impl Into<BigInt>) -> Self {
        Self {
            over: over.into(),
            under: under.into(),
        }
    }

    pub fn whole(number: impl Into<BigInt>) -> Self {
        Self::new(number, 1)
    }

    pub fn times(&self, number: impl Into<BigInt>) -> Self {
        self * &Self::whole(number)
    }

    pub fn plus(&self, other: &Self) -> Self {
        self + other
    }

    pub fn is_at_most(&self, other: &Self) -> bool {
        &self.over * &other.under <= &other.over * &self.under
    }

    pub fn at_most(self, other: Self) -> Self {
        if self.is_at_most(&other) { self } else { other }
    }

    /// The smallest whole number at or above, 0 where that is negative, and `None` past 128 bits.
    pub fn ceil(&self) -> Option<u128> {
        let zero = BigInt::from(0);
        if self.over <= zero {
            return Some(0);
        }
        u128::try_from((&self.over + &self.under - 1) / &self.under).ok()
    }
}

impl Add for &Fraction {
    type Output = Fraction;

    fn add(self, other: Self) -> Fraction {
        Fraction {
            over: &self.over * &other.under + &other.over * &self.under,
            under: &self.under * &other.under,
        }
    }
}

impl Sub for &Fraction {
    type Output = Fraction;

    fn sub(self, other: Self) -> Fraction {
        Fraction {
            over: &self.over * &other.under - &other.over * &self.under,
            under: &self.under * &other.under,
        }
    }
}

impl Mul for &Fraction {
    type Output = Fraction;

    fn mul(self, other: Self) -> Fraction {
        Fraction {
            over: &self.over * &other.over,
            under: &self.under * &other.under,
        }
    }
}

/// By a number above 0.
impl Div for &Fraction {
    type Output = Fraction;

    fn div(self, other: Self) -> Fraction {
        Fraction {
            over: &self.over * &other.under,
            under: &self.under * &other.over,
        }
    }
}
