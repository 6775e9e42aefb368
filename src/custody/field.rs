//! Arithmetic in GF(2^8), in time that does not depend on the numbers.
//!
//! The field is that of AES: polynomials over two elements, modulo x^8 + x^4 + x^3 + x + 1. There are
//! no tables: the cache would remember where one was read, and so a byte of a key. Adding is xor.

use std::hint::black_box;

/// What x^8 is, in lower powers.
const REDUCED: u8 = 0x1B;

/// A number that nobody is to learn. This is all that can be done with one: none of it says how large it is, so
/// that what is written over these can neither branch on it nor look something up by it.
trait Hidden: Copy {
    const ZERO: Self;

    /// The sum, which is the difference, too.
    fn plus(self, other: Self) -> Self;

    /// This number where bit `bit` of `of` is set, else zero.
    fn where_set(self, of: Self, bit: u8) -> Self;

    /// The product with x.
    fn times_x(self) -> Self;
}

/// All ones where the lowest bit of `bits` is set, else none. The compiler is not to see that there
/// are only two, or it could make a branch of it.
fn mask(bits: u8) -> u8 {
    black_box((bits & 1).wrapping_neg())
}

impl Hidden for u8 {
    const ZERO: Self = 0;

    fn plus(self, other: Self) -> Self {
        self ^ other
    }

    fn where_set(self, of: Self, bit: u8) -> Self {
        self & mask(of >> bit)
    }

    fn times_x(self) -> Self {
        (self << 1) ^ (REDUCED & mask(self >> 7))
    }
}

/// The product, one bit after the other.
fn product<N: Hidden>(a: N, b: N) -> N {
    let (mut power, mut product) = (a, N::ZERO);
    for bit in 0..8 {
        product = product.plus(power.where_set(b, bit));
        power = power.times_x();
    }
    product
}

/// The product.
pub(super) fn times(a: u8, b: u8) -> u8 {
    product(a, b)
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
    value(coefficients, x)
}

fn value<N: Hidden>(coefficients: impl DoubleEndedIterator<Item = N>, x: N) -> N {
    coefficients
        .rev()
        .fold(N::ZERO, |sum, c| product(sum, x).plus(c))
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
    use std::cell::RefCell;

    use super::{Hidden, at, inverse, product, times, value, weights};

    thread_local! {
        /// What was done with numbers, in order.
        static DONE: RefCell<Vec<(&'static str, u8)>> = const { RefCell::new(Vec::new()) };
    }

    /// A number that says what is done with it.
    #[derive(Clone, Copy)]
    struct Watched(u8);

    impl Watched {
        fn did(what: &'static str, bit: u8, number: u8) -> Self {
            DONE.with_borrow_mut(|done| done.push((what, bit)));
            Self(number)
        }
    }

    impl Hidden for Watched {
        const ZERO: Self = Self(0);

        fn plus(self, other: Self) -> Self {
            Self::did("plus", 0, self.0.plus(other.0))
        }

        fn where_set(self, of: Self, bit: u8) -> Self {
            Self::did("where", bit, self.0.where_set(of.0, bit))
        }

        fn times_x(self) -> Self {
            Self::did("x", 0, self.0.times_x())
        }
    }

    /// What `work` came to, and all that was done for it.
    fn watched(work: impl FnOnce() -> Watched) -> (u8, Vec<(&'static str, u8)>) {
        DONE.take();
        let Watched(number) = work();
        (number, DONE.take())
    }

    #[test]
    fn the_same_is_done_in_the_same_order_whatever_the_numbers_are() {
        let (_, of_zeros) = watched(|| product(Watched(0), Watched(0)));
        assert_eq!(of_zeros.len(), 24);
        for a in 0..=255 {
            for b in 0..=255 {
                let (number, done) = watched(|| product(Watched(a), Watched(b)));
                assert_eq!(number, times(a, b));
                assert_eq!(done, of_zeros, "{a} {b}");
            }
        }
        let of = |row: [u8; 4], x| watched(|| value(row.map(Watched).into_iter(), Watched(x)));
        let (_, of_zeros) = of([0; 4], 0);
        assert_eq!(of_zeros.len(), 4 * 25);
        for seed in 0..=255_u8 {
            let row = [3_u8, 5, 7, 11].map(|by| seed.wrapping_mul(by) ^ by);
            let (number, done) = of(row, seed);
            assert_eq!(number, at(row.into_iter(), seed));
            assert_eq!(done, of_zeros, "{seed}");
        }
    }

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
