//! Arithmetic in GF(2^8), in time that does not depend on the numbers.
//!
//! The field is that of AES: polynomials over two elements, modulo x^8 + x^4 + x^3 + x + 1. There are
//! no tables: the cache would remember where one was read, and so a byte of a key. Adding is xor.

use std::hint::black_box;

/// What x^8 is, in lower powers.
const REDUCED: u8 = 0x1B;

/// All ones where the lowest bit of `bits` is set, else none. The compiler is not to see that there
/// are only two, or it could make a branch of it.
fn mask(bits: u8) -> u8 {
    black_box((bits & 1).wrapping_neg())
}

/// The product.
pub(super) fn times(a: u8, b: u8) -> u8 {
    let (mut power, mut product) = (a, 0);
    for bit in 0..8 {
        product ^= power & mask(b >> bit);
        power = (power << 1) ^ (REDUCED & mask(power >> 7));
    }
    product
}

/// What times `a` is one; zero has none, and yields zero.
fn inverse(a: u8) -> u8 {
    // a^254: every power of two but the first.
    let mut power = a;
    let mut product = 1;
    for _ in 0..7 {
        power = times(power, power);
        product = times(product, power);
    }
    product
}

/// The polynomial with these coefficients, the constant first, at `x`.
pub(super) fn at(coefficients: impl DoubleEndedIterator<Item = u8>, x: u8) -> u8 {
    coefficients.rev().fold(0, |sum, c| times(sum, x) ^ c)
}

/// By how much the value at each of `places` counts when a polynomial that goes through all of them is
/// taken at zero (Lagrange). The places are different, and none is zero.
pub(super) fn weights(places: &[u8]) -> Vec<u8> {
    let weight = |place: &u8| {
        let others = places.iter().filter(|other| *other != place);
        others.fold(1, |product, other| {
            times(product, times(*other, inverse(other ^ place)))
        })
    };
    places.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::{at, inverse, times, weights};

    /// The same product as a schoolbook has it: multiply, then divide with remainder.
    fn schoolbook(a: u8, b: u8) -> u8 {
        let mut product: u16 = 0;
        for bit in 0..8 {
            if b >> bit & 1 == 1 {
                product ^= u16::from(a) << bit;
            }
        }
        for bit in (8..15).rev() {
            if product >> bit & 1 == 1 {
                product ^= 0x11B << (bit - 8);
            }
        }
        u8::try_from(product).unwrap()
    }

    #[test]
    fn every_product_is_that_of_the_schoolbook() {
        for a in 0..=255 {
            for b in 0..=255 {
                assert_eq!(times(a, b), schoolbook(a, b), "{a} {b}");
            }
        }
        // FIPS 197, section 4.2.
        assert_eq!(times(0x57, 0x83), 0xC1);
        assert_eq!(times(0x57, 0x13), 0xFE);
    }

    #[test]
    fn every_number_but_zero_has_an_inverse() {
        for a in 1..=255 {
            assert_eq!(times(a, inverse(a)), 1, "{a}");
        }
        assert_eq!(inverse(0), 0);
        assert_eq!(inverse(0x53), 0xCA);
    }

    #[test]
    fn a_polynomial_is_known_at_zero_by_as_many_places_as_it_has_coefficients() {
        let polynomial = [0xA5, 0x17, 0xF0, 0x03];
        let places = [9, 1, 255, 77];
        let sum = places
            .iter()
            .zip(weights(&places))
            .fold(0, |sum, (place, weight)| {
                sum ^ times(weight, at(polynomial.iter().copied(), *place))
            });
        assert_eq!(sum, 0xA5);
    }
}
