//! The PIN: six digits that a host shows and a person types at the client.
//!
//! Promises: each of the million is equally likely; it is wiped when it is dropped, and no log shows it by
//! accident. Refuses: what is not six digits, saying so without repeating it.

use std::fmt;
use std::str::FromStr;

use zeroize::Zeroize;

/// How many digits a PIN has.
pub const PIN_DIGITS: usize = 6;

/// How many PINs there are.
const PINS: u32 = 1_000_000;

/// The largest multiple of [`PINS`] that a `u32` can be: numbers from here on would make some PINs likelier.
const FAIR_BELOW: u32 = u32::MAX - u32::MAX % PINS;

/// Six digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin([u8; PIN_DIGITS]);

/// A text that is no PIN. What it was is not repeated: it may be one with a slip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a PIN is {PIN_DIGITS} digits, as the host shows them")]
pub struct PinError;

impl Pin {
    /// A PIN that nobody can foresee.
    pub fn random() -> Self {
        Self::draw(|| {
            let mut bytes = [0; 4];
            aws_lc_rs::rand::fill(&mut bytes).expect("the system's generator of random numbers works");
            u32::from_ne_bytes(bytes)
        })
    }

    fn draw(mut next: impl FnMut() -> u32) -> Self {
        loop {
            let number = next();
            if number < FAIR_BELOW {
                return Self::of_number(number % PINS);
            }
        }
    }

    fn of_number(mut number: u32) -> Self {
        let mut digits = [0; PIN_DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        Self(digits)
    }

    /// The digits in ASCII.
    pub(crate) fn digits(&self) -> &[u8; PIN_DIGITS] {
        &self.0
    }

    /// The digits for a person, who is to see them.
    pub fn reveal(&self) -> String {
        self.0.iter().map(|digit| char::from(*digit)).collect()
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl FromStr for Pin {
    type Err = PinError;

    /// Spaces and hyphens between the digits are how people write it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut digits = [0; PIN_DIGITS];
        let mut count = 0;
        for letter in text.trim().bytes().filter(|letter| !matches!(letter, b' ' | b'-')) {
            let place = digits.get_mut(count).ok_or(PinError)?;
            *place = if letter.is_ascii_digit() { letter } else { return Err(PinError) };
            count += 1;
        }
        if count == PIN_DIGITS { Ok(Self(digits)) } else { Err(PinError) }
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_digits_in_and_out() {
        for text in ["012345", " 012 345\n", "012-345"] {
            assert_eq!(text.parse::<Pin>().map(|pin| pin.reveal()), Ok("012345".into()), "{text:?}");
        }
        for text in ["", "12345", "1234567", "12345x", "１２３４５６", "-+1234", "0x1234"] {
            assert_eq!(text.parse::<Pin>(), Err(PinError), "{text:?}");
        }
    }

    #[test]
    fn every_pin_is_equally_likely() {
        assert_eq!(FAIR_BELOW % PINS, 0);
        let mut numbers = [u32::MAX, FAIR_BELOW, FAIR_BELOW - 1].into_iter();
        let pin = Pin::draw(|| numbers.next().unwrap());
        assert_eq!(
            (pin.reveal().as_str(), numbers.next()),
            ("999999", None),
            "what is not fair is drawn again"
        );
        assert_eq!(Pin::draw(|| 0).reveal(), "000000");
        assert_ne!(Pin::random(), Pin::draw(|| 0).clone(), "once in a million");
    }

    #[test]
    fn no_digit_is_in_the_debug_text() {
        assert_eq!(format!("{:?}", "483920".parse::<Pin>()), "Ok(Pin(..))");
        assert!(!"48392x".parse::<Pin>().unwrap_err().to_string().contains("48"));
    }
}
