//! Natural logarithms in fixed point.
//!
//! `Q29` is the number format of this file and of its callers: the value times 2²⁹, in a `u64`.
//! Multiplications are `wrapping_mul`, because a checked one costs a 128-bit multiplication on
//! SBPF. A comment next to each gives its bound.

/// Fraction bits of a Q29 number.
pub const BITS: u32 = 29;
/// 1.0 in Q29.
pub const ONE: u64 = 1 << BITS;

const LN_2: u64 = ln_fraction(2, 1);

/// Binary logarithm of the number of cells: the interval [1, 2) is divided into 2⁷ cells.
const CELL_BITS: u32 = 7;
const CELLS: usize = 1 << CELL_BITS;
/// Low bits of a Q29 number in [1, 2): its offset inside its cell.
const OFFSET_BITS: u32 = BITS - CELL_BITS;
const HALF_CELL: i64 = 1 << (OFFSET_BITS - 1);

/// Constants of a cell: its centre's logarithm (Q29) and reciprocal (Q30).
#[derive(Clone, Copy)]
struct Cell {
    ln: u32,
    inverse: u32,
}

/// The cells. Cell `i` has its centre at 1 + (i + ½)/128 = (257 + 2i)/256.
static TABLE: [Cell; CELLS] = {
    let mut table = [Cell { ln: 0, inverse: 0 }; CELLS];
    let mut i = 0;
    while i < CELLS {
        let centre = 257 + 2 * i as u64; // in 256ths
        table[i] = Cell {
            ln: ln_fraction(centre, 256) as u32,
            inverse: (((256 << 30) + centre / 2) / centre) as u32,
        };
        i += 1;
    }
    table
};

/// Returns ln(`high` / `low`) in Q29, for `low` ≤ `high` < 2¹⁵ · `low` and 2⁴⁹ ≤ `low`.
///
/// The error is below the sum of 2²⁵/`low` (from truncating `low` to the bits that the division
/// leaves room for), 2⁻²⁵ (the quotient's last bit), and the error of [`ln`].
#[inline(always)]
pub fn ln_ratio(high: u64, low: u64) -> u64 {
    // Divides to 25 fraction bits first, which leaves 24 bits of the smallest `low`. The shift to
    // Q29 keeps the bits that the halving below would lose.
    let mut mantissa = (high / (low >> 25)) << (BITS - 25);
    let mut exponents = 0;
    for shift in [8, 4, 2, 1] {
        if mantissa >> (BITS + shift) != 0 {
            mantissa >>= shift;
            exponents += u64::from(shift) * LN_2;
        }
    }
    exponents + ln(mantissa)
}

/// Returns ln(`x`) in Q29 of a Q29 number in [1, 2), within 2.5 · 10⁻⁸.
///
/// With c the centre of the cell of x and u = (x − c)/c, it is ln c + u − u²/2 + …
/// As abs(u) ≤ 2⁻⁸, the omitted cubic term is below 2·10⁻⁸; three roundings add 5·10⁻⁹.
#[inline(always)]
pub fn ln(x: u64) -> u64 {
    let cell = TABLE[(x >> OFFSET_BITS) as usize % CELLS];
    let offset = (x & ((1 << OFFSET_BITS) - 1)) as i64 - HALF_CELL;
    // abs(offset) ≤ 2²¹ and the inverse is below 2³⁰, so abs(u) ≤ 2²¹.
    let u = offset.wrapping_mul(i64::from(cell.inverse)) >> 30;
    let half_square = u.wrapping_mul(u) >> (BITS + 1);
    // Never negative, although ln 1 is 0: to the left of a centre the omitted cubic term is
    // negative, so ln 1 evaluates to 2·10⁻⁸.
    (i64::from(cell.ln) + u - half_square) as u64
}

/// Returns ln(`numerator` / `denominator`) in Q29, to the nearest, of a fraction in [1, 2]. Runs at
/// compile time.
///
/// Computes 2·artanh z = 2·(z + z³/3 + z⁵/5 + …) with z = (n − d)/(n + d) ≤ ⅓, in Q60.
const fn ln_fraction(numerator: u64, denominator: u64) -> u64 {
    const ONE: u128 = 1 << 60;
    let z = (numerator - denominator) as u128 * ONE / (numerator + denominator) as u128;
    let mut power = z;
    let mut sum = 0;
    let mut k = 1;
    while k < 40 {
        sum += power / k;
        power = power * z / ONE * z / ONE;
        k += 2;
    }
    ((2 * sum + (1 << 30)) >> (60 - BITS)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_within_their_bound() {
        for i in 0..100_000 {
            let x = 1.0 + f64::from(i) / 100_000.0;
            let fixed = ln((x * ONE as f64) as u64) as f64 / ONE as f64;
            assert!(
                (fixed - x.ln()).abs() < 2.5e-8,
                "ln {x} came out as {fixed}"
            );
        }
        for i in 0..10_000 {
            let ratio = f64::from(i).mul_add(1e-3 * f64::from(i) / 10.0, 1.0);
            let low = 1_u64 << 50;
            let high = (ratio * low as f64) as u64;
            let fixed = ln_ratio(high, low) as f64 / ONE as f64;
            assert!(
                (fixed - ratio.ln()).abs() < 9e-8,
                "ln {ratio} came out as {fixed}"
            );
        }
    }
}
