//! Kubernetes' quantities, compared as what they stand for.

/// Whether a quantity is smaller than another; one that cannot be read is not.
pub fn is_smaller(quantity: &str, than: &str) -> bool {
    matches!((value(quantity), value(than)), (Some(a), Some(b)) if a < b)
}

fn value(quantity: &str) -> Option<f64> {
    let digits = quantity.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power: i32 = match &quantity[digits.len()..] {
        "m" => -1,
        "" => 0,
        "k" | "Ki" => 1,
        "M" | "Mi" => 2,
        "G" | "Gi" => 3,
        "T" | "Ti" => 4,
        "P" | "Pi" => 5,
        "E" | "Ei" => 6,
        _ => return None,
    };
    let unit = if quantity.ends_with('i') {
        1024.0
    } else {
        1000.0_f64
    };
    Some(digits.parse::<f64>().ok()? * unit.powi(power))
}

#[cfg(test)]
mod tests {
    use super::is_smaller;

    #[test]
    fn a_quantity_is_what_it_stands_for_not_how_it_is_written() {
        for (quantity, than) in [
            ("1Gi", "1.5Gi"),
            ("1G", "1Gi"),
            ("100m", "1"),
            ("50m", "0.1"),
        ] {
            assert!(is_smaller(quantity, than), "{quantity} {than}");
            assert!(!is_smaller(than, quantity), "{quantity} {than}");
        }
        assert!(!is_smaller("1024Mi", "1Gi"));
        assert!(!is_smaller("1?", "1Gi"));
    }
}
