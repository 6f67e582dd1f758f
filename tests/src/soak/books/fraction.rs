//! Exact fractions.

use std::ops::{Add, Div, Mul, Sub};

use num_bigint::BigInt;

/// An exact fraction that is not reduced. The denominator is positive.
#[derive(Clone, Debug)]
pub struct Fraction {
    numerator: BigInt,
    denominator: BigInt,
}

impl Fraction {
    pub fn new(numerator: impl Into<BigInt>, denominator: impl Into<BigInt>) -> Self {
        Self {
            numerator: numerator.into(),
            denominator: denominator.into(),
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
        &self.numerator * &other.denominator <= &other.numerator * &self.denominator
    }

    pub fn min(self, other: Self) -> Self {
        if self.is_at_most(&other) { self } else { other }
    }

    /// The fraction rounded up to an integer. Returns 0 for negative fractions, and `None` if the result
    /// does not fit 128 bits.
    pub fn ceil(&self) -> Option<u128> {
        let zero = BigInt::from(0);
        if self.numerator <= zero {
            return Some(0);
        }
        u128::try_from((&self.numerator + &self.denominator - 1) / &self.denominator).ok()
    }
}

impl Add for &Fraction {
    type Output = Fraction;

    fn add(self, other: Self) -> Fraction {
        Fraction {
            numerator: &self.numerator * &other.denominator + &other.numerator * &self.denominator,
            denominator: &self.denominator * &other.denominator,
        }
    }
}

impl Sub for &Fraction {
    type Output = Fraction;

    fn sub(self, other: Self) -> Fraction {
        Fraction {
            numerator: &self.numerator * &other.denominator - &other.numerator * &self.denominator,
            denominator: &self.denominator * &other.denominator,
        }
    }
}

impl Mul for &Fraction {
    type Output = Fraction;

    fn mul(self, other: Self) -> Fraction {
        Fraction {
            numerator: &self.numerator * &other.numerator,
            denominator: &self.denominator * &other.denominator,
        }
    }
}

/// Requires a positive divisor.
impl Div for &Fraction {
    type Output = Fraction;

    fn div(self, other: Self) -> Fraction {
        Fraction {
            numerator: &self.numerator * &other.denominator,
            denominator: &self.denominator * &other.numerator,
        }
    }
}
