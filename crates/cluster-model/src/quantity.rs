//! Kubernetes' notation of amounts, read exactly: the scheduler compares whole millicores and bytes, so a rounding of our
//! own would make a forecast wrong at the very edge where somebody needs it.
//!
//! Follows `k8s.io/apimachinery/pkg/api/resource/quantity.go`: nothing is finer than a billionth, and what is rounded is
//! rounded up.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Billionths in one.
const NANO: i128 = 1_000_000_000;

/// An amount in billionths; `None` for what is no quantity.
pub fn nanos(quantity: &Quantity) -> Option<i128> {
    let text = quantity.0.trim();
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = u32::try_from(fraction.len()).ok()?;
    let (multiplier, divisor) = scale(suffix)?;
    let amount = digits.checked_mul(multiplier)?.checked_mul(NANO)?;
    Some(sign * rounded_up(amount, divisor.checked_mul(10_i128.checked_pow(places)?)?))
}

/// By what a suffix multiplies and divides.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    let thousand = |power: u32| (1000_i128.pow(power), 1);
    let binary = |power: u32| (1024_i128.pow(power), 1);
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, NANO),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => thousand(1),
        "M" => thousand(2),
        "G" => thousand(3),
        "T" => thousand(4),
        "P" => thousand(5),
        "E" => thousand(6),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        exponent => {
            let exponent: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 { (1, power) } else { (power, 1) }
        }
    })
}

/// A division that rounds up.
pub(crate) fn rounded_up(amount: i128, divisor: i128) -> i128 {
    amount.div_euclid(divisor) + i128::from(amount.rem_euclid(divisor) != 0)
}

/// Whole units: bytes, pieces. More than fits into the API's own numbers is the most that does.
pub fn units(nanos: i128) -> i64 {
    i64::try_from(rounded_up(nanos, NANO)).unwrap_or(i64::MAX)
}

/// Thousandths: millicores.
pub fn thousandths(nanos: i128) -> i64 {
    i64::try_from(rounded_up(nanos, NANO / 1000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_is_read_exactly_and_rounded_up() {
        let table = [
            ("1", 1, 1000),
            ("100m", 1, 100),
            ("1500m", 2, 1500),
            ("0.1", 1, 100),
            ("1.5Gi", 1_610_612_736, 1_610_612_736_000),
            ("2Ki", 2048, 2_048_000),
            ("1k", 1000, 1_000_000),
            ("1e3", 1000, 1_000_000),
            ("1E3", 1000, 1_000_000),
            ("12e-1", 2, 1200),
            ("1E", 1_000_000_000_000_000_000, i64::MAX),
            ("100u", 1, 1),
            ("1n", 1, 1),
            ("0", 0, 0),
            (".5", 1, 500),
            ("5.", 5, 5000),
            ("-1500m", -1, -1500),
        ];
        for (text, expected_units, expected_thousandths) in table {
            let amount = nanos(&Quantity(text.to_owned())).unwrap();
            assert_eq!((units(amount), thousandths(amount)), (expected_units, expected_thousandths), "{text}");
        }
        for bad in ["", "x", "1x", "1.2.3", "Ki", "1 Gi", "e3", "--1"] {
            assert_eq!(nanos(&Quantity(bad.to_owned())), None, "{bad:?}");
        }
    }
}
